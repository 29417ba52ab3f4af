"""What the tests of views in space share: batches, and an independent way to read an image between its voxels."""

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

IMAGE, VOLUME = (6, 2, 20, 24), (4, 2, 12, 14, 10)
both = pytest.mark.parametrize("shape", [IMAGE, VOLUME], ids=["image", "volume"])


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch(shape: tuple[int, ...]) -> Tensor:
    return torch.rand(shape, generator=seeded(1))


def read(image: Tensor, voxels: np.ndarray) -> Tensor:
    """Read one image (C, *space) at places (D, *space) in voxels, linearly, with the border outside."""
    channels = [ndimage.map_coordinates(c, voxels, order=1, mode="nearest") for c in image.double().numpy()]
    return torch.from_numpy(np.stack(channels)).float()


def same(y: Tensor, expected: Tensor, tolerance: float = 2e-4) -> None:
    torch.testing.assert_close(y, expected, rtol=0, atol=tolerance)
