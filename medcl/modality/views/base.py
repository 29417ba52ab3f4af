"""What a view is: parameters drawn at random, then a function of the sample and the parameters that is not random."""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from medcl.errors import UsageError

Params = dict[str, Tensor]
Range = tuple[float, float]
"""The lowest and the highest value of a setting."""


class View(ABC):
    """A random view of a batch of samples (B, ...): windows, images, volumes, texts.

    `draw` takes all randomness from the generator and `apply` has none, so that the same parameters give the same view
    again. The numbers are drawn on the generator's own device and moved to that of the batch: a generator on the CPU
    gives the same views on every device.
    """

    name: ClassVar[str]

    @abstractmethod
    def draw(self, x: Tensor, generator: torch.Generator) -> Params:
        """Draw the parameters of one view of each sample of `x` (B, ...): tensors on the device of `x`."""

    @abstractmethod
    def apply(self, x: Tensor, params: Params) -> Tensor:
        """Make the view of `x` (B, ...) that `params` describe; `x` is left as it is."""


def uniform(x: Tensor, *shape: int, generator: torch.Generator) -> Tensor:
    """Draw float32 numbers from [0, 1), on the device of `x`."""
    return torch.rand(shape, generator=generator, device=generator.device).to(x.device)


def normal(x: Tensor, *shape: int, generator: torch.Generator) -> Tensor:
    """Draw float32 standard normal numbers, on the device of `x`."""
    return torch.randn(shape, generator=generator, device=generator.device).to(x.device)


def integers(x: Tensor, *shape: int, low: int, high: int, generator: torch.Generator) -> Tensor:
    """Draw int64 numbers from [low, high), on the device of `x`."""
    return torch.randint(low, high, shape, generator=generator, device=generator.device).to(x.device)


def check_range(name: str, value: float, low: float, high: float) -> None:
    """Refuse a setting outside [low, high].

    Raises:
        UsageError: naming the setting, its value and the range.
    """
    if not low <= value <= high:
        raise UsageError(f"the view setting {name} lies between {low:g} and {high:g}, got {value:g}")


def check_interval(name: str, interval: Range, low: float, high: float) -> None:
    """Refuse a range that is upside down or leaves [low, high].

    Raises:
        UsageError: naming the setting, its value and what it may be.
    """
    for value in interval:
        check_range(name, value, low, high)
    if interval[0] > interval[1]:
        raise UsageError(f"the view setting {name} is a range from low to high, got {interval[0]:g} to {interval[1]:g}")
