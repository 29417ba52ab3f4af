"""The store: the records of one wing decoded once, as compressed, memory-mapped arrays and their index, in one step.

A store is a folder: arrays of blosc2 (`*.b2nd`), in which a record has an array of its own or some rows of one that it
shares, each in the type in which the archive holds it (int16 stays int16); and `index.parquet`, which says where each
record lies and what its wing wants to know of it. Reports have arrays of another kind, see their wing.
"""

import json
import os
import secrets
import shutil
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from medcl import files, parquet
from medcl.data.frames import Frame, Frames, remedy_of, write_sums
from medcl.errors import MedclError
from medcl.files import damaged, file_checksum
from medcl.modality import WINGS, wing
from medcl.modality.storing import StoreIndex

INDEX = "index.parquet"
_SUMS, _ORDERED, _PARTS = "checksums", "checksums_of_order", "parts"
_OPEN = 256
"""Arrays that a process keeps open; the system allows it some thousand, and opening one takes a third of a ms."""


class Store:
    """The arrays of a folder and their index, opened for reading.

    Args:
        folder: of the store.
        columns: the index, one row a record.
        key: under which the metadata of the index says what holds for all records.
    """

    def __init__(self, folder: Path, columns: pa.Table, key: bytes) -> None:
        self.folder, self.columns, self._key = folder, columns, key
        about: dict[str, Any] = json.loads(columns.schema.metadata[key])
        self.about = about
        # A store from before there were checksums has none.
        self._frames = Frames(folder, about.get(_SUMS, {}), about.get(_ORDERED, False))
        self._open: OrderedDict[tuple[int, str], Frame] = OrderedDict()

    def __reduce__(self) -> tuple[Any, tuple[Path, bytes]]:
        # Another process opens the files itself instead of being sent what they hold.
        return _opened_before, (self.folder, self._key)

    def dtype(self, name: str) -> np.dtype[Any]:
        """Type of the numbers of an array."""
        dtype: np.dtype[Any] = self._frame(name).dtype
        return dtype

    def read_into(self, out: NDArray[Any], name: str, start: Sequence[int]) -> None:
        """Read the part of an array that begins at `start` and has the shape of `out`, contiguous and of its type.

        Only the blocks that it touches are decompressed.

        Raises:
            MedclError: the file is missing or damaged.
        """
        self._frame(name).read_into(out, start)

    def _frame(self, name: str) -> Frame:
        # A map that was opened before a fork is not used behind it: blosc2's handles are not made for two processes.
        key = (os.getpid(), name)
        if key in self._open:
            self._open.move_to_end(key)
            return self._open[key]
        frame = self._open[key] = self._frames.open(name)
        if len(self._open) > _OPEN:
            self._open.popitem(last=False)
        return frame


def open_store(folder: Path, name: str | None = None) -> Any:
    """Open a store that `prepare` published, of the wing of this name; None: whichever its records are of.

    Returns:
        The store as its wing reads it: `SignalStore`, `VolumeStore`, `ImageStore`, `ReportStore`, ...

    Raises:
        MedclError: the folder is no store, is damaged, holds records of another wing, or is of another version.
    """
    path = folder / INDEX
    if not path.is_file():
        raise MedclError(f"{folder}: not a prepared store ({INDEX} is missing)")
    try:
        table = parquet.read(path, remedy_of(folder))
    except (pa.ArrowException, OSError) as error:
        raise damaged(path, remedy_of(folder)) from error
    held = table.schema.metadata or {}
    name = name or next((one for one in WINGS if wing(one).index.key in held), WINGS[0])
    index = wing(name).index
    if index.key not in held:
        raise MedclError(f"{folder}: not a store of {index.records}: was it prepared from other records?")
    try:
        store = Store(folder, table, index.key)
        version = store.about["version"]
        parts = store.about.get(_PARTS, {})
        broken = [part for part, known in parts.items() if file_checksum(folder / part) != known]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise damaged(path, remedy_of(folder)) from error
    if version != index.version:
        raise MedclError(
            f"{folder}: a store of version {version}, this medcl reads version {index.version}: "
            "prepare the archive again"
        )
    if broken:
        raise damaged(folder / broken[0], remedy_of(folder))
    try:
        return wing(name).opened(store)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise damaged(folder, remedy_of(folder)) from error


def _opened_before(folder: Path, key: bytes) -> Store:
    return Store(folder, parquet.read(folder / INDEX, remedy_of(folder)), key)


def write_index(folder: Path, index: StoreIndex, columns: Mapping[str, Any], about: Mapping[str, Any]) -> None:
    """Write the index, last of all, with the checksums of what is in the folder."""
    # Arrays of blosc2 are checked chunk by chunk; the other parts are small, and are checked as a whole.
    parts = {one.name: file_checksum(one) for one in sorted(folder.iterdir()) if one.suffix in (".npy", ".arrow")}
    own = {"version": index.version, _SUMS: write_sums(folder), _ORDERED: True, _PARTS: parts}
    stored = json.dumps({**own, **about}).encode()
    parquet.write(folder / INDEX, pa.table(dict(columns), schema=index.schema.with_metadata({index.key: stored})))


_AT_BEST = 0.2
"""Prepared records do not compress further than this; with less room there is no use in starting."""


def publish(folder: Path, key: str, needed: int, make: Callable[[Path], None]) -> Path:
    """Make a store, unless it is there.

    It is published at the end in one step: an interrupted preparation leaves nothing behind that opens. Of several
    processes that want the same store, one prepares it and the others wait.

    Raises:
        MedclError: the disk is full.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _turn(folder, key):
            if not (folder / key).is_dir():
                _check_room(folder, needed)
                _make(folder, key, make)
    except OSError as error:
        raise MedclError(
            f"{folder}: the store cannot be written ({files.write_reason(error)}): it needs up to "
            f"{in_words(needed)}, {in_words(_free(folder))} are free: make room or choose another folder"
        ) from error
    return folder / key


def in_words(count: int) -> str:
    """A number of bytes for people."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


@contextmanager
def _turn(folder: Path, key: str) -> Iterator[None]:
    """Wait until no other process prepares this store, and clear away what one that was killed has left."""
    with files.lock(folder / f".{key}.lock") as alone:
        # Where a file system knows no locks, two processes do the same work, and the first publishes.
        if alone:
            for left in folder.glob(f"partial-{key}-*"):
                shutil.rmtree(left, ignore_errors=True)
        yield


def _make(folder: Path, key: str, make: Callable[[Path], None]) -> None:
    partial = folder / f"partial-{key}-{secrets.token_hex(4)}"
    partial.mkdir()
    try:
        make(partial)
        try:
            partial.rename(folder / key)
        except OSError:
            if not (folder / key).is_dir():
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _check_room(folder: Path, needed: int) -> None:
    if _free(folder) < _AT_BEST * needed:
        least = in_words(int(_AT_BEST * needed))
        raise MedclError(
            f"{folder}: at least {least} are needed for the store, {in_words(_free(folder))} are free: make room or "
            "choose another folder"
        )


def _free(folder: Path) -> int:
    # The folder itself may not have come into being.
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    return shutil.disk_usage(there).free
