"""The redundancy curve of a strategy, the kept share against the threshold, and its knee."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from medcl.reduce.rules import greedy
from medcl.reduce.strategy import Measure, Range, Searchable, Signatures, Strategy

POINTS = 17
MOST = 50_000
"""Units that a curve is made of: more do not move it, but cost time at each of its thresholds."""
KNOWN, ROWS = 2048, 32
"""Units of a group whose pairs are all measured once, for every threshold; and number of units compared at a time."""


@dataclass(frozen=True)
class RedundancyCurve:
    """How much a strategy keeps.

    Args:
        thresholds: (t,) ascending, in the strategy's unit.
        share: (t,) of units kept by the greedy rule at each.
        knee: the threshold that `auto` takes.
        units: number of units that it was made of.
    """

    thresholds: NDArray[np.float64]
    share: NDArray[np.float64]
    knee: float
    units: int


def curve_of(groups: Iterable[Signatures], strategy: Strategy, thresholds: Iterable[float] = ()) -> RedundancyCurve:
    """Reduce groups at several thresholds.

    Args:
        groups: signatures of each group, (n, width); where they hold more than 50,000 units, evenly chosen groups are
            taken, and of a larger single group the first 50,000.
        strategy: what they are compared by.
        thresholds: those of the strategy's curve where not given.

    Returns:
        The curve. Without units, all is kept.
    """
    limits = strategy.thresholds
    at = np.unique(list(thresholds) or limits.curve or np.linspace(limits.lowest, limits.highest, POINTS)).astype(float)
    chosen = _chosen([group for group in groups if len(group)])
    total = sum(map(len, chosen))
    share = np.ones(len(at))
    if total:
        share = np.sum([_kept(group, strategy, at) for group in chosen], axis=0) / total
    return RedundancyCurve(at, share, knee(at, share, strategy), total)


def knee(thresholds: NDArray[np.float64], share: NDArray[np.float64], strategy: Strategy) -> float:
    """Find where a curve bends: beyond it, a wider threshold drops few more units.

    It is the point farthest below the straight line from the strictest threshold to the widest (Satopaa et al.,
    'Finding a "kneedle" in a haystack', 2011).

    Args:
        thresholds: (t,) ascending.
        share: (t,) kept.
        strategy: whose default is taken where the curve does not bend.

    Returns:
        One of the thresholds, or the default.
    """
    order = slice(None, None, -1) if strategy.measure == "similarity" else slice(None)
    x, y = thresholds[order], share[order]
    if len(x) < 3 or y[0] <= y[-1]:
        return strategy.thresholds.default
    below = (1 - np.abs(x - x[0]) / abs(x[-1] - x[0])) - (y - y[-1]) / (y[0] - y[-1])
    best = int(below.argmax())
    return float(x[best]) if below[best] > 1e-9 else strategy.thresholds.default


@dataclass(frozen=True)
class _MeasuredStrategy:
    """A strategy as the greedy rule sees it, with the measures of a group in a table: signatures are row numbers.

    Args:
        name: of the strategy.
        measure: of the strategy.
        thresholds: of the strategy.
        table: (n, n) of which the lower triangle is never asked for.
    """

    name: str
    measure: Measure
    thresholds: Range
    table: NDArray[np.float32]

    def compare(self, a: Signatures, b: Signatures) -> NDArray[np.float32]:
        """StrategyPreview up measures, (n, m)."""
        return self.table[a, b[:, 0]]


def _kept(group: Signatures, strategy: Strategy, thresholds: NDArray[np.float64]) -> NDArray[np.int64]:
    """How many units of a group the greedy rule keeps at each threshold."""
    known = strategy
    if strategy.measure != "score" and not isinstance(strategy, Searchable) and len(group) <= KNOWN:
        table = np.empty((len(group), len(group)), dtype=np.float32)
        for top in range(0, len(group), ROWS):
            table[top : top + ROWS, top:] = strategy.compare(group[top : top + ROWS], group[top:])
        known = cast(Strategy, _MeasuredStrategy(strategy.name, strategy.measure, strategy.thresholds, table))
        group = np.arange(len(group))[:, None]
    return np.array([greedy(group, known, one).keep.sum() for one in thresholds])


def _chosen(groups: list[Signatures]) -> list[Signatures]:
    """Return evenly spaced groups of MOST units at most, at least one, cut to that."""
    total = sum(map(len, groups))
    if total <= MOST:
        return groups
    step = int(np.ceil(total / MOST))
    chosen, held = [], 0
    for group in groups[::step]:
        chosen.append(group[: MOST - held])
        held += len(chosen[-1])
        if held >= MOST:
            break
    return chosen
