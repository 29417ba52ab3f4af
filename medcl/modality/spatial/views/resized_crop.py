"""Random crops that are resized to the full size, with their place in the image."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from medcl.errors import UsageError
from medcl.modality.spatial.views.geometry import SpatialView
from medcl.modality.spatial.views.shared import Range, between, check_interval, spatial
from medcl.modality.views.base import Params, check_range, uniform


def in_crop(points: Tensor, params: Params) -> Tensor:
    """Find points (B, ..., D) of the image, as shares of it, in the crop: as shares of the crop.

    A point lies in the crop when all its shares are between 0 and 1. The way back is `ResizedCrop.source`; both
    together take the points of one crop to another crop of the same image.
    """
    batch = points.shape[0]
    start, size = (params[name].reshape(batch, *(1,) * (points.ndim - 2), -1) for name in ("start", "size"))
    return (points - start) / size


@dataclass(frozen=True)
class ResizedCrop(SpatialView):
    """Cuts out a random box and stretches it to the size of the image, by linear interpolation.

    Args:
        side: range of the share of each side in the plane of the first two axes; of an area, take the square root.
        ratio: range of the factor by which the first side is longer in proportion, drawn on a logarithmic scale; sides
            that would be longer than the image are cut to it.
        depth: range of the share of the third axis; volumes only.
        margin: shares at the beginning and at the end of each axis into which no crop begins or ends, where it fits.

    Raises:
        UsageError: when a setting is out of its range.
    """

    name: ClassVar[str] = "resized_crop"
    side: Range
    ratio: Range = (1.0, 1.0)
    depth: Range = (1.0, 1.0)
    margin: Range = (0.0, 0.0)

    def __post_init__(self) -> None:
        check_interval("crop_side", self.side, 0.01, 1)
        check_interval("crop_ratio", self.ratio, 0.1, 10)
        check_interval("crop_depth", self.depth, 0.01, 1)
        for margin in self.margin:
            check_range("crop_margin", margin, 0, 0.5)
        if sum(self.margin) >= 1:
            raise UsageError(f"crop_margin leaves no room for a crop, got {self.margin[0]:g} and {self.margin[1]:g}")

    def draw(self, x: Tensor, generator: torch.Generator) -> Params:
        """Draw the `start` (B, D) and the `size` (B, D) of the crop, as shares of the image."""
        batch, dimensions = x.shape[0], len(spatial(x))
        side = between(x, self.side, batch, generator=generator)
        low, high = torch.tensor(self.ratio).log().tolist()
        stretch = (between(x, (low, high), batch, generator=generator) / 2).exp()
        sides = [side * stretch, side / stretch]
        if dimensions == 3:
            sides.append(between(x, self.depth, batch, generator=generator))
        size = torch.stack(sides, dim=1).clamp(max=1)
        before, after = self.margin
        fits = size <= 1 - before - after
        first = torch.where(fits, before, 0.0)
        room = 1 - size - torch.where(fits, before + after, 0.0)
        return {"start": first + room * uniform(x, batch, dimensions, generator=generator), "size": size}

    def source(self, positions: Tensor, params: Params, shape: Sequence[int]) -> Tensor:
        """Find positions of the crop in the image."""
        between_axes = (1,) * (positions.ndim - 2)
        start, size = (params[name].reshape(positions.shape[0], *between_axes, -1) for name in ("start", "size"))
        return start + positions * size
