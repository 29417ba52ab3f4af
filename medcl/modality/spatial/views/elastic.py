"""Elastic deformation: a smooth random field of displacements, given at the points of a coarse grid."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from medcl.errors import UsageError
from medcl.modality.spatial.views.geometry import SpatialView, sample
from medcl.modality.spatial.views.shared import Spacing, edges, sometimes, spatial
from medcl.modality.views.base import Params, check_range, normal


def spline_weights(places: Tensor, points: int) -> Tensor:
    """Weigh the values at points 0 to K - 1 for a cubic spline through them, mirrored at both ends.

    Args:
        places: (...) between 0 and K - 1; what lies outside takes the value of the end.
        points: K, at least 2.

    Returns:
        (..., K): the spline is the sum of the values with these weights.
    """
    knots = torch.arange(-1, points + 1)
    mirrored = (points - 1 - (points - 1 - knots.abs()).abs()).abs()
    fold = torch.nn.functional.one_hot(mirrored, points).to(torch.float64)
    at_points = fold[:-2] / 6 + fold[1:-1] * 4 / 6 + fold[2:] / 6
    cardinal = (fold @ torch.linalg.inv(at_points)).to(places)
    distance = (places.clamp(0, points - 1).unsqueeze(-1) - knots.to(places)).abs()
    wide, narrow = (2 - distance).clamp_(min=0), (1 - distance).clamp_(min=0)
    weights: Tensor = (wide * wide * wide / 6 - narrow * narrow * narrow * (2 / 3)) @ cardinal
    return weights


def refine(values: Tensor, shape: Sequence[int]) -> Tensor:
    """Refine vectors (B, K, ..., K, D) on a coarse grid to one for each voxel, (B, D, *shape), one axis at a time."""
    points = values.shape[1]
    field = values.movedim(-1, 1)
    for axis, size in enumerate(shape, start=2):
        places = torch.arange(size, device=values.device) / max(size - 1, 1) * (points - 1)
        field = (field.movedim(axis, -1) @ spline_weights(places, points).mT).movedim(-1, axis)
    return field.contiguous()


@dataclass(frozen=True)
class Elastic(SpatialView):
    """Displaces the points of a coarse grid at random and all between them along a cubic spline.

    The grid reaches from the first to the last voxel of each axis. Chaitanya et al. (2020) fine-tune with a grid of
    3 x 3 points and a standard deviation of 5 pixels. A field folds when neighbouring points move by more than their
    distance: keep sigma below a fifth of it.

    Args:
        sigma: standard deviation of a point's displacement along each axis, in voxels, or in mm with a spacing.
        points: of the grid along each axis.
        probability: that a sample is deformed at all.
        spacing: edge lengths of a voxel (mm), one an axis.

    Raises:
        UsageError: when a setting is out of its range.
    """

    name: ClassVar[str] = "elastic"
    sigma: float
    points: int = 3
    probability: float = 1.0
    spacing: Spacing | None = None

    def __post_init__(self) -> None:
        check_range("elastic", self.sigma, 0, 1000)
        check_range("elastic probability", self.probability, 0, 1)
        if self.points < 2:
            raise UsageError(f"an elastic grid needs at least two points along each axis, got {self.points}")
        if self.spacing is not None:
            edges(self.spacing, len(self.spacing))

    def draw(self, x: Tensor, generator: torch.Generator) -> Params:
        """Draw the `displacement` (B, K, ..., K, D) of the points (voxels or mm)."""
        dimensions = len(spatial(x))
        grid = (self.points,) * dimensions
        on = sometimes(x, self.probability, generator).reshape(-1, *(1,) * (dimensions + 1))
        displacement = normal(x, x.shape[0], *grid, dimensions, generator=generator)
        return {"displacement": torch.where(on, self.sigma * displacement, 0.0)}

    def source(self, positions: Tensor, params: Params, shape: Sequence[int]) -> Tensor:
        """Read at the displaced positions."""
        lengths = edges(self.spacing, len(shape))
        extent = positions.new_tensor([size * length for size, length in zip(shape, lengths, strict=True)])
        # Half precision would move voxels in steps.
        with torch.autocast(positions.device.type, enabled=False):
            field = refine(params["displacement"] / extent, shape)
        # Between voxels so smooth a field is linear: reading it costs a fraction of the spline itself.
        points = positions.reshape(positions.shape[0], -1, *(1,) * (len(shape) - 1), len(shape))
        return positions + sample(field, points).movedim(1, -1).reshape(positions.shape)
