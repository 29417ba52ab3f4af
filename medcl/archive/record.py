"""One file of an archive as a row of the manifest, seen from another process."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medcl.archive.identity import code
from medcl.archive.path_ids import ids_of
from medcl.errors import UnreadableError
from medcl.readers import formats
from medcl.readers.signal import IncompleteError, Modality

Row = dict[str, Any]
_HASHED = 65536  # bytes at the head of a header file that its checksum is taken of


@dataclass(frozen=True)
class Look:
    """How a file is looked at.

    Args:
        root: of the archive.
        pattern: of the ids in the paths.
        modality: of every record; None goes by the names of the channels.
        salt: of the codes.
    """

    root: Path
    pattern: re.Pattern[str] | None
    modality: Modality | None
    salt: bytes

    def __call__(self, paths: Sequence[str]) -> tuple[list[Row], int]:
        """Look at files.

        Args:
            paths: relative to the root.

        Returns:
            Rows of those that are recordings or claim to be, and how many files are neither.
        """
        rows = [row for row in map(self._row, paths) if row is not None]
        return rows, len(paths) - len(rows)

    def fatal(self, path: str) -> tuple[list[Row], int]:
        """The row of a file whose reading ended the process that tried."""
        name = (self.root / path).name
        row: Row = {"path": path, "files": [name], "found_status": "damaged file: reading its header ends the reader"}
        return [row | state(self.root, path, [name]) | {"checksum": None}], 0

    def _row(self, path: str) -> Row | None:
        full = self.root / path
        row: Row = {"path": path, "files": [full.name], "found_status": "ok"}
        try:
            row["format"] = form = formats.identify(full)
            if form is None:
                if full.suffix.lower() not in formats.SUFFIXES:
                    return None
                raise UnreadableError(self._foreign(full))
            header = formats.read_header(full, form)
            row |= {
                "modality": self.modality or header.modality,
                "sampling_rate": header.sampling_rate,
                "n_samples": header.n_samples,
                "n_channels": len(header.channels),
                "channels": list(header.channels),
                "units": list(header.units),
                "files": list(header.files),
            }
            row |= self._codes(path, header.ids)
        except IncompleteError as error:
            row |= {"found_status": str(error), "files": list(error.files)}
        except UnreadableError as error:
            row["found_status"] = str(error)
        except OSError as error:
            row["found_status"] = f"cannot be read: {error.strerror}"
        return row | state(self.root, path, row["files"]) | {"checksum": self._checksum(full, row["files"])}

    def _codes(self, path: str, header_ids: dict[str, str]) -> Row:
        ids = ids_of(path, self.pattern) or header_ids
        codes: Row = {}
        patient = ids.get("patient")
        if patient is not None:
            codes["found_patient"] = code("patient", patient, self.salt)
        if "session" in ids:
            codes["session"] = code("session", f"{patient}\0{ids['session']}", self.salt)
        # The trial of a pattern is one of its patient's; else every file is a trial of its own.
        named = f"{patient}\0{ids.get('session', '')}\0{ids['trial']}" if "trial" in ids else f"\0{path}"
        return codes | {"trial": code("trial", named, self.salt)}

    def _foreign(self, full: Path) -> str:
        if full.stat().st_size == 0:
            return "empty file"
        return f"not what its name says: the content is not that of a {full.suffix.lower()} file"

    def _checksum(self, full: Path, files: Sequence[str]) -> str | None:
        """Of the header's first bytes, and of the names and sizes of all files."""
        try:
            with full.open("rb") as file:
                digest = hashlib.blake2b(file.read(_HASHED), digest_size=16)
            for name in files:
                size = full.with_name(name).stat().st_size if full.with_name(name).exists() else -1
                digest.update(f"\0{name}\0{size}".encode("utf-8", "surrogateescape"))
        except OSError:
            return None
        return digest.hexdigest()


def state(root: Path, path: str, files: Sequence[str]) -> Row:
    """Whether a record has changed is told by the size of its files together and the time of the newest.

    Args:
        root: of the archive.
        path: of the record, relative to the root.
        files: of the record, relative to its folder.

    Returns:
        `size` in bytes and `mtime_ns`; of a file that is not there, nothing.
    """
    size = newest = 0
    folder = (root / path).parent
    for name in files:
        try:
            about = (folder / name).stat()
        except OSError:
            continue
        size, newest = size + about.st_size, max(newest, about.st_mtime_ns)
    return {"size": size, "mtime_ns": newest}
