"""Views that change values and leave time as it is: jitter, scale, sign flip, channel dropout."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from medcl.modality.views.base import Params, View, check_range, normal, uniform


@dataclass(frozen=True)
class Jitter(View):
    """Adds white noise; its standard deviation is drawn for each window from 0 to `sigma`.

    Args:
        sigma: largest standard deviation, in units of the signal.
    """

    name: ClassVar[str] = "jitter"
    sigma: float

    def __post_init__(self) -> None:
        check_range("jitter", self.sigma, 0, math.inf)

    def draw(self, x: Tensor, generator: torch.Generator) -> Params:
        """Draw the `noise` (B, C, T)."""
        sigma = self.sigma * uniform(x, x.shape[0], 1, 1, generator=generator)
        return {"noise": sigma * normal(x, *x.shape, generator=generator)}

    def apply(self, x: Tensor, params: Params) -> Tensor:
        """Add the noise."""
        return x + params["noise"]


@dataclass(frozen=True)
class Scale(View):
    """Multiplies each channel by its own factor, uniform in [1 - change, 1 + change].

    Args:
        change: largest relative change of an amplitude, at most 1.
    """

    name: ClassVar[str] = "scale"
    change: float

    def __post_init__(self) -> None:
        check_range("scale", self.change, 0, 1)

    def draw(self, x: Tensor, generator: torch.Generator) -> Params:
        """Draw the `factor` (B, C)."""
        return {"factor": 1 + self.change * (2 * uniform(x, *x.shape[:2], generator=generator) - 1)}

    def apply(self, x: Tensor, params: Params) -> Tensor:
        """Multiply by the factors."""
        return x * params["factor"].unsqueeze(2)


@dataclass(frozen=True)
class SignFlip(View):
    """Reverses the sign of all channels of a window together.

    Args:
        probability: of reversing a window.
    """

    name: ClassVar[str] = "sign_flip"
    probability: float

    def __post_init__(self) -> None:
        check_range("sign_flip", self.probability, 0, 1)

    def draw(self, x: Tensor, generator: torch.Generator) -> Params:
        """Draw which windows to `flip` (B,)."""
        return {"flip": uniform(x, x.shape[0], generator=generator) < self.probability}

    def apply(self, x: Tensor, params: Params) -> Tensor:
        """Reverse signs."""
        return torch.where(params["flip"][:, None, None], -x, x)


@dataclass(frozen=True)
class ChannelDropout(View):
    """Sets channels to 0, the mean of a standardised signal, but never all channels of a window.

    Args:
        probability: of dropping a channel.
    """

    name: ClassVar[str] = "channel_dropout"
    probability: float

    def __post_init__(self) -> None:
        check_range("channel_dropout", self.probability, 0, 1)

    def draw(self, x: Tensor, generator: torch.Generator) -> Params:
        """Draw which channels to `keep` (B, C)."""
        number = uniform(x, *x.shape[:2], generator=generator)
        # The channel with the largest number is the last that any probability would drop: it stays.
        last = torch.arange(x.shape[1], device=x.device) == number.argmax(dim=1, keepdim=True)
        return {"keep": (number >= self.probability) | last}

    def apply(self, x: Tensor, params: Params) -> Tensor:
        """Set the dropped channels to 0."""
        return torch.where(params["keep"].unsqueeze(2), x, 0.0)
