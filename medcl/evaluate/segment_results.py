"""Results of a segmentation: the metrics of every volume, and the course of training."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from medcl.evaluate.config import Init

SETTLED = 5
"""Number of last evaluations whose mean is the final validation Dice: a single one of two volumes is noisy."""


@dataclass(frozen=True)
class Curve:
    """The validation Dice while training: the mean over structures and validation volumes.

    Args:
        iterations: iterations of the evaluations, ascending; empty without validation volumes.
        dice: of each.
        best: iteration whose weights were kept.
    """

    iterations: tuple[int, ...]
    dice: tuple[float, ...]
    best: int


@dataclass(frozen=True)
class SegmentCell:
    """The results of one network.

    Args:
        init: which weights it started from.
        label: label of the fraction.
        repeat: number of the repeat.
        seed: of the repeat.
        dice: structure -> the Dice of every test volume, in the order of the manifest.
        hd95: structure -> the 95% Hausdorff distance (mm); NaN where the structure is in one of the maps only.
        curve: the validation Dice while training.
    """

    init: Init
    label: str
    repeat: int
    seed: int
    dice: dict[str, tuple[float, ...]]
    hd95: dict[str, tuple[float, ...]]
    curve: Curve


@dataclass(frozen=True)
class Speed:
    """Number of iterations until the final Dice of training from random weights, the median over the pairs.

    Args:
        label: label of the fraction.
        level: the mean validation Dice of the last evaluations from random weights, a mean over the repeats.
        pretrained: iterations until the validation Dice is first that high, from pretrained weights; NaN where it was
            not reached in half of the pairs.
        random: from random weights.
        ratio: of both, the median of the pairs.
        pairs: number of pairs.
        never: number of pairs in which pretrained weights did not reach it.
    """

    label: str
    level: float
    pretrained: float
    random: float
    ratio: float
    pairs: int
    never: int


@dataclass(frozen=True)
class Segmentation:
    """What `Results` holds of a segmentation, a cell a network and the speed by fraction; else empty."""

    cells: tuple[SegmentCell, ...] = ()
    speed: tuple[Speed, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.cells)


def speed_of(cells: Sequence[SegmentCell]) -> tuple[Speed, ...]:
    """Speed of training from both initialisations, at every fraction; empty without validation curves."""
    curves = {(cell.init, cell.label, cell.repeat): cell.curve for cell in cells if cell.curve.iterations}
    found = []
    for label in dict.fromkeys(cell.label for cell in cells):
        repeats = sorted({r for init, one, r in curves if one == label and init == "random"})
        pairs = [(curves["pretrained", label, r], curves["random", label, r]) for r in repeats]
        if not pairs:
            continue
        levels = [float(np.mean(random.dice[-SETTLED:])) for _, random in pairs]
        first = [(_first(a, level), _first(b, level)) for (a, b), level in zip(pairs, levels, strict=True)]
        pretrained, random, ratio = (
            _finite(median(values))
            for values in ([a for a, _ in first], [b for _, b in first], [a / b for a, b in first])
        )
        never = sum(not np.isfinite(a) for a, _ in first)
        found.append(Speed(label, float(np.mean(levels)), pretrained, random, ratio, len(pairs), never))
    return tuple(found)


def _first(curve: Curve, level: float) -> float:
    """Iterations until a curve is first as high as a level; infinite where it never is."""
    return next((float(i) for i, value in zip(curve.iterations, curve.dice, strict=True) if value >= level), np.inf)


def _finite(value: float) -> float:
    return float(value) if np.isfinite(value) else float("nan")
