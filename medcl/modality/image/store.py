"""The store of pictures: each decoded once, brought to one size and kept in one compressed, memory-mapped array.

A store is a folder: `pictures.b2nd` (pictures, channels, rows, columns) uint8, where 0 is black and 255 white, has the
pictures in the order of the manifest, each a block of its own; `index.parquet` says which record lies where.
"""

import errno
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from medcl.data.frames import Frame, Frames
from medcl.data.index import FRAMES, Index
from medcl.errors import MedclError

IMAGE_STORE_VERSION = 1
ARRAY = "pictures.b2nd"
_INDEX = Index(
    "pictures", b"medcl images", IMAGE_STORE_VERSION, pa.schema([("record_id", pa.string()), ("place", pa.int64())])
)
_PICTURES_OF_A_CHUNK = 16
"""A block is one picture, so that no other is decompressed with it; a chunk is what is written at once."""
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class ImageStore:
    """Prepared pictures, opened for reading; they are numbered in the order of the manifest.

    Args:
        folder: of the store.
        record_ids: (R,) of the pictures.
        size: rows and columns of every picture.
        n_channels: 1 (grey) or 3 (red, green, blue).
        quarantine: record id -> why the picture could not be prepared.
        place: (R,) of each in the array.
        checksums: of the array, see `Frames`.
    """

    folder: Path
    record_ids: NDArray[Any]
    size: tuple[int, int]
    n_channels: int
    quarantine: dict[str, str]
    place: Ints
    checksums: dict[str, list[int]] = field(default_factory=dict)
    _opened: dict[int, Frame] = field(init=False, repr=False, default_factory=dict)

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open a store that `prepare_images` published.

        Args:
            folder: of the store.

        Raises:
            MedclError: if the folder is no store of pictures, or one of another version.
        """
        table, about = _INDEX.read(folder)
        rows, columns = about["size"]
        return cls(
            folder=folder,
            record_ids=np.asarray(table["record_id"].to_pylist(), dtype=object),
            size=(rows, columns),
            n_channels=about["n_channels"],
            quarantine=about["quarantine"],
            checksums=about.get(FRAMES, {}),
            place=table["place"].to_numpy(),
        )

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self.record_ids)

    def __getstate__(self) -> dict[str, Any]:
        """Memory maps stay in their process."""
        return {**self.__dict__, "_opened": {}}

    def read(self, records: Ints | Sequence[int]) -> NDArray[np.uint8]:
        """Pictures, read in the order in which they lie on the disk.

        Args:
            records: (B,) numbers of pictures.

        Returns:
            (B, channels, rows, columns): 0 is black, 255 white.

        Raises:
            MedclError: there is no such picture.
        """
        numbers = np.asarray(records, dtype=np.int64)
        if len(numbers) and (numbers.min() < 0 or numbers.max() >= len(self)):
            raise MedclError(f"{self.folder}: picture {int(numbers.max())} of {len(self)}")
        shape = (self.n_channels, *self.size)
        pictures = np.empty((len(numbers), *shape), dtype=np.uint8)
        places, frame = self.place[numbers], self._frame()
        array = frame.array
        for i in np.argsort(places, kind="stable").tolist():
            place = int(places[i])
            frame.check(place // array.chunks[0])
            # What indexing comes down to, without half a ms of looking at what the index might be.
            try:
                array.get_slice_numpy(pictures[i : i + 1], ((place, 0, 0, 0), (place + 1, *shape)))
            except RuntimeError as error:
                raise frame.damaged() from error
        return pictures

    def _frame(self) -> Frame:
        # A map that was opened before a fork is not used behind it: blosc2's handles are not made for two processes.
        process = os.getpid()
        if process not in self._opened:
            self._opened[process] = Frames(self.folder, self.checksums).open(ARRAY)
        return self._opened[process]


class ImageWriter:
    """Writes the pictures of a new store, which come in about their order.

    Args:
        folder: of the store.
        count: of pictures, also of those that will never come.
        shape: of each: channels, rows, columns.
    """

    def __init__(self, folder: Path, count: int, shape: tuple[int, int, int]) -> None:
        import blosc2

        self._count, self._shape = count, shape
        self._array: Any = blosc2.zeros(
            (count, *shape),
            dtype=np.uint8,
            chunks=(min(count, _PICTURES_OF_A_CHUNK), *shape),
            blocks=(1, *shape),
            urlpath=str(folder / ARRAY),
            mode="w",
            contiguous=True,
            cparams={"codec": blosc2.Codec.LZ4, "clevel": 5, "filters": [blosc2.Filter.NOFILTER], "nthreads": 1},
        )
        self._waiting: dict[int, NDArray[np.uint8]] = {}
        self._missing: dict[int, int] = {}

    def add(self, place: int, picture: NDArray[np.uint8] | None) -> None:
        """Add a picture, or None where there will be none; a chunk is written when it is complete.

        Raises:
            OSError: the disk is full.
        """
        chunk, at = divmod(place, _PICTURES_OF_A_CHUNK)
        first = chunk * _PICTURES_OF_A_CHUNK
        size = min(_PICTURES_OF_A_CHUNK, self._count - first)
        self._missing.setdefault(chunk, size)
        if picture is not None:
            if chunk not in self._waiting:
                self._waiting[chunk] = np.zeros((size, *self._shape), dtype=np.uint8)
            self._waiting[chunk][at] = picture
        self._missing[chunk] -= 1
        if not self._missing[chunk] and chunk in self._waiting:
            pictures = self._waiting.pop(chunk)
            try:
                self._array[first : first + len(pictures)] = pictures
            except RuntimeError as error:
                # This is how blosc2 tells that the file system took no more.
                raise OSError(errno.ENOSPC, f"pictures {first} to {first + len(pictures)}") from error

    @property
    def written(self) -> int:
        """Bytes on the disk."""
        return int(self._array.schunk.cbytes)


def write_index(folder: Path, record_ids: Iterable[str], places: Iterable[int], about: dict[str, Any]) -> None:
    """Write the index of a store whose array is finished.

    Args:
        folder: of the store.
        record_ids: of the pictures.
        places: of each in the array.
        about: key, size, n_channels, quarantine.
    """
    _INDEX.write(folder, {"record_id": list(record_ids), "place": list(places)}, about)
