"""Signatures on the disk: a second threshold costs seconds, and what was killed goes on where it was."""

import hashlib
import json
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medcl.archive.manifest import Manifest
from medcl.errors import MedclError, cause
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
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for path in sorted(folder.glob("*.json")):
                self._index(path)
        except OSError as error:
            raise MedclError(f"{folder}: signatures cannot be kept there: {cause(error)}") from error

    def __contains__(self, key: str) -> bool:
        return key in self._known

    def __getitem__(self, key: str) -> Signatures:
        """The signatures of a record, (pieces, width), mapped from the file."""
        path, start, count = self._known[key]
        if path not in self._open:
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
        about = json.dumps({"keys": list(keys), "counts": [len(one) for one in signatures]})
        try:
            np.save(path, np.concatenate(list(signatures)))
            draft = self.folder / f"{name}.new"
            draft.write_text(about, encoding="utf-8")
            # The array is whole before there are keys that lead to it.
            os.replace(draft, path.with_suffix(".json"))
        except OSError as error:
            raise MedclError(f"{self.folder}: signatures cannot be kept there: {cause(error)}") from error
        self._index(path.with_suffix(".json"))

    def _index(self, path: Path) -> None:
        about = json.loads(path.read_text(encoding="utf-8"))
        start = 0
        for key, count in zip(about["keys"], about["counts"], strict=True):
            self._known[key] = path.with_suffix(".npy"), start, count
            start += count


def record_keys(manifest: Manifest, rows: Sequence[int]) -> list[str]:
    """What names a record and the state of its files, for each row."""
    nothing = np.full(len(manifest), None, dtype=object)
    columns = [manifest.column(name) if manifest.has(name) else nothing for name in _KEYED]
    return [
        hashlib.blake2b(json.dumps([str(column[row]) for column in columns]).encode(), digest_size=12).hexdigest()
        for row in rows
    ]
