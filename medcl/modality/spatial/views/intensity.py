"""Views that change the values of an image or a volume and leave every voxel in its place.

They take the batch in any units, and their settings are in the same units. What suits a modality:

- CT, a window of Hounsfield units mapped to [0, 1]: the numbers have a physical meaning that an encoder shall keep.
  Start with brightness and noise of 0.05 (20 HU in a soft-tissue window of 400 HU, less than fat lies from water),
  contrast of 0.9 to 1.1, and no gamma. In Hounsfield units themselves the same brightness is 20.
- MR, scaled between its 1st and 99th percentile: the units are arbitrary, and strong views are the rule. Brightness
  0.3, contrast 0.7 to 1.3, values clipped to 0 to 1.5 (Chaitanya et al. 2020); gamma 0.7 to 1.5; noise 0.1.
- Radiographs, scaled to [0, 1]: exposure varies; start with brightness 0.4 and contrast 0.6 to 1.4.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from medcl.errors import UsageError
from medcl.modality.spatial.views.space import (
    Spacing,
    between,
    edges,
    per_sample,
    sometimes,
    spatial,
)
from medcl.modality.views import Params, Range, View, check_interval, check_range, normal, uniform


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


# The slope of a power below 1 is infinite at 0, where a gradient would be lost: the last millionth is left as it is.
DARKEST = 1e-6


@dataclass(frozen=True)
class Brightness(View):
    """Adds a constant to each sample, uniform in [-change, change].

    Args:
        change: in units of the image.
        probability: that a sample is changed at all.
    """

    name: ClassVar[str] = "brightness"
    change: float
    probability: float = 1.0

    def __post_init__(self) -> None:
        check_range("brightness", self.change, 0, math.inf)
        check_range("brightness probability", self.probability, 0, 1)

    def draw(self, x: Tensor, generator: torch.Generator) -> Params:
        """Draw the `shift` (B,)."""
        on = sometimes(x, self.probability, generator)
        shift = self.change * (2 * uniform(x, x.shape[0], generator=generator) - 1)
        return {"shift": torch.where(on, shift, 0.0)}

    def apply(self, x: Tensor, params: Params) -> Tensor:
        """Add the constant."""
        return x + per_sample(params["shift"], x)


@dataclass(frozen=True)
class Contrast(View):
    """Multiplies the distance of each value from the mean of its channel.

    Args:
        factor: range of the factor; 1 changes nothing.
        probability: that a sample is changed at all.
    """

    name: ClassVar[str] = "contrast"
    factor: Range
    probability: float = 1.0

    def __post_init__(self) -> None:
        check_interval("contrast", self.factor, 0, 100)
        check_range("contrast probability", self.probability, 0, 1)

    def draw(self, x: Tensor, generator: torch.Generator) -> Params:
        """Draw the `factor` (B,)."""
        on = sometimes(x, self.probability, generator)
        return {"factor": torch.where(on, between(x, self.factor, x.shape[0], generator=generator), 1.0)}

    def apply(self, x: Tensor, params: Params) -> Tensor:
        """Stretch the values around the mean."""
        mean = x.mean(dim=tuple(range(2, x.ndim)), keepdim=True)
        return mean + per_sample(params["factor"], x) * (x - mean)


@dataclass(frozen=True)
class Gamma(View):
    """Raises the values between the ends of a window to a power, on a scale of 0 to 1; the others stay.

    Args:
        power: range of the exponent, drawn on a logarithmic scale; above 1 the middle gets darker.
        window: the values that are 0 and 1 on that scale.
        probability: that a sample is changed at all.

    Raises:
        UsageError: when a setting is out of its range.
    """

    name: ClassVar[str] = "gamma"
    power: Range
    window: Range = (0.0, 1.0)
    probability: float = 1.0

    def __post_init__(self) -> None:
        check_interval("gamma", self.power, 0.05, 20)
        check_range("gamma probability", self.probability, 0, 1)
        check_window("gamma window", self.window)

    def draw(self, x: Tensor, generator: torch.Generator) -> Params:
        """Draw the `power` (B,)."""
        on = sometimes(x, self.probability, generator)
        low, high = (math.log(power) for power in self.power)
        return {"power": torch.where(on, between(x, (low, high), x.shape[0], generator=generator).exp(), 1.0)}

    def apply(self, x: Tensor, params: Params) -> Tensor:
        """Bend the values inside of the window."""
        low, high = self.window
        share = (x - low) / (high - low)
        inside = (share > DARKEST) & (share < 1)
        bent = torch.where(inside, share, 0.5) ** per_sample(params["power"], x)
        return torch.where(inside, low + (high - low) * bent, x)


@dataclass(frozen=True)
class Noise(View):
    """Adds white Gaussian noise; its standard deviation is drawn for each sample from 0 to `sigma`.

    Args:
        sigma: largest standard deviation, in units of the image.
        probability: that a sample is changed at all.
    """

    name: ClassVar[str] = "noise"
    sigma: float
    probability: float = 1.0

    def __post_init__(self) -> None:
        check_range("noise", self.sigma, 0, math.inf)
        check_range("noise probability", self.probability, 0, 1)

    def draw(self, x: Tensor, generator: torch.Generator) -> Params:
        """Draw the `noise` (B, C, *space)."""
        on = sometimes(x, self.probability, generator)
        sigma = torch.where(on, self.sigma * uniform(x, x.shape[0], generator=generator), 0.0)
        noise = normal(x, *x.shape, generator=generator)
        return {"noise": per_sample(sigma, noise) * noise}

    def apply(self, x: Tensor, params: Params) -> Tensor:
        """Add the noise."""
        return x + params["noise"].to(x.dtype)


@dataclass(frozen=True)
class Clip(View):
    """Cuts all values to a range, as the last of the views that change them; nothing about it is random.

    Args:
        window: the lowest and the highest value that are left, in units of the image.
    """

    name: ClassVar[str] = "clip"
    window: Range

    def __post_init__(self) -> None:
        check_window("clip", self.window)

    def draw(self, x: Tensor, generator: torch.Generator) -> Params:
        """Draw nothing."""
        return {}

    def apply(self, x: Tensor, params: Params) -> Tensor:
        """Cut the values."""
        return x.clamp(*self.window)


def check_window(name: str, window: Range) -> None:
    """Refuse a window without width.

    Raises:
        UsageError: naming the setting and its value.
    """
    if not window[0] < window[1]:
        raise UsageError(f"the view setting {name} goes from low to high, got {window[0]:g} to {window[1]:g}")
