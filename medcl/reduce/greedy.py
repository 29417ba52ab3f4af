"""Greedy selection by a threshold, in order: the rule of Wolf et al., 'Less is More' (2024)."""

import numpy as np
from numpy.typing import NDArray

from medcl.reduce.kept import Kept
from medcl.reduce.neighbours import earliest
from medcl.reduce.strategy import Searchable, Signatures, Strategy, checked, within

LEAF, CHEAP_LEAF = 32, 256
"""Units of which all pairs are compared at once: few where a measure is costly, more where it can be searched for."""


def greedy(signatures: Signatures, strategy: Strategy, threshold: float | None = None) -> Kept:
    """Keep the first unit, drop all that duplicate it, keep the first of what remains, and so on.

    A unit is dropped for the earliest kept unit that it duplicates, so halves can be worked through one after the
    other: what the first half keeps drops what it can of the second, and the rest of the second is a smaller task of
    the same kind. That compares sets with sets, which can be searched, and only ever with what is kept: n equal units
    cost n comparisons, not n squared.

    Args:
        signatures: (n, width) of one group, in the order that counts.
        strategy: what they are compared by. A score compares nothing: what lies below the threshold is dropped.
        threshold: in the strategy's unit; its default where not given.

    Returns:
        The selection; the same whenever it is computed.

    Raises:
        UsageError: the threshold is outside the strategy's range.
    """
    threshold = checked(strategy, threshold)
    n = len(signatures)
    if strategy.measure == "score":
        score = np.asarray(signatures[:, 0], dtype=np.float32)
        keep = within(strategy, score, threshold)
        return Kept(keep, np.where(keep, np.arange(n), -1), np.where(keep, np.float32(np.nan), score))
    selection = _Selection(signatures, strategy, threshold)
    keep = np.zeros(n, dtype=bool)
    keep[selection.of(np.arange(n))] = True
    return Kept(keep, selection.duplicate_of, selection.measure)


class _Selection:
    """The state of one selection: who stands for whom."""

    def __init__(self, signatures: Signatures, strategy: Strategy, threshold: float) -> None:
        self.signatures, self.strategy, self.threshold = signatures, strategy, threshold
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
        return np.concatenate([kept, self.of(second[~dropped])])

    def _leaf(self, units: NDArray[np.int64]) -> NDArray[np.int64]:
        if not len(units):
            return units
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
