"""Views that move an image or a volume in space: any chain of them reads the batch once, through one sampling grid.

A batch is (B, C, H, W) or (B, C, X, Y, Z). The first two axes of space are the plane of a slice, the third is depth.
Positions are shares of the image along each axis, in the order of the array: 0 and 1 are the outer edges of the first
and of the last voxel, so that voxel i of n has its centre at (i + 0.5) / n. They do not depend on the resolution.
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from medcl.errors import UsageError
from medcl.modality.views import Compose, Params, Range, View, check_range, integers, uniform

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


Padding = Literal["border", "zeros", "reflection"]


def centres(x: Tensor) -> Tensor:
    """Return the positions (B, *space, D), float32, of the centres of all voxels of a batch."""
    axes = [(torch.arange(size, device=x.device) + 0.5) / size for size in spatial(x)]
    grid = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
    return grid.expand(x.shape[0], *grid.shape)


def sample(x: Tensor, positions: Tensor, *, padding: Padding = "border", nearest: bool = False) -> Tensor:
    """Read a batch at positions, by linear interpolation.

    Args:
        x: (B, C, *space).
        positions: (B, *any, D), shares of the image.
        padding: what is read outside of the image: the value at its border, zeros, or its reflection.
        nearest: read the nearest voxel instead, as label maps need; then `x` may be of an integer type.

    Returns:
        (B, C, *any), of the dtype of `x`.
    """
    # Half precision cannot tell the voxels of a large image apart, and integers not be interpolated.
    values = x if x.dtype in (torch.float32, torch.float64) else x.float()
    grid = (2 * positions.flip(-1) - 1).to(values.dtype)
    mode = "nearest" if nearest else "bilinear"
    return grid_sample(values, grid, mode=mode, padding_mode=padding, align_corners=False).to(x.dtype)


class SpatialView(View):
    """A view that moves voxels: all that it says is from where each position of the view is read."""

    @abstractmethod
    def source(self, positions: Tensor, params: Params, shape: Sequence[int]) -> Tensor:
        """Say from which positions of the original the positions of the view are read.

        Args:
            positions: (B, ..., D) of the view, as shares of it.
            params: what `draw` gave.
            shape: of space, in voxels.

        Returns:
            (B, ..., D), as shares of the original; they may lie outside of it.
        """

    def apply(self, x: Tensor, params: Params) -> Tensor:
        """Read the batch, with the value of the border outside of it."""
        return sample(x, self.source(centres(x), params, spatial(x)))


@dataclass(frozen=True)
class Geometry(SpatialView):
    """Several spatial views, one after the other, for the price of one interpolation.

    A part of the image that one view moves out of the frame is not lost: a later view may bring it back.

        geometry = Geometry((crop, flip, affine))
        params = geometry.draw(x, generator)
        y, labels_of_y = geometry.apply(x, params), geometry.labels(labels, params)
        in_x = geometry.source(points_in_y, params, x.shape[2:])

    Args:
        views: in the order in which they are applied; each kind at most once.
        padding: what is read outside of the image: the value at its border, zeros, or its reflection.

    Raises:
        UsageError: when a view is there twice.
    """

    name: ClassVar[str] = "geometry"
    views: tuple[SpatialView, ...]
    padding: Padding = "border"

    def __post_init__(self) -> None:
        if self.padding not in ("border", "zeros", "reflection"):
            raise UsageError(f"padding is 'border', 'zeros' or 'reflection', got {self.padding!r}")
        Compose(self.views)

    def draw(self, x: Tensor, generator: torch.Generator) -> Params:
        """Draw the parameters of all views, named `view.parameter`."""
        return Compose(self.views).draw(x, generator)

    def source(self, positions: Tensor, params: Params, shape: Sequence[int]) -> Tensor:
        """Go back through the views, from the last to the first."""
        for view in reversed(self.views):
            prefix = f"{view.name}."
            own = {key.removeprefix(prefix): value for key, value in params.items() if key.startswith(prefix)}
            positions = view.source(positions, own, shape)
        return positions

    def apply(self, x: Tensor, params: Params) -> Tensor:
        """Read the batch once."""
        return sample(x, self.source(centres(x), params, spatial(x)), padding=self.padding)

    def labels(self, x: Tensor, params: Params) -> Tensor:
        """Make the same view of a label map (B, C, *space) of any dtype: no value that was not there before."""
        positions = self.source(centres(x), params, spatial(x))
        return sample(x, positions, padding=self.padding, nearest=True)


@dataclass(frozen=True)
class Flip(SpatialView):
    """Mirrors along each of some axes, independently.

    Which axes are meaningful is a matter of anatomy: axis 1 of (H, W) is left and right of a radiograph, axis 0 of a
    volume in RAS+ is left and right of the patient. A flipped heart or liver is a situs inversus.

    Args:
        axes: of space, counted from 0.
        probability: of mirroring a sample along an axis.
    """

    name: ClassVar[str] = "flip"
    axes: tuple[int, ...]
    probability: float = 0.5

    def __post_init__(self) -> None:
        check_range("flip", self.probability, 0, 1)

    def draw(self, x: Tensor, generator: torch.Generator) -> Params:
        """Draw along which axes to `flip` (B, D).

        Raises:
            UsageError: when the batch has not all of the axes.
        """
        dimensions = len(spatial(x))
        if not self.axes or not all(0 <= axis < dimensions for axis in self.axes):
            raise UsageError(f"flip_axes are among 0 to {dimensions - 1} for shape {tuple(x.shape)}, got {self.axes}")
        asked = torch.tensor([axis in self.axes for axis in range(dimensions)], device=x.device)
        return {"flip": (uniform(x, x.shape[0], dimensions, generator=generator) < self.probability) & asked}

    def source(self, positions: Tensor, params: Params, shape: Sequence[int]) -> Tensor:
        """Mirror the positions."""
        flip = params["flip"]
        flip = flip.reshape(flip.shape[0], *(1,) * (positions.ndim - 2), -1)
        return torch.where(flip, 1 - positions, positions)


@dataclass(frozen=True)
class Rotate90(SpatialView):
    """Turns the plane of the first two axes by 90, 180 or 270 degrees, from the first axis to the second.

    Args:
        probability: of turning a sample at all.
    """

    name: ClassVar[str] = "rotate90"
    probability: float

    def __post_init__(self) -> None:
        check_range("rotate90", self.probability, 0, 1)

    def draw(self, x: Tensor, generator: torch.Generator) -> Params:
        """Draw the quarter `turns` (B,), 0 to 3."""
        turns = integers(x, x.shape[0], low=1, high=4, generator=generator)
        return {"turns": torch.where(sometimes(x, self.probability, generator), turns, 0)}

    def source(self, positions: Tensor, params: Params, shape: Sequence[int]) -> Tensor:
        """Turn the positions back.

        Raises:
            UsageError: when the plane is not a square.
        """
        if shape[0] != shape[1]:
            raise UsageError(
                f"rotate90 needs a square plane, got {shape[0]} x {shape[1]} voxels: crop or pad it before"
            )
        turns = params["turns"].reshape(-1, *(1,) * (positions.ndim - 2))
        first, second = positions[..., 0], positions[..., 1]
        for _ in range(3):
            first, second = torch.where(turns > 0, second, first), torch.where(turns > 0, 1 - first, second)
            turns = turns - 1
        return torch.cat((torch.stack((first, second), dim=-1), positions[..., 2:]), dim=-1)
