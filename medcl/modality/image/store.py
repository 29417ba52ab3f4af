"""Prepared images: one array `pictures.b2nd` (images, channels, rows, columns) uint8, 0 black and 255 white.

Each image is a block of its own; the index says which record lies where.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from medcl.errors import MedclError
from medcl.modality.storing import Appended, StoredArrays, StoreIndex

VERSION = 1
INDEX = StoreIndex("images", b"medcl images", VERSION, pa.schema([("record_id", pa.string()), ("place", pa.int64())]))
"""`about`: key, size, n_channels, quarantine."""
# A block is one image, so that no other is decompressed with it; a chunk is what is written at once.
LAYOUT = Appended("pictures.b2nd", "", "place", "LZ4", False, block=1, blocks=16)
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class ImageStore:
    """Prepared images, opened for reading; they are numbered in the order of the manifest.

    Args:
        folder: of the store.
        record_ids: (R,) of the images.
        size: rows and columns of every image.
        n_channels: 1 (grey) or 3 (red, green, blue).
        quarantine: record id -> why the image could not be prepared.
        place: (R,) of each in the array.
        stored: the array.
    """

    folder: Path
    record_ids: NDArray[Any]
    size: tuple[int, int]
    n_channels: int
    quarantine: dict[str, str]
    place: Ints
    stored: StoredArrays = field(repr=False)

    @classmethod
    def of(cls, stored: StoredArrays) -> Self:
        """Images that `prepare` has published."""
        table, about = stored.columns, stored.about
        rows, columns = about["size"]
        return cls(
            folder=stored.folder,
            record_ids=np.asarray(table["record_id"].to_pylist(), dtype=object),
            size=(rows, columns),
            n_channels=about["n_channels"],
            quarantine=about["quarantine"],
            place=table["place"].to_numpy(),
            stored=stored,
        )

    def __len__(self) -> int:
        """Number of images."""
        return len(self.record_ids)

    def described(self) -> str:
        """What it holds, in words."""
        return f"{len(self)} images"

    def read(self, records: Ints | Sequence[int]) -> NDArray[np.uint8]:
        """Images, read in the order in which they lie on the disk.

        Args:
            records: (B,) numbers of images.

        Returns:
            (B, channels, rows, columns): 0 is black, 255 white.

        Raises:
            MedclError: there is no such image.
        """
        numbers = np.asarray(records, dtype=np.int64)
        if len(numbers) and (numbers.min() < 0 or numbers.max() >= len(self)):
            raise MedclError(f"{self.folder}: image {int(numbers.max())} of {len(self)}")
        images = np.empty((len(numbers), self.n_channels, *self.size), dtype=np.uint8)
        places = self.place[numbers]
        for i in np.argsort(places, kind="stable").tolist():
            self.stored.read_into(images[i : i + 1], LAYOUT.name, (int(places[i]), 0, 0, 0))
        return images
