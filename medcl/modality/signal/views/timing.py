"""Views that move values in time: crop, time warp, permutation of segments, reversal."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from medcl.errors import UsageError
from medcl.modality.views import Params, Sometimes, View, check_range, integers, normal, uniform

WARP_WAVES = 4


def sample_at(x: Tensor, positions: Tensor) -> Tensor:
    """Read windows (B, C, T) at positions (B, T) between 0 and T - 1 (steps), by linear interpolation."""
    before = positions.floor().long().clamp(0, x.shape[2] - 1)
    after = (before + 1).clamp(max=x.shape[2] - 1)
    weight = (positions - before).unsqueeze(1)
    left, right = (x.gather(2, index.unsqueeze(1).expand_as(x)) for index in (before, after))
    return torch.lerp(left, right, weight)


@dataclass(frozen=True)
class Crop(View):
    """Cuts out a random part of each window and stretches it to the whole length (a random resized crop).

    Rates and frequencies fall by the share that was cut out: a heart rate of 60 becomes 30 at a share of 0.5.

    Args:
        smallest: share of the window; the share is uniform in [smallest, 1].
    """

    name: ClassVar[str] = "crop"
    smallest: float

    def __post_init__(self) -> None:
        check_range("crop", self.smallest, 0, 1)

    def draw(self, x: Tensor, generator: torch.Generator) -> Params:
        """Draw the `share` (B,) of the window and its `start` (B,), as a share of the room that is left."""
        share = self.smallest + (1 - self.smallest) * uniform(x, x.shape[0], generator=generator)
        return {"share": share, "start": uniform(x, x.shape[0], generator=generator)}

    def apply(self, x: Tensor, params: Params) -> Tensor:
        """Read the part at T positions."""
        share, start = params["share"].unsqueeze(1), params["start"].unsqueeze(1)
        last = x.shape[2] - 1
        time = torch.arange(x.shape[2], device=x.device)
        return sample_at(x, start * (1 - share) * last + time * share)


@dataclass(frozen=True)
class TimeWarp(View):
    """Lets time run faster and slower, smoothly and always forward; the first and last step stay in place.

    The logarithm of the speed is a sum of four cosines over the window with normal coefficients.

    Args:
        strength: standard deviation of the logarithm of the speed, averaged over the window.
    """

    name: ClassVar[str] = "time_warp"
    strength: float

    def __post_init__(self) -> None:
        check_range("time_warp", self.strength, 0, 1)

    def draw(self, x: Tensor, generator: torch.Generator) -> Params:
        """Draw the `coefficients` (B, 4); the cosines' mean square is 1/2 each."""
        spread = self.strength * math.sqrt(2 / WARP_WAVES)
        return {"coefficients": spread * normal(x, x.shape[0], WARP_WAVES, generator=generator)}

    def positions(self, steps: int, coefficients: Tensor) -> Tensor:
        """Compute where (B, T) each of T steps is read, from the coefficients (B, 4)."""
        last = steps - 1
        middle = (torch.arange(last, device=coefficients.device) + 0.5) / max(last, 1)
        waves = torch.arange(1, WARP_WAVES + 1, device=coefficients.device).unsqueeze(1)
        speed = torch.exp(coefficients @ torch.cos(math.pi * waves * middle))
        passed = torch.cat((torch.zeros_like(coefficients[:, :1]), speed.cumsum(dim=1)), dim=1)
        return passed * (last / passed[:, -1:].clamp(min=1e-6))

    def apply(self, x: Tensor, params: Params) -> Tensor:
        """Read the signal at the warped positions."""
        return sample_at(x, self.positions(x.shape[2], params["coefficients"]))


@dataclass(frozen=True)
class Permutation(View):
    """Cuts each window at random steps and puts the segments in random order; all channels alike.

    Args:
        segments: at most, for two cuts may fall on one step.
    """

    name: ClassVar[str] = "permutation"
    segments: int

    def __post_init__(self) -> None:
        if self.segments < 2:
            raise UsageError(f"permutation needs at least two segments, got permutation={self.segments}")

    def draw(self, x: Tensor, generator: torch.Generator) -> Params:
        """Draw the `cuts` (B, segments - 1) and the `rank` (B, segments) of each segment in the new order."""
        batch, _, steps = x.shape
        cuts = integers(x, batch, self.segments - 1, low=1, high=max(steps, 2), generator=generator)
        rank = uniform(x, batch, self.segments, generator=generator).argsort(dim=1)
        return {"cuts": cuts, "rank": rank}

    def apply(self, x: Tensor, params: Params) -> Tensor:
        """Reorder the steps."""
        steps = x.shape[2]
        time = torch.arange(steps, device=x.device)
        segment = (time >= params["cuts"].unsqueeze(2)).sum(dim=1)
        order = (params["rank"].gather(1, segment) * steps + time).argsort(dim=1)
        return x.gather(2, order.unsqueeze(1).expand_as(x))


class Reverse(Sometimes):
    """Reverses time."""

    name: ClassVar[str] = "reverse"

    def changed(self, x: Tensor) -> Tensor:
        """Reverse the time axis."""
        return x.flip(2)
