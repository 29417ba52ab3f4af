"""Random affine maps: rotation, scale, shear and translation about the centre of the image."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from medcl.modality.spatial.views.geometry import SpatialView
from medcl.modality.spatial.views.shared import Range, Spacing, between, check_interval, edges, sometimes, spatial
from medcl.modality.views.base import Params, check_range


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
