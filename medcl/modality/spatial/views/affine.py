"""Views that move an image or a volume: affine maps, elastic deformation, resized crops."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from medcl.errors import UsageError
from medcl.modality.spatial.views.space import Spacing, SpatialView, between, edges, sample, sometimes, spatial
from medcl.modality.views import Params, Range, check_interval, check_range, normal, uniform


def turn(angle: Tensor, first: int, second: int, dimensions: int) -> Tensor:
    """Make the matrices (B, D, D) of rotations by angles (B,) (degrees) that take axis `first` to axis `second`."""
    radians = torch.deg2rad(angle)
    matrix = torch.eye(dimensions, device=angle.device).repeat(len(angle), 1, 1)
    matrix[:, first, first] = matrix[:, second, second] = radians.cos()
    matrix[:, second, first] = radians.sin()
    matrix[:, first, second] = -radians.sin()
    return matrix


def product(left: Tensor, right: Tensor) -> Tensor:
    """Multiply matrices (B, N, D) and (B, D, D) in full precision.

    Under autocast or TF32 `@` rounds to 8 or 11 bits, and misses a voxel of a large image.
    """
    total = left[:, :, :1] * right[:, None, 0]
    for axis in range(1, right.shape[1]):
        total = total + left[:, :, axis, None] * right[:, None, axis]
    return total


def linear_map(params: Params) -> Tensor:
    """Compose rotation, tilt, scale and shear to matrices (B, D, D): rotation x tilt x scale x shear."""
    dimensions = params["translation"].shape[1]
    matrix = turn(params["rotation"], 0, 1, dimensions)
    if dimensions == 3:
        tilt = params["tilt"]
        matrix = product(product(matrix, turn(tilt[:, 0], 1, 2, dimensions)), turn(tilt[:, 1], 0, 2, dimensions))
    row, column = torch.triu_indices(dimensions, dimensions, offset=1, device=matrix.device)
    shear = torch.eye(dimensions, device=matrix.device).repeat(len(matrix), 1, 1)
    shear[:, row, column] = torch.deg2rad(params["shear"]).tan()
    return params["scale"][:, None, None] * product(matrix, shear)


@dataclass(frozen=True)
class Affine(SpatialView):
    """Turns, scales, shears and moves each sample about the centre of the image.

    Args:
        rotation: largest angle in the plane of the first two axes, either way (degrees).
        tilt: largest angle out of that plane about either of its axes, either way (degrees); volumes only.
        scale: range of the factor of all lengths; above 1 things look larger.
        shear: largest angle of shear between two axes, either way (degrees).
        translation: largest move along each axis, either way, as a share of the image.
        probability: that a sample is moved at all.
        spacing: edge lengths of a voxel (mm), one an axis, without which voxels count as squares or cubes.

    Raises:
        UsageError: when a setting is out of its range.
    """

    name: ClassVar[str] = "affine"
    rotation: float = 0.0
    tilt: float = 0.0
    scale: Range = (1.0, 1.0)
    shear: float = 0.0
    translation: float = 0.0
    probability: float = 1.0
    spacing: Spacing | None = None

    def __post_init__(self) -> None:
        check_range("rotation", self.rotation, 0, 180)
        check_range("tilt", self.tilt, 0, 180)
        check_interval("scale", self.scale, 0.1, 10)
        check_range("shear", self.shear, 0, 60)
        check_range("translation", self.translation, 0, 1)
        check_range("affine probability", self.probability, 0, 1)
        if self.spacing is not None:
            edges(self.spacing, len(self.spacing))

    def draw(self, x: Tensor, generator: torch.Generator) -> Params:
        """Draw `rotation` (B,), `tilt` (B, 2) of volumes, `scale` (B,), `shear` (B, D (D - 1) / 2), `translation`."""
        batch, dimensions = x.shape[0], len(spatial(x))
        on = sometimes(x, self.probability, generator)
        either_way = {
            "rotation": (batch,),
            "shear": (batch, math.comb(dimensions, 2)),
            "translation": (batch, dimensions),
        }
        if dimensions == 3:
            either_way["tilt"] = (batch, 2)
        params: Params = {}
        for name, shape in either_way.items():
            largest = getattr(self, name)
            value = between(x, (-largest, largest), *shape, generator=generator)
            params[name] = torch.where(on if value.ndim == 1 else on.unsqueeze(1), value, 0.0)
        params["scale"] = torch.where(on, between(x, self.scale, batch, generator=generator), 1.0)
        return params

    def source(self, positions: Tensor, params: Params, shape: Sequence[int]) -> Tensor:
        """Go back by the inverse map."""
        lengths = edges(self.spacing, len(shape))
        extent = positions.new_tensor([size * length for size, length in zip(shape, lengths, strict=True)])
        back = torch.linalg.inv_ex(linear_map(params)).inverse
        # (p - centre - translation) in mm, through the inverse, as a share again: one matrix (B, D, D) and one offset.
        back = back * extent / extent.unsqueeze(1)
        moved = positions.flatten(1, -2) - 0.5 - params["translation"].unsqueeze(1)
        return (product(moved, back.mT) + 0.5).reshape(positions.shape)


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
