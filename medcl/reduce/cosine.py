"""Cosine similarity of embeddings, and exact search for all pairs above a threshold, without the matrix of all."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from medcl.reduce.strategy import Pairs

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


def search(a: Floats, b: Floats, threshold: float) -> Iterator[Pairs]:
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
            yield Pairs(row[near] + top, column[near] + left, measure[near])


def _rounded(similarity: Floats) -> Floats:
    return np.asarray(np.clip(np.round(similarity, DECIMALS), -1, 1), dtype=np.float32)
