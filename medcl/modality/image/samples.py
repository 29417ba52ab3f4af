"""Prepared images as batches of tensors."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medcl.errors import MedclError, UsageError
from medcl.modality.image.config import ImageConfig
from medcl.modality.image.prepare import ImageStore
from medcl.modality.rows import Rows, of_levels
from medcl.modality.sampling import NumberedSamples
from medcl.modality.storing import records_of

Ints = NDArray[np.int64]
_LEVELS = ("patient", "study", "series", "trial")


class ImageSamples(NumberedSamples):
    """The images of a manifest, whatever other kinds of records it has.

    Args:
        store: prepared images.
        manifest: whose images are taken; those that the store has quarantined are left out.
        config: that they were prepared by.

    Attributes:
        rows: (P,) row of the manifest of each image, ascending.
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
        self.store, self.config = store, config
        records = records_of(store, manifest, "image")
        self.rows: Ints = np.flatnonzero(records >= 0)
        if not len(self.rows):
            raise MedclError("there is no image")
        self.records: Ints = records[self.rows]
        self.ids: dict[str, Ints] = of_levels(manifest, self.rows, _LEVELS)

    def read(self, numbers: Ints) -> Tensor:
        """Images (B, C, rows, columns) float32, from 0 to 1."""
        return torch.from_numpy(self.store.read(self.records[numbers])).to(torch.float32).div_(255)


samples = ImageSamples


def pieces(record: NDArray[np.float32], config: ImageConfig) -> Tensor:
    """An image (C, rows, columns) from 0 to 1 as the only sample of its record.

    Raises:
        UsageError: it is of another size.
    """
    x, expected = np.asarray(record, dtype=np.float32), (3 if config.colour else 1, *config.size)
    if x.shape != expected:
        raise UsageError(f"an array of the shape {x.shape}: expected an image {expected}, from 0 (black) to 1")
    return torch.from_numpy(x)[None]
