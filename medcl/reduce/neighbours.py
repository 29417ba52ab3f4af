"""Duplicates of a strategy: by its own search where it has one, else by comparing blocks."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from medcl.reduce.strategy import Pairs, Searchable, Signatures, Strategy, within

BLOCK = 1024
"""Signatures a side that are compared at a time."""


def matches(strategy: Strategy, a: Signatures, b: Signatures, threshold: float) -> Iterator[Pairs]:
    """Find all duplicates between two sets of signatures.

    Args:
        strategy: of measure distance or similarity.
        a: (n, width).
        b: (m, width).
        threshold: checked.

    Yields:
        Each pair exactly once, in blocks.
    """
    if isinstance(strategy, Searchable):
        yield from strategy.search(a, b, threshold)
        return
    for top in range(0, len(a), BLOCK):
        for left in range(0, len(b), BLOCK):
            measure = strategy.compare(a[top : top + BLOCK], b[left : left + BLOCK])
            row, column = np.nonzero(within(strategy, measure, threshold))
            yield Pairs(row + top, column + left, measure[row, column])


def duplicates(strategy: Strategy, signatures: Signatures, threshold: float) -> Iterator[Pairs]:
    """Find all duplicates within one set of signatures.

    Args:
        strategy: of measure distance or similarity.
        signatures: (n, width).
        threshold: checked.

    Yields:
        Each pair exactly once, first < second, in blocks. An archive of n equal pieces has n (n - 1) / 2 pairs: only a
        selection rule is quick for it.
    """
    for pairs in matches(strategy, signatures, signatures, threshold):
        later = pairs.first < pairs.second
        yield Pairs(pairs.first[later], pairs.second[later], pairs.measure[later])


def earliest(
    strategy: Strategy, a: Signatures, b: Signatures, threshold: float
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Find for each signature of a set the first one of another set that it duplicates.

    Args:
        strategy: of measure distance or similarity.
        a: (n, width), in the order that counts.
        b: (m, width).
        threshold: checked.

    Returns:
        (m,) rows of a, n where there is none; and (m,) their measures, nan where there is none.
    """
    found = np.full(len(b), len(a))
    measure = np.full(len(b), np.nan, dtype=np.float32)
    for pairs in matches(strategy, a, b, threshold):
        if not len(pairs.first):
            continue
        order = np.lexsort((pairs.first, pairs.second))
        column, lead = np.unique(pairs.second[order], return_index=True)
        best = order[lead]
        sooner = pairs.first[best] < found[column]
        column, best = column[sooner], best[sooner]
        found[column], measure[column] = pairs.first[best], pairs.measure[best]
    return found, measure
