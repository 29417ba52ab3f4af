"""Which units of a family are kept: a rule, worked through group by group."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from medcl.engine.parallel import run_chunks
from medcl.reduce.config import ReduceConfig
from medcl.reduce.rules import GroupSelection, balanced, greedy, k_centre
from medcl.reduce.signatures import Described
from medcl.reduce.strategy import Signatures, Strategy
from medcl.reduce.units import Units

Ints = NDArray[np.int64]
Apply = Callable[[Signatures], GroupSelection]
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
    """Select within each group.

    Args:
        units: of one family, each with signatures.
        described: their signatures.
        strategy: that compares them.
        config: the rule, and the share that it keeps.
        threshold: where the rule goes by one.
        jobs: processes, where there is much to compare.
        cluster: address of a Dask scheduler, used in their place.
    """
    keep = np.ones(len(units), dtype=bool)
    duplicate_of = np.arange(len(units))
    measure = np.full(len(units), np.nan, dtype=np.float32)
    apply = _rule(strategy, config, threshold)
    groups = units.by_group()
    for own, kept in zip(groups, _worked_through(groups, units, described, apply, jobs, cluster), strict=True):
        keep[own], measure[own] = kept.keep, kept.measure
        duplicate_of[own] = np.where(kept.duplicate_of < 0, -1, own[kept.duplicate_of])
    return Selection(units, keep, duplicate_of, measure, strategy.name, strategy.measure, threshold)


def by_score(signatures: Signatures, share: float) -> GroupSelection:
    """Keep the units of the highest scores, in case of doubt the earlier ones.

    Args:
        signatures: (n, 1) scores of a group.
        share: that is kept, at least one unit.
    """
    score = np.asarray(signatures[:, 0], dtype=np.float32)
    keep = np.zeros(len(score), dtype=bool)
    keep[np.argsort(-score, kind="stable")[: size_of(share, len(score))]] = True
    return GroupSelection(keep, np.where(keep, np.arange(len(score)), -1), np.where(keep, np.float32(np.nan), score))


def size_of(share: float, count: int) -> int:
    """Number of units of a group that are kept: the share, rounded, at least one."""
    return min(count, max(1, round(share * count)))


def _rule(strategy: Strategy, config: ReduceConfig, threshold: float | None) -> Apply:
    if config.keep is None:
        return partial(greedy, strategy=strategy, threshold=threshold)
    if strategy.measure == "score":
        return partial(by_score, share=config.keep)
    return partial(_share, strategy=strategy, config=config)


def _share(signatures: Signatures, strategy: Strategy, config: ReduceConfig) -> GroupSelection:
    size = size_of(config.keep or 1.0, len(signatures))
    if config.rule == "balanced":
        clusters = config.clusters or max(1, round(size / 10))
        return balanced(signatures, strategy, size, min(clusters, size), config.seed)
    return k_centre(signatures, strategy, size)


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
