"""Whether the files of a record are still those that were scanned: else its labels may be those of another patient."""

import hashlib
import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medcl.archive.identity import PUBLIC_SALT, fingerprint, site_salt
from medcl.archive.manifest import Manifest
from medcl.archive.path_ids import compile_pattern
from medcl.archive.schema import scanned_column
from medcl.errors import UnreadableError, UsageError
from medcl.modality.formats import SERIES

LAST_TIME = 2**63 - 1
"""ns since 1970 that a column of the manifest holds: in the year 2262."""
_HASHED = 65536  # bytes at the head of a header file that its checksum is taken of


def header_checksum(full: Path, files: Sequence[str]) -> str | None:
    """Of the header's first bytes, and of the names and sizes of all files.

    Args:
        full: path of the header.
        files: of the record, relative to the folder of the header.

    Returns:
        32 hexadecimal digits; None where the header cannot be read.
    """
    try:
        with full.open("rb") as file:
            digest = hashlib.blake2b(file.read(_HASHED), digest_size=16)
        for name in files:
            size = full.with_name(name).stat().st_size if full.with_name(name).exists() else -1
            digest.update(f"\0{name}\0{size}".encode("utf-8", "surrogateescape"))
    except (OSError, ValueError):
        return None
    return digest.hexdigest()


def content_checksum(full: Path, files: Sequence[str]) -> str:
    """Of every byte of a record.

    Args:
        full: path of the header.
        files: of the record, relative to the folder of the header.

    Returns:
        32 hexadecimal digits.

    Raises:
        OSError: a file cannot be read.
    """
    digest = hashlib.blake2b(digest_size=16)
    for name in files:
        with full.with_name(name).open("rb") as file:
            while part := file.read(1 << 20):
                digest.update(part)
    return digest.hexdigest()


def state(root: Path, path: str, files: Sequence[str]) -> dict[str, int]:
    """Whether a record has changed is told by the size of its files together and the time of the newest.

    Args:
        root: of the archive.
        path: of the record, relative to the root.
        files: of the record, relative to its folder.

    Returns:
        `size` in bytes and `mtime_ns`, at most what 64 bits hold; of a file that is not there, nothing.
    """
    size = newest = 0
    folder = (root / path).parent
    for name in files:
        try:
            about = (folder / name).stat()
        except (OSError, ValueError):
            continue
        size, newest = size + about.st_size, max(newest, about.st_mtime_ns)
    return {"size": size, "mtime_ns": min(newest, LAST_TIME)}


_DIGITS = 32  # of the checksum of a header
_AGAIN = "scan the archive again, which reads only what has changed, and joins the labels anew"
_ANEW = "scan the archive again, without the old manifest: a second scan goes by sizes and times"


@dataclass(frozen=True)
class CodeKeys:
    """What the codes in the checksum of a DICOM volume were made with.

    Args:
        salt: of the codes.
        pattern: of ids in the paths.
    """

    salt: bytes
    pattern: re.Pattern[str] | None


@dataclass(frozen=True)
class Scanned:
    """A record, or a label map, as its scan found it.

    Args:
        root: of the archive.
        path: relative to the root.
        files: relative to the folder of `path`.
        format: as the manifest has it.
        size: bytes of all files; None where the manifest does not tell.
        mtime_ns: time of the newest file.
        checksum: of its header, and of every byte behind it where it was scanned strictly.
        strict: compare every byte, where it was scanned strictly, and the headers of all files of a DICOM volume.
        codes: of the headers of DICOM files.
    """

    root: Path
    path: str
    files: tuple[str, ...]
    format: str
    size: int | None
    mtime_ns: int | None
    checksum: str | None
    strict: bool = False
    codes: CodeKeys | None = None


def scanned(manifest: Manifest, *, strict: bool = False) -> list[Scanned]:
    """The records of a manifest as they were scanned.

    Args:
        manifest: of any records.
        strict: see `Scanned`.

    Returns:
        One a row.

    Raises:
        UsageError: `strict`, and the salt of this site is not that of the manifest.
    """
    names = ("path", "files", "format", "size", "mtime_ns", "checksum")
    nothing = np.full(len(manifest), None, dtype=object)  # a column that a manifest of another origin does not have
    columns = [manifest.column(name) if manifest.has(name) else nothing for name in names]
    codes = _codes(manifest) if strict and np.isin(columns[2].astype(str), SERIES).any() else None
    found = []
    for path, files, form, size, mtime_ns, checksum in zip(*columns, strict=True):
        name = str(path).rpartition("/")[2]
        known = size is not None and size >= 0 and mtime_ns is not None and mtime_ns >= 0
        found.append(
            Scanned(
                root=manifest.root,
                path=str(path),
                files=tuple(files or [name]),
                format=str(form),
                size=int(size) if known else None,
                mtime_ns=int(mtime_ns) if known else None,
                checksum=checksum,
                strict=strict,
                codes=codes,
            )
        )
    return found


def scanned_masks(manifest: Manifest, name: str, *, strict: bool = False) -> list[Scanned | None]:
    """The label maps of a manifest as they were when they were linked.

    Args:
        manifest: of any records.
        name: of the column of label maps.
        strict: see `Scanned`.

    Returns:
        One a row; None where there is no label map. Of a manifest from before their state was noted nothing is known
        of them, and they count as unchanged.
    """
    column = scanned_column(name)
    states = manifest.column(column) if manifest.has(column) else [None] * len(manifest)
    return [
        None if path is None else _scanned_mask(manifest.root, str(path), known or {}, strict)
        for path, known in zip(manifest.column(name), states, strict=True)
    ]


def _scanned_mask(root: Path, path: str, known: Mapping[str, Any], strict: bool) -> Scanned:
    names = (path.rpartition("/")[2],)
    size, mtime_ns, checksum = (known.get(key) for key in ("size", "mtime_ns", "checksum"))
    return Scanned(root, path, names, "label map", size, mtime_ns, checksum, strict)


def require_unchanged(record: Scanned) -> None:
    """Compare size, time of modification and header of a record with what its scan found.

    Raises:
        UnreadableError: they differ.
    """
    if record.size is not None:
        now = state(record.root, record.path, record.files)
        if now["size"] == 0 and record.size:
            raise UnreadableError("cannot be read: not found: the file has been deleted or moved since the scan")
        if now["size"] != record.size:
            raise UnreadableError(
                f"changed since the scan: {now['size']} bytes, the manifest has {record.size}: {_AGAIN}"
            )
        if now["mtime_ns"] != record.mtime_ns:
            raise UnreadableError(f"changed since the scan: another time of modification than the manifest: {_AGAIN}")
    if record.checksum is None:
        return
    header, content = record.checksum[:_DIGITS], record.checksum[_DIGITS:]
    if header not in _of_headers(record, header):
        raise UnreadableError(f"changed since the scan: another header under its name: {_ANEW}")
    full = record.root / record.path
    if record.strict and content and content != content_checksum(full, record.files):
        raise UnreadableError(f"changed since the scan: another content under its name: {_ANEW}")


def _of_headers(record: Scanned, known: str) -> Sequence[str | None]:
    """The checksums of the headers as they are now; of DICOM files each volume in them has one."""
    if record.format not in SERIES:
        return (header_checksum(record.root / record.path, record.files),)
    if record.codes is None:
        return (known,)
    from medcl.archive.dicom_file_record import read_coded
    from medcl.archive.dicom_series import series_rows

    salt, pattern = record.codes.salt, record.codes.pattern
    folder = posixpath.dirname(record.path)
    paths = [posixpath.normpath(posixpath.join(folder, name)) for name in record.files]
    files = [read_coded(record.root, path, pattern, salt) for path in paths]
    return [row["checksum"] for row in series_rows(files, {}, salt)]


def _codes(manifest: Manifest) -> CodeKeys:
    about = manifest.metadata.get("scan", {})
    salt = PUBLIC_SALT if about.get("public_ids") else site_salt()
    if fingerprint(salt) != manifest.metadata.get("salt"):
        raise UsageError("--strict compares codes that another salt was used for: set MEDCL_SALT to that of the scan")
    pattern = about.get("id_pattern")
    return CodeKeys(salt, None if pattern is None else compile_pattern(pattern))
