"""What the views of all wings share: parameters drawn at random, then a function of the sample and of them."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

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


MANY = 2**16
"""Numbers from which on a GPU draws its own: noise for every value of a batch took a CPU 40% of a step."""


def normal(x: Tensor, *shape: int, generator: torch.Generator) -> Tensor:
    """Draw float32 standard normal numbers, on the device of `x`.

    Many of them are drawn on a GPU itself, from a seed that the generator gives: as reproducible, but not the numbers
    that a CPU draws.
    """
    if x.device.type == "cuda" and math.prod(shape) >= MANY:
        seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
        generator = torch.Generator(x.device).manual_seed(seed)
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


@dataclass(frozen=True)
class Sometimes(View):
    """A view that each sample gets with one probability, and that has nothing else to draw.

    Args:
        probability: of changing a sample.
    """

    probability: float

    def __post_init__(self) -> None:
        check_range(self.name, self.probability, 0, 1)

    def draw(self, x: Tensor, generator: torch.Generator) -> Params:
        """Draw which samples to `flip` (B,)."""
        return {"flip": uniform(x, x.shape[0], generator=generator) < self.probability}

    def apply(self, x: Tensor, params: Params) -> Tensor:
        """Change the samples that were drawn."""
        flip = params["flip"]
        return torch.where(flip.reshape(-1, *[1] * (x.ndim - 1)), self.changed(x), x)

    @abstractmethod
    def changed(self, x: Tensor) -> Tensor:
        """All of the samples (B, ...), changed."""


KEEP = "mask.keep"


class Mask(Protocol):
    """A random mask, which is not applied to a batch but given to the encoder."""

    def draw(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Draw the positions (B, positions) bool of `x` (B, ...) that are kept."""


class Compose:
    """Applies views in the given order.

    The parameters of all of them are one flat dict of tensors, named `view.parameter`, as `torch.save` or safetensors
    take it.

        params = views.draw(x, generator)
        y, keep = views.apply(x, params), views.keep(params)

    Args:
        views: in the order in which they are applied; each kind at most once.
        mask: the mask to draw with the views; it is not applied to the batch but given to the encoder.

    Raises:
        UsageError: when a view is there twice.
    """

    def __init__(self, views: Sequence[View], mask: Mask | None = None) -> None:
        names = [view.name for view in views]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise UsageError(f"each view can be applied once, got more than one of: {', '.join(repeated)}")
        self.views = tuple(views)
        self.mask = mask

    @property
    def across(self) -> bool:
        """Whether a sample takes something of others of the batch."""
        return any(getattr(view, "across", False) for view in self.views)

    def __call__(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """One random view of each sample of `x` (B, ...), for a training loop of one's own; masks are not applied.

        Args:
            x: the batch, which is left as it is.
            generator: default: torch's own.
        """
        return self.apply(x, self.draw(x, torch.default_generator if generator is None else generator))

    def draw(self, x: Tensor, generator: torch.Generator) -> Params:
        """Draw the parameters of one view of each sample of `x` (B, ...)."""
        params: Params = {}
        for view in self.views:
            params.update({f"{view.name}.{key}": value for key, value in view.draw(x, generator).items()})
        if self.mask is not None:
            params[KEEP] = self.mask.draw(x, generator)
        return params

    def apply(self, x: Tensor, params: Params) -> Tensor:
        """Make the view of `x` (B, ...) that `params` describe."""
        for view in self.views:
            prefix = f"{view.name}."
            own = {key.removeprefix(prefix): value for key, value in params.items() if key.startswith(prefix)}
            x = view.apply(x, own)
        return x

    def keep(self, params: Params) -> Tensor | None:
        """Return the encoder's mask (B, positions), True where one is kept; None when nothing is masked."""
        return params.get(KEEP)


def continuous(x: Tensor, generator: torch.Generator, *, segments: int = 5, length: float = 0.1) -> Tensor:
    """Hide random segments of each window: COMET's and TS2Vec's `continuous` mask.

    Segments may overlap. Their number is cut to T / 2 where windows are very short, and each hides at least one step.

    Args:
        x: (B, C, T), of which only the shape and the device count.
        generator: what draws the starts.
        segments: per window.
        length: of a segment as a share of T.

    Returns:
        (B, T) bool, False where a step is hidden.
    """
    batch, _, steps = x.shape
    count = max(min(segments, steps // 2), 1)
    span = max(int(length * steps), 1)
    starts = integers(x, batch, count, 1, low=0, high=steps - span + 1, generator=generator)
    time = torch.arange(steps, device=x.device)
    return ~((time >= starts) & (time < starts + span)).any(dim=1)


def binomial(x: Tensor, generator: torch.Generator, *, probability: float = 0.5) -> Tensor:
    """Hide each step of each window with one probability: TS2Vec's `binomial` mask.

    Args:
        x: (B, C, T), of which only the shape and the device count.
        generator: what draws.
        probability: of hiding a step.

    Returns:
        (B, T) bool, False where a step is hidden.
    """
    return uniform(x, x.shape[0], x.shape[2], generator=generator) >= probability


@dataclass(frozen=True)
class TimestampMask:
    """Draws masks of one kind. COMET's `all_true` is no mask at all: an encoder takes None for it.

    Args:
        kind: `continuous` or `binomial`.
        segments: of the continuous mask.
        length: of each of its segments, as a share of T.
        probability: of hiding a step by the binomial mask.

    Raises:
        UsageError: when a setting is out of its range.
    """

    kind: Literal["continuous", "binomial"] = "continuous"
    segments: int = 5
    length: float = 0.1
    probability: float = 0.5

    def __post_init__(self) -> None:
        if self.kind not in ("continuous", "binomial"):
            raise UsageError(f"a mask is 'continuous' or 'binomial', got {self.kind!r}")
        if self.segments < 1:
            raise UsageError(f"a continuous mask needs at least one segment, got mask_segments={self.segments}")
        check_range("mask_length", self.length, 0, 1)
        check_range("mask_probability", self.probability, 0, 1)

    def draw(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Draw a mask (B, T) bool for windows `x` (B, C, T), on their device; False where a step is hidden."""
        if self.kind == "continuous":
            return continuous(x, generator, segments=self.segments, length=self.length)
        return binomial(x, generator, probability=self.probability)
