"""Gaussian blur: what a lower resolution, a thicker slice or a smoother kernel would have shown."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from medcl.modality.spatial.views.shared import Range, Spacing, between, check_interval, edges, sometimes, spatial
from medcl.modality.views.base import Params, View, check_range


def blur_matrix(sigma: Tensor, size: int) -> Tensor:
    """Make the matrices (B, size, size) that blur an axis by sigma (B,) voxels.

    At the border the weights inside of the image still sum to 1, so that a constant image stays as it is.
    """
    place = torch.arange(size, device=sigma.device)
    distance = (place.unsqueeze(1) - place).float()
    # A sigma of 0 is the identity: a hundredth of a voxel gives every other voxel a weight of exactly 0.
    return torch.softmax(-0.5 * (distance / sigma.clamp(min=0.01)[:, None, None]).square(), dim=-1)


@dataclass(frozen=True)
class Blur(View):
    """Blurs with a Gaussian, the same along all axes, one axis after the other.

    Args:
        sigma: range of the standard deviation, in voxels, or in mm with a spacing.
        probability: that a sample is blurred at all.
        spacing: edge lengths of a voxel (mm), one an axis.

    Raises:
        UsageError: when a setting is out of its range.
    """

    name: ClassVar[str] = "blur"
    sigma: Range
    probability: float = 1.0
    spacing: Spacing | None = None

    def __post_init__(self) -> None:
        check_interval("blur", self.sigma, 0, 1000)
        check_range("blur probability", self.probability, 0, 1)
        if self.spacing is not None:
            edges(self.spacing, len(self.spacing))

    def draw(self, x: Tensor, generator: torch.Generator) -> Params:
        """Draw the `sigma` (B,), 0 where a sample is left as it is."""
        on = sometimes(x, self.probability, generator)
        return {"sigma": torch.where(on, between(x, self.sigma, x.shape[0], generator=generator), 0.0)}

    def apply(self, x: Tensor, params: Params) -> Tensor:
        """Blur along each axis."""
        shape = spatial(x)
        y = x if x.dtype in (torch.float32, torch.float64) else x.float()
        for axis, (size, length) in enumerate(zip(shape, edges(self.spacing, len(shape)), strict=True), start=2):
            matrix = blur_matrix(params["sigma"] / length, size).to(y.dtype)
            # (B, rest, size) x (B, size, size): a matrix product runs at full speed on any device.
            moved = y.movedim(axis, -1)
            with torch.autocast(x.device.type, enabled=False):
                y = torch.bmm(moved.flatten(1, -2), matrix.mT).reshape(moved.shape).movedim(-1, axis)
        return y.contiguous().to(x.dtype)
