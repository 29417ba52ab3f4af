"""Prepared images as batches of tensors."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from medcl.errors import MedclError
from medcl.modality.image.config import ImageConfig
from medcl.modality.image.prepare import ImageStore
from medcl.modality.rows import Rows, of_levels
from medcl.modality.sampling import Batch
from medcl.modality.storing import records_of

Ints = NDArray[np.int64]
_LEVELS = ("patient", "study", "series", "trial")


class ImageSamples(Dataset[Batch]):
    """The images of a manifest, whatever other kinds of records it has.

    Args:
        store: prepared images.
        manifest: whose images are taken; those that the store has quarantined are left out.
        config: that they were prepared by.

    Attributes:
        rows: (P,) row of the manifest of each image, ascending.
        at_a_time: images that are embedded together.
        records: (P,) their numbers in the store.
        ids: {level: (P,) int64} for patient, study, series, trial where known for all.

    Raises:
        MedclError: the store was prepared from other records or at another size, or no image is left.
    """

    def __init__(self, store: ImageStore, manifest: Rows, config: ImageConfig) -> None:
        if store.size != tuple(config.size) or store.n_channels != (3 if config.colour else 1):
            raise MedclError(
                f"{store.folder}: images of {store.n_channels} channels and {list(store.size)} pixels; data.colour "
                "and data.size ask for others: prepare them again"
            )
        self.store, self.config, self.at_a_time = store, config, 256
        records = records_of(store, manifest, "image")
        self.rows: Ints = np.flatnonzero(records >= 0)
        if not len(self.rows):
            raise MedclError("there is no image")
        self.records: Ints = records[self.rows]
        self.ids: dict[str, Ints] = of_levels(manifest, self.rows, _LEVELS)

    def __len__(self) -> int:
        """Number of images."""
        return len(self.rows)

    def __getitem__(self, index: int) -> Batch:
        """One image as a batch of one."""
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """A batch.

        Args:
            indices: (B,) numbers of images.

        Returns:
            `x` (B, C, rows, columns) float32 from 0 to 1; `index` (B,) rows of the manifest; `ids` {level: (B,) int64}.
        """
        chosen = np.asarray(indices, dtype=np.int64)
        stored = torch.from_numpy(self.store.read(self.records[chosen]))
        return {
            "x": stored.to(torch.float32).div_(255),
            "index": torch.from_numpy(self.rows[chosen]),
            "ids": {level: torch.from_numpy(ids[chosen]) for level, ids in self.ids.items()},
        }

    def samples_of(self, row: int) -> Ints:
        """Numbers of the images of one row of the manifest: one, or none."""
        first, last = np.searchsorted(self.rows, [row, row + 1])
        return np.arange(first, last)

    def places(self, numbers: Ints) -> None:
        """None: a sample is the whole of its record."""
        return
