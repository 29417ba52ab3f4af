"""Selection rules: which units of a group are kept, and what stands for each that is not."""

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medcl.archive.stratify import first_appearance
from medcl.errors import UsageError
from medcl.reduce.strategy import Searchable, Signatures, Strategy, Vectorial, checked, earliest, within


@dataclass(frozen=True)
class GroupSelection:
    """A selection from the n units of one group.

    Args:
        keep: (n,) bool.
        duplicate_of: (n,) int64, the unit that is kept in place of each: itself where it is kept, and -1 where a score
            alone dropped it.
        measure: (n,) float32, distance or similarity to that unit, in the unit of the strategy's measure; of a score,
            the score; nan of units kept.
    """

    keep: NDArray[np.bool_]
    duplicate_of: NDArray[np.int64]
    measure: NDArray[np.float32]


def by_score(score: NDArray[np.float32], keep: NDArray[np.bool_]) -> GroupSelection:
    """The selection where scores (n,) alone decide what is kept (n,)."""
    return GroupSelection(keep, np.where(keep, np.arange(len(keep)), -1), np.where(keep, np.float32(np.nan), score))


def checked_size(size: int, units: int) -> int:
    """Return the number of units to keep: `size`, or all where there are fewer.

    Raises:
        UsageError: the size keeps nothing.
    """
    if size < 1:
        raise UsageError(f"size {size}: a reduction keeps at least one unit of a group")
    return min(size, units)


Counted = Callable[[int], object]
"""Told how many units are decided on, while a rule works; `int` takes the number, and makes nothing of it."""


def k_centre(signatures: Signatures, strategy: Strategy, size: int, *, counted: Counted = int) -> GroupSelection:
    """Keep the first unit, then the farthest from it, then the farthest from both, and so on.

    At most twice as far from every unit is a kept one as with the best choice of as many (Gonzalez, 1985). Of units as
    far, the earlier is kept. Time grows with n times size.

    Signatures (n, width) are of one group, in the order that counts. What is dropped stands for the nearest unit that
    is kept.

    Raises:
        UsageError: the size is below 1, or the strategy's measure is a score.
    """
    n = len(signatures)
    size = checked_size(size, n)
    if strategy.measure == "score":
        raise UsageError(f"{strategy.name} is a score: it tells no distance; k-centre takes strategies that compare")
    sign = 1 if strategy.measure == "distance" else -1
    nearest, duplicate_of = np.full(n, np.inf), np.arange(n)
    keep = np.zeros(n, dtype=bool)
    for step in range(size):
        centre = int(np.argmax(np.where(keep, -np.inf, nearest))) if step else 0
        keep[centre] = True
        distance = sign * strategy.compare(signatures[centre : centre + 1], signatures)[0].astype(np.float64)
        nearer = distance < nearest
        nearest[nearer], duplicate_of[nearer] = distance[nearer], centre
        counted(n // size)
    duplicate_of[keep] = np.flatnonzero(keep)
    measure = np.where(keep, np.nan, sign * nearest).astype(np.float32)
    return GroupSelection(keep, duplicate_of, measure)


STARTS, ITERATIONS = 4, 50
Ints = NDArray[np.int64]


def balanced(
    signatures: Signatures,
    strategy: Strategy,
    size: int,
    clusters: int,
    seed: int = 0,
    *,
    counted: Counted = int,
) -> GroupSelection:
    """Cluster by k-means, give each cluster the same number of places, and fill them by k-centre.

    Small clusters are kept whole, and the places that they do not need go to the others. SemDeDup (Abbas et al.) drops
    by a threshold within each cluster; here the size is given, and units that are most unlike each other fill it.

    Signatures (n, width) are of one group, in the order that counts, and have vectors. There are at most as many
    clusters as units to keep, and as different units; the seed draws the first centres. What is dropped stands for the
    nearest unit of its cluster that is kept.

    Raises:
        UsageError: the size or the clusters are below 1, or the strategy's signatures cannot be clustered.
    """
    n = len(signatures)
    size = checked_size(size, n)
    if clusters < 1:
        raise UsageError(f"clusters {clusters}: at least one")
    if not isinstance(strategy, Vectorial):
        raise UsageError(
            f"signatures of {strategy.name} cannot be averaged, and so not clustered: use k-centre, or a strategy such "
            f"as hash or embedding"
        )
    cluster = _clusters(strategy.vectors(signatures), min(clusters, size), seed)
    keep, duplicate_of = np.zeros(n, dtype=bool), np.arange(n)
    measure = np.full(n, np.nan, dtype=np.float32)
    for number, places in enumerate(quotas(np.bincount(cluster), size).tolist()):
        units = np.flatnonzero(cluster == number)
        kept = k_centre(signatures[units], strategy, places)
        keep[units], duplicate_of[units], measure[units] = kept.keep, units[kept.duplicate_of], kept.measure
        counted(len(units))
    return GroupSelection(keep, duplicate_of, measure)


def quotas(sizes: Ints, places: int) -> Ints:
    """Share places out among clusters of sizes (k,): as evenly as these allow, what is left over to the largest.

    There is at least one place a cluster, and not more than there are units; none gets more than its size, (k,).
    """
    levels = range(int(sizes.max()) + 1)
    level = bisect_right(levels, places, key=lambda level: int(np.minimum(sizes, level).sum())) - 1
    share = np.minimum(sizes, level)
    largest = np.argsort(-sizes, kind="stable")
    more = largest[share[largest] < sizes[largest]][: places - int(share.sum())]
    share[more] += 1
    return np.asarray(share)


def _clusters(vectors: NDArray[np.float32], clusters: int, seed: int) -> Ints:
    """Number the cluster of each unit, (n,), in the order in which they first come."""
    from sklearn.cluster import KMeans

    different = len(np.unique(vectors, axis=0))
    model = KMeans(min(clusters, different), n_init=STARTS, max_iter=ITERATIONS, random_state=seed)
    labels = model.fit_predict(vectors)
    return first_appearance(labels)[0]


LEAF, CHEAP_LEAF = 32, 256
"""Units of which all pairs are compared at once: few where a measure is costly, more where it can be searched for."""


def greedy(
    signatures: Signatures, strategy: Strategy, threshold: float | None = None, *, counted: Counted = int
) -> GroupSelection:
    """Keep the first unit, drop all that duplicate it, keep the first of what remains, and so on.

    A unit is dropped for the earliest kept unit that it duplicates, so halves can be worked through one after the
    other: what the first half keeps drops what it can of the second, and the rest of the second is a smaller task of
    the same kind. That compares sets with sets, which can be searched, and only ever with what is kept: n equal units
    cost n comparisons, not n squared.

    Signatures (n, width) are of one group, in the order that counts. A score compares nothing: what lies below the
    threshold, by default the strategy's own, is dropped.

    Raises:
        UsageError: the threshold is outside the strategy's range.
    """
    threshold = checked(strategy, threshold)
    n = len(signatures)
    if strategy.measure == "score":
        score = np.asarray(signatures[:, 0], dtype=np.float32)
        return by_score(score, within(strategy, score, threshold))
    selection = _Selection(signatures, strategy, threshold, counted)
    keep = np.zeros(n, dtype=bool)
    keep[selection.of(np.arange(n))] = True
    return GroupSelection(keep, selection.duplicate_of, selection.measure)


class _Selection:
    """The state of one selection: who stands for whom."""

    def __init__(self, signatures: Signatures, strategy: Strategy, threshold: float, counted: Counted) -> None:
        self.signatures, self.strategy, self.threshold, self.counted = signatures, strategy, threshold, counted
        self.leaf = CHEAP_LEAF if isinstance(strategy, Searchable) else LEAF
        self.duplicate_of = np.arange(len(signatures))
        self.measure = np.full(len(signatures), np.nan, dtype=np.float32)

    def of(self, units: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return which of some units, in order, are kept among themselves; note what stands for the others."""
        if len(units) <= self.leaf:
            return self._leaf(units)
        first, second = np.array_split(units, 2)
        kept = self.of(first)
        found, measure = earliest(self.strategy, self.signatures[kept], self.signatures[second], self.threshold)
        dropped = found < len(kept)
        self.duplicate_of[second[dropped]] = kept[found[dropped]]
        self.measure[second[dropped]] = measure[dropped]
        self.counted(int(dropped.sum()))
        return np.concatenate([kept, self.of(second[~dropped])])

    def _leaf(self, units: NDArray[np.int64]) -> NDArray[np.int64]:
        if not len(units):
            return units
        self.counted(len(units))
        measure = self.strategy.compare(self.signatures[units], self.signatures[units])
        near = np.triu(within(self.strategy, measure, self.threshold), 1)
        left = np.ones(len(units), dtype=bool)
        for row in np.flatnonzero(near.any(axis=1)):
            if left[row]:
                dropped = near[row] & left
                left &= ~dropped
                self.duplicate_of[units[dropped]] = units[row]
                self.measure[units[dropped]] = measure[row, dropped]
        return units[left]
