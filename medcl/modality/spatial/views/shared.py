"""What the views of images and volumes share: the shape of a batch, parameters drawn from a range, or only sometimes.

A batch is (B, C, H, W) or (B, C, X, Y, Z). The first two axes of space are the plane of a slice, the third is depth.
"""

import torch
from torch import Tensor

from medcl.errors import UsageError
from medcl.modality.views import Range, uniform

Spacing = tuple[float, ...]


def spatial(x: Tensor) -> tuple[int, ...]:
    """Return the shape of space, (H, W) or (X, Y, Z).

    Raises:
        UsageError: when `x` is not a batch of images or volumes.
    """
    if x.ndim not in (4, 5):
        raise UsageError(f"image views take a batch (B, C, H, W) or (B, C, X, Y, Z), got shape {tuple(x.shape)}")
    return tuple(x.shape[2:])


def per_sample(values: Tensor, x: Tensor) -> Tensor:
    """Shape the one value (B,) of each sample so that it multiplies a batch like `x`, in the batch's dtype."""
    return values.to(x.dtype).reshape(-1, *(1,) * (x.ndim - 1))


def edges(spacing: Spacing | None, dimensions: int) -> Spacing:
    """Return the edge lengths of a voxel along each axis; without a spacing all are 1, and lengths are in voxels.

    Raises:
        UsageError: when there is not one positive length for each axis.
    """
    lengths = (1.0,) * dimensions if spacing is None else spacing
    if len(lengths) != dimensions or not all(length > 0 for length in lengths):
        raise UsageError(f"spacing is one positive length (mm) for each of the {dimensions} axes, got {spacing}")
    return lengths


def between(x: Tensor, interval: Range, *shape: int, generator: torch.Generator) -> Tensor:
    """Draw float32 numbers uniformly from a range, on the device of `x`."""
    low, high = interval
    return low + (high - low) * uniform(x, *shape, generator=generator)


def sometimes(x: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    """Draw which samples (B,) get a view, on the device of `x`."""
    return uniform(x, x.shape[0], generator=generator) < probability
