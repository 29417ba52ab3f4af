"""Which units of a family are kept: a rule, group by group; the kept share against the threshold, and its knee."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

import numpy as np
from numpy.typing import NDArray

from medcl.engine.parallel import run_chunks
from medcl.engine.progress import progress, watched
from medcl.reduce.config import ReduceConfig
from medcl.reduce.rules import Counted, GroupSelection, balanced, by_score, greedy, k_centre
from medcl.reduce.signatures import Described
from medcl.reduce.strategy import Measure, Range, Searchable, Signatures, Strategy, within
from medcl.reduce.units import Units

Ints = NDArray[np.int64]
Apply = Callable[..., GroupSelection]
_BYTES = 1 << 28
"""Signatures that are in memory at a time, unless a single group has more."""
_PARALLEL = 1 << 30
"""Bytes that comparing all with all would touch, from which on several processes are used."""


@dataclass(frozen=True)
class Selection:
    """What is kept of the units of a family.

    Args:
        units: that were compared.
        keep: (U,) bool.
        duplicate_of: (U,) number of the unit that is kept in the place of each: itself where it is kept; -1 where a
            score alone dropped it.
        measure: (U,) float32, what the strategy measured between the two; NaN of units that are kept.
        strategy: its name.
        how: what the measure is: `distance`, `similarity` or `score`.
        threshold: up to which units are duplicates; None where a share was kept.
    """

    units: Units
    keep: NDArray[np.bool_]
    duplicate_of: Ints
    measure: NDArray[np.float32]
    strategy: str
    how: str
    threshold: float | None

    @property
    def share(self) -> float:
        """Of the units that are kept."""
        return float(self.keep.mean()) if len(self.keep) else 1.0


def select(
    units: Units,
    described: Described,
    strategy: Strategy,
    config: ReduceConfig,
    threshold: float | None,
    *,
    jobs: int = -1,
    cluster: str | None = None,
) -> Selection:
    """Select within each group."""
    keep = np.ones(len(units), dtype=bool)
    duplicate_of = np.arange(len(units))
    measure = np.full(len(units), np.nan, dtype=np.float32)
    apply = _rule(strategy, config, threshold)
    groups = units.by_group()
    with progress("reduce: comparison", len(units), "unit") as bar:
        if len(groups) == 1 and cluster is None:
            done: Iterable[GroupSelection] = [apply(described.gather(units, groups[0]), counted=bar.update)]
        else:
            done = _worked_through(groups, units, described, apply, jobs, cluster)
        for own, kept in zip(groups, done, strict=True):
            keep[own], measure[own] = kept.keep, kept.measure
            duplicate_of[own] = np.where(kept.duplicate_of < 0, -1, own[kept.duplicate_of])
            bar.update(0 if isinstance(done, list) else len(own))
    return Selection(units, keep, duplicate_of, measure, strategy.name, strategy.measure, threshold)


def highest(signatures: Signatures, share: float, *, counted: Counted | None = None) -> GroupSelection:
    """Keep a share of units, at least one, of the highest scores (n, 1), in case of doubt the earlier ones."""
    score = np.asarray(signatures[:, 0], dtype=np.float32)
    keep = np.zeros(len(score), dtype=bool)
    keep[np.argsort(-score, kind="stable")[: size_of(share, len(score))]] = True
    return by_score(score, keep)


def at_least(
    signatures: Signatures, share: float, strategy: Strategy, threshold: float, *, counted: Counted | None = None
) -> GroupSelection:
    """Keep the units whose scores (n, 1) pass a threshold; of fewer than a share of them, the highest ones."""
    score = np.asarray(signatures[:, 0], dtype=np.float32)
    return by_score(score, within(strategy, score, threshold) | highest(signatures, share).keep)


def size_of(share: float, count: int) -> int:
    """Number of units of a group that are kept: the share, rounded, at least one."""
    return min(count, max(1, round(share * count)))


def _rule(strategy: Strategy, config: ReduceConfig, threshold: float | None) -> Apply:
    if config.keep is None and config.least and strategy.measure == "score":
        return partial(at_least, share=config.least, strategy=strategy, threshold=cast(float, threshold))
    if config.keep is None:
        return partial(greedy, strategy=strategy, threshold=threshold)
    if strategy.measure == "score":
        return partial(highest, share=config.keep)
    return partial(_share, strategy=strategy, config=config)


def _share(signatures: Signatures, strategy: Strategy, config: ReduceConfig, **counted: Counted) -> GroupSelection:
    size = size_of(config.keep or 1.0, len(signatures))
    if config.rule == "balanced":
        clusters = config.clusters or max(1, round(size / 10))
        return balanced(signatures, strategy, size, min(clusters, size), config.seed, **counted)
    return k_centre(signatures, strategy, size, **counted)


def _worked_through(
    groups: Sequence[Ints], units: Units, described: Described, apply: Apply, jobs: int, cluster: str | None
) -> Iterator[GroupSelection]:
    """Apply a rule to the signatures of each group, in order."""
    for batch in _batches(groups, units, described):
        signatures = [described.gather(units, own) for own in batch]
        much = sum(len(one) * one.nbytes for one in signatures) > _PARALLEL
        chunk = max(1, len(batch) // 64)
        for kept in run_chunks(
            partial(_each, apply),
            signatures,
            jobs=jobs if much else 1,
            chunk=chunk,
            ordered=True,
            cluster=cluster if much else None,
        ):
            yield from kept


def _each(apply: Apply, signatures: Sequence[Signatures]) -> list[GroupSelection]:
    return [apply(one) for one in signatures]


def _batches(groups: Sequence[Ints], units: Units, described: Described) -> Iterator[list[Ints]]:
    batch: list[Ints] = []
    held = 0
    for own in groups:
        one = described.of[int(units.row[own[0]])]
        size = len(own) * one.itemsize * one.shape[1]
        if batch and held + size > _BYTES:
            yield batch
            batch, held = [], 0
        batch.append(own)
        held += size
    if batch:
        yield batch


POINTS = 17
MOST = 50_000
"""Units that a curve is made of: more do not move it, but cost time at each of its thresholds."""
KNOWN, ROWS = 2048, 32
"""Units of a group whose pairs are all measured once, for every threshold; and number of units compared at a time."""


@dataclass(frozen=True)
class RedundancyCurve:
    """How much a strategy keeps: the share (t,) of units that the greedy rule keeps at thresholds (t,), ascending.

    The knee is the threshold that `auto` takes.
    """

    thresholds: NDArray[np.float64]
    share: NDArray[np.float64]
    knee: float
    units: int


def curve_of(groups: Iterable[Signatures], strategy: Strategy, thresholds: Iterable[float] = ()) -> RedundancyCurve:
    """Reduce groups of signatures (n, width) at several thresholds, by default those of the strategy's curve.

    Where they hold more than 50,000 units, evenly chosen groups are taken, and of a larger single group the first
    50,000. Without units, all is kept.
    """
    limits = strategy.thresholds
    at = np.unique(list(thresholds) or limits.curve or np.linspace(limits.lowest, limits.highest, POINTS)).astype(float)
    chosen = _chosen([group for group in groups if len(group)])
    total = sum(map(len, chosen))
    share = np.ones(len(at))
    if total:
        watch = watched(chosen, "reduce: curve", "group")
        share = np.sum([_kept(group, strategy, at) for group in watch], axis=0) / total
    return RedundancyCurve(at, share, knee(at, share, strategy), total)


def knee(thresholds: NDArray[np.float64], share: NDArray[np.float64], strategy: Strategy) -> float:
    """Find where the curve of shares (t,) at thresholds (t,) bends: beyond it, a wider threshold drops few more units.

    It is the point farthest below the straight line from the strictest threshold to the widest (Satopaa et al.,
    'Finding a "kneedle" in a haystack', 2011); the strategy's default where the curve does not bend.
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
    """A strategy as the greedy rule sees it, with the measures of a group in a table (n, n): signatures are rows.

    The lower triangle is never asked for.
    """

    name: str
    measure: Measure
    thresholds: Range
    table: NDArray[np.float32]

    def compare(self, a: Signatures, b: Signatures) -> NDArray[np.float32]:
        """Look up measures, (n, m)."""
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
