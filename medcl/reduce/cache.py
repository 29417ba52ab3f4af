"""Signatures on the disk: a second threshold costs seconds, and what was killed goes on where it was."""

import hashlib
import json
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medcl import files
from medcl.archive.manifest import Manifest
from medcl.checksums import damaged, file_checksum, read_json, sealed
from medcl.errors import MedclError
from medcl.reduce.strategy import Signatures

_KEYED = ("record_id", "checksum", "size", "mtime_ns", "path", "part", "format", "modality", "report")


class SignatureCache:
    """A folder of chunks: an array of the signatures of some records, and their keys beside it.

    Args:
        folder: of the signatures of one strategy and one kind of units; made if need be.

    Raises:
        MedclError: it cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: dict[str, tuple[Path, int, int]] = {}
        self._open: dict[Path, NDArray[Any]] = {}
        self._sums: dict[Path, str] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for path in sorted(folder.glob("*.json")):
                self._index(path)
        except OSError as error:
            raise files.unwritable(folder, error) from error

    def __contains__(self, key: str) -> bool:
        return key in self._known

    def __getitem__(self, key: str) -> Signatures:
        """The signatures of a record, (pieces, width), mapped from the file."""
        path, start, count = self._known[key]
        if path not in self._open:
            if self._sums[path] not in ("", file_checksum(path)):
                raise damaged(path, f"remove {self.folder}, and the same command makes it again")
            self._open[path] = np.load(path, mmap_mode="r")
        return self._open[path][start : start + count]

    def add(self, keys: Sequence[str], signatures: Sequence[Signatures]) -> None:
        """Keep the signatures of some records; they are on the disk when this returns.

        Args:
            keys: of the records.
            signatures: (pieces, width) of each; none where there are no keys.

        Raises:
            MedclError: the disk is full.
        """
        if not keys:
            return
        name = secrets.token_hex(8)
        path = self.folder / f"{name}.npy"
        about: dict[str, Any] = {"keys": list(keys), "counts": [len(one) for one in signatures]}
        with files.draft(path) as place, place.open("wb") as file:
            np.save(file, np.concatenate(list(signatures)))
            file.flush()
            about["sum"] = file_checksum(place)
        # The array is whole before there are keys that lead to it.
        files.write(path.with_suffix(".json"), json.dumps(sealed(about)))
        self._index(path.with_suffix(".json"))

    def _index(self, path: Path) -> None:
        try:
            about = read_json(path, "")
        except MedclError:
            return  # Damaged: what it leads to is computed again.
        start, array = 0, path.with_suffix(".npy")
        self._sums[array] = str(about.get("sum", ""))
        for key, count in zip(about["keys"], about["counts"], strict=True):
            self._known[key] = array, start, count
            start += count


def record_keys(manifest: Manifest, rows: Sequence[int]) -> list[str]:
    """What names a record and the state of its files, for each row."""
    nothing = np.full(len(manifest), None, dtype=object)
    columns = [manifest.column(name) if manifest.has(name) else nothing for name in _KEYED]
    return [
        hashlib.blake2b(json.dumps([str(column[row]) for column in columns]).encode(), digest_size=12).hexdigest()
        for row in rows
    ]
