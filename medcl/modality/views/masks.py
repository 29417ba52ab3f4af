"""Masks over time: which steps an encoder sees."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from medcl.errors import UsageError
from medcl.modality.views.base import check_range, integers, uniform


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
