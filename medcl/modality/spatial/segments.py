"""Segments of images and volumes: neighbouring cells of like intensity, and which of them are foreground."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

_POOL: tuple[Any, ...] = (F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d)


def intensities(x: Tensor, grid: Sequence[int]) -> Tensor:
    """The mean intensity of each cell.

    Args:
        x: (N, C, ...) images or volumes.
        grid: cells along each axis.

    Returns:
        (N, P), in the order of a dense embedding.
    """
    pooled: Tensor = _POOL[len(grid) - 1](x.float().mean(dim=1, keepdim=True), tuple(grid))
    return pooled.flatten(1)


def foreground(values: Tensor, iterations: int = 8) -> Tensor:
    """Cells that are brighter than a threshold half-way between the means of those above and below it.

    Args:
        values: (N, P) intensities.
        iterations: by which the threshold of each image is found (Ridler and Calvard, IEEE T-SMC 1978).

    Returns:
        (N, P) bool; none in an image of one intensity.
    """
    threshold = values.mean(dim=1, keepdim=True)
    for _ in range(iterations):
        above = values > threshold
        upper = (values * above).sum(1, keepdim=True) / above.sum(1, keepdim=True).clamp(min=1)
        lower = (values * ~above).sum(1, keepdim=True) / (~above).sum(1, keepdim=True).clamp(min=1)
        threshold = torch.where(above.any(1, keepdim=True), (upper + lower) / 2, threshold)
    return values > threshold


def segments(values: Tensor, grid: Sequence[int], count: int, compactness: float = 1.0, iterations: int = 4) -> Tensor:
    """Divide each image into segments, by k-means of intensity and place from a regular grid of centres (SLIC).

    Args:
        values: (N, P) intensities.
        grid: cells along each axis, P in all.
        count: about how many segments.
        compactness: weight of places beside intensities; an image's side counts as much as so many standard deviations
            of its intensities, times the number of centres along it.
        iterations: of k-means.

    Returns:
        (N, P) int64, the segment of each cell, below the product of the coarse grid.
    """
    axes = [torch.linspace(0, 1, length, device=values.device) for length in grid]
    places = torch.stack(torch.meshgrid(*axes, indexing="ij")).flatten(1)
    along = max(1.0, count ** (1 / len([length for length in grid if length > 1] or [1])))
    coarse = tuple(min(length, max(1, round(along))) for length in grid)
    spread = values.std(dim=1, keepdim=True, correction=0).clamp(min=1e-6)
    scaled = ((values - values.mean(dim=1, keepdim=True)) / spread)[:, None]
    features = torch.cat([scaled, compactness * along * places.expand(len(values), -1, -1)], dim=1)
    centres = _POOL[len(grid) - 1](torch.unflatten(features, 2, tuple(grid)), coarse).flatten(2).mT
    cells = features.mT
    for _ in range(iterations):
        member = F.one_hot(torch.cdist(cells, centres).argmin(dim=2), centres.shape[1]).to(cells.dtype)
        size = member.sum(dim=1)[..., None]
        centres = torch.where(size > 0, member.mT @ cells / size.clamp(min=1), centres)
    return torch.cdist(cells, centres).argmin(dim=2)
