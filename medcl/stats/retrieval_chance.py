"""Expected metrics of retrieval in a random order."""

import numpy as np
from numpy.typing import ArrayLike

from medcl.stats.ranking import Floats


def recall(candidates: ArrayLike, hits: ArrayLike, k: int) -> Floats:
    """Probability that at least one hit is among the first k: 1 - C(n - h, k) / C(n, k).

    Args:
        candidates: (queries,) n.
        hits: (queries,) h, from 1 to n.
        k: from 1.

    Returns:
        (queries,).
    """
    from scipy.special import gammaln

    n, h = np.asarray(candidates, dtype=np.float64), np.asarray(hits, dtype=np.float64)
    misses = n - h
    possible = misses >= k  # otherwise there are not k candidates without a hit
    safe = np.where(possible, misses, k)
    logarithm = gammaln(safe + 1) - gammaln(safe - k + 1) - gammaln(n + 1) + gammaln(np.maximum(n - k, 0) + 1)
    return np.where(possible, 1 - np.exp(np.minimum(logarithm, 0.0)), 1.0)


def average_precision(candidates: ArrayLike, hits: ArrayLike) -> Floats:
    """Expected average precision: (h - 1) / (n - 1) * (1 - H_n / n) + H_n / n, H_n the harmonic number.

    Args:
        candidates: (queries,) n.
        hits: (queries,) h, from 1 to n.

    Returns:
        (queries,).
    """
    from scipy.special import digamma

    n, h = np.asarray(candidates, dtype=np.float64), np.asarray(hits, dtype=np.float64)
    first = (digamma(n + 1) + np.euler_gamma) / n
    expected: Floats = (h - 1) / np.maximum(n - 1, 1) * (1 - first) + first
    return expected


def median_rank(candidates: ArrayLike, hits: ArrayLike) -> float:
    """Median over queries and random orders of the rank of the best hit: the first at which half have found one.

    Args:
        candidates: (queries,) n.
        hits: (queries,) h, from 1 to n.

    Returns:
        The rank.
    """
    n, h = np.asarray(candidates), np.asarray(hits)
    kinds, count = np.unique(np.stack([n, h]), axis=1, return_counts=True)
    low, high = 1, int(n.max())
    while low < high:
        middle = (low + high) // 2
        if np.average(recall(kinds[0], kinds[1], middle), weights=count) >= 0.5 - 1e-12:
            high = middle
        else:
            low = middle + 1
    return float(low)
