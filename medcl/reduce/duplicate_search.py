"""Duplicates of a strategy: by its own search where it has one, else by comparing blocks."""

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from medcl.reduce.strategy import DuplicatePairs, Measure, Range, Searchable, Signatures, Source, Strategy, within

ROWS, COLUMNS = 1024, 8192
"""Of the part of the matrix that is in memory at a time: 32 MB."""
DECIMALS = 6
"""Similarities are rounded to what float32 can tell, so that a vector and its copy have exactly 1."""
Floats = NDArray[np.float32]


def cosines(a: Floats, b: Floats) -> Floats:
    """Compute the similarity of each pair.

    Args:
        a: (n, d) unit vectors.
        b: (m, d) unit vectors.

    Returns:
        (n, m) float32.
    """
    return _rounded(a @ b.T)


def search(a: Floats, b: Floats, threshold: float) -> Iterator[DuplicatePairs]:
    """Find all pairs at or above a similarity, exactly.

    Args:
        a: (n, d) unit vectors.
        b: (m, d) unit vectors.
        threshold: cosine.

    Yields:
        Each pair of a row of a and a row of b exactly once, in blocks of bounded memory.
    """
    part = np.empty((min(ROWS, len(a)), min(COLUMNS, len(b))), dtype=np.float32)
    low = np.float32(threshold - 10.0**-DECIMALS)
    for top in range(0, len(a), ROWS):
        first = a[top : top + ROWS]
        for left in range(0, len(b), COLUMNS):
            second = b[left : left + COLUMNS]
            similarity = part.ravel()[: len(first) * len(second)].reshape(len(first), len(second))
            np.matmul(first, second.T, out=similarity)
            row, column = np.nonzero(similarity >= low)
            measure = _rounded(similarity[row, column])
            near = measure >= threshold
            yield DuplicatePairs(row[near] + top, column[near] + left, measure[near])


def _rounded(similarity: Floats) -> Floats:
    return np.asarray(np.clip(np.round(similarity, DECIMALS), -1, 1), dtype=np.float32)


class ByCosine:
    """Cosine similarity of embeddings; signatures are their directions, (n, width) float32 of length 1."""

    name: ClassVar[str] = "embedding"
    source: ClassVar[Source] = "array"
    measure: ClassVar[Measure] = "similarity"
    thresholds: ClassVar[Range] = Range(0.95, -1, 1, (0.5, 0.7, 0.8, 0.85, 0.9, 0.925, 0.95, 0.97, 0.98, 0.99, 0.999))

    def compare(self, a: Signatures, b: Signatures) -> NDArray[np.float32]:
        """Compute the cosine of each pair, (n, m)."""
        return cosines(a, b)

    def search(self, a: Signatures, b: Signatures, threshold: float) -> Iterator[DuplicatePairs]:
        """Find all pairs at or above the threshold, exactly, in blocks of bounded memory."""
        return search(a, b, threshold)

    def vectors(self, signatures: Signatures) -> NDArray[np.float32]:
        """Unit vectors: their Euclidean distance orders pairs as the cosine does."""
        return np.asarray(signatures, dtype=np.float32)


BLOCK = 1024
"""Signatures a side that are compared at a time."""


def matches(strategy: Strategy, a: Signatures, b: Signatures, threshold: float) -> Iterator[DuplicatePairs]:
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
            yield DuplicatePairs(row + top, column + left, measure[row, column])


def duplicates(strategy: Strategy, signatures: Signatures, threshold: float) -> Iterator[DuplicatePairs]:
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
        yield DuplicatePairs(pairs.first[later], pairs.second[later], pairs.measure[later])


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
