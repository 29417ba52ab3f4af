"""What tells whether the files of a record have changed: sizes, times and checksums."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

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
