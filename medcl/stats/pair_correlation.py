"""Rank correlation of two values of pairs, under resampling of the items that the pairs are made of."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medcl.stats.ranking import Floats, Ints

_BLOCK = 1 << 22
"""Weights of pairs at a time."""


@dataclass(frozen=True)
class PairCorrelation:
    """Spearman's correlation over pairs of items; a pair counts by the product of the weights of its items.

    The ranks are those of the sample, also of a resample of it.

    Args:
        pairs: (P, 2) numbers of the items.
        first: (P,) one value of each pair.
        second: (P,) the other.
        n_items: number of items.
    """

    pairs: Ints
    first: Floats
    second: Floats
    n_items: int

    def metrics(self, weights: Floats) -> tuple[dict[str, Floats], dict[str, Floats]]:
        """{`spearman`: (resamples,)} under weights (items, resamples); NaN where one value never changes."""
        x, y = (_centred_ranks(one) for one in (self.first, self.second))
        step = max(1, _BLOCK // max(1, len(self.pairs)))
        blocks = (weights[:, start : start + step] for start in range(0, weights.shape[1], step))
        parts = [_correlation(x, y, one[self.pairs[:, 0]] * one[self.pairs[:, 1]]) for one in blocks]
        return {"spearman": np.concatenate(parts)}, {}


def _centred_ranks(values: Floats) -> Floats:
    from scipy.stats import rankdata

    ranks: Floats = rankdata(values)
    centred: Floats = ranks - ranks.mean()
    return centred


def _correlation(x: Floats, y: Floats, weights: Floats) -> NDArray[np.float64]:
    """Weighted correlation (resamples,) of (P,) and (P,) under (P, resamples)."""
    total = weights.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean_x, mean_y = x @ weights / total, y @ weights / total
        both = (x * y) @ weights / total - mean_x * mean_y
        spread = ((x * x) @ weights / total - mean_x**2) * ((y * y) @ weights / total - mean_y**2)
        found: NDArray[np.float64] = np.where(spread > 0, both / np.sqrt(np.maximum(spread, 0)), np.nan)
    return found
