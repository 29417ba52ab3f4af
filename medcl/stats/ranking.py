"""Records in the order of their scores: ROC curves, precision, medians under many weightings; chance in retrieval."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats: TypeAlias = NDArray[np.float64]
Bools: TypeAlias = NDArray[np.bool_]
Ints: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True)
class Ranks:
    """The records of one class in the order of their scores, sorted once for all weightings.

    Args:
        positive: (P,) records, the highest score first.
        negative: (N,) records, the highest score first.
        above: (P,) number of negatives that rank above each positive.
        level: (P,) number of negatives that rank above or level with each positive.
        within: (P,) number of positives that rank above or level with each positive, itself included.
    """

    positive: Ints
    negative: Ints
    above: Ints
    level: Ints
    within: Ints

    @classmethod
    def of(cls, truth: Bools, score: Floats) -> "Ranks":
        """Sort records (records,): the truth is True for a positive, a higher score more likely positive."""
        positive = np.flatnonzero(truth)[np.argsort(-score[truth], kind="stable")]
        negative = np.flatnonzero(~truth)[np.argsort(-score[~truth], kind="stable")]
        # Scores are negated so that both lists ascend, as searchsorted needs.
        key, other = -score[positive], -score[negative]
        above, level = np.searchsorted(other, key, "left"), np.searchsorted(other, key, "right")
        return cls(positive, negative, above, level, np.searchsorted(key, key, "right"))

    def auroc(self, weights: Floats | None = None) -> Floats:
        """Area under the ROC curve, (resamples,), of which ties count half; NaN without a positive or a negative.

        Weights (records, resamples) are not negative; None counts each record once.
        """
        if weights is None:
            pairs = len(self.positive) * len(self.negative)
            return np.array([1 - float((self.above + self.level).sum()) / 2 / pairs if pairs else np.nan])
        drawn, false_alarms = weights[self.positive], _running_sum(weights[self.negative])
        discordant = np.einsum("nb,nb->b", drawn, false_alarms[self.above] + false_alarms[self.level]) / 2
        pairs = drawn.sum(0) * false_alarms[-1]
        return 1 - ratio(discordant, pairs, pairs > 0)

    def auprc(self, weights: Floats) -> Floats:
        """Average precision under weights (records, resamples), (resamples,); ties count as scikit-learn has them.

        NaN without a positive.
        """
        drawn = weights[self.positive]
        hits, false_alarms = _running_sum(drawn), _running_sum(weights[self.negative])
        found = hits[self.within]
        # 0/0 is a threshold that no drawn record passes; its positive has weight 0 as well.
        precision = np.divide(found, found + false_alarms[self.level], out=np.zeros_like(found), where=found > 0)
        return ratio(np.einsum("nb,nb->b", drawn, precision), hits[-1], hits[-1] > 0)

    def sensitivity(self, weights: Floats, specificity: float) -> Floats:
        """Highest sensitivity at a specificity of at least so much, (resamples,), over the thresholds there are.

        NaN without a positive or a negative. Weights are (records, resamples).
        """
        hits, false_alarms = _running_sum(weights[self.positive]), _running_sum(weights[self.negative])
        total = false_alarms[-1]
        # The tolerance is for rounding: 1 - 0.9 is a little less than one in ten.
        allowed = false_alarms[self.level] <= (1 - specificity + 1e-9) * total
        best = np.where(allowed, hits[self.within], 0).max(0, initial=0)
        return ratio(best, hits[-1], (hits[-1] > 0) & (total > 0))


def ratio(above: Floats, below: Floats, defined: Bools) -> Floats:
    """Above / below, element by element; NaN where it is not defined."""
    found = np.full(above.shape, np.nan)
    np.divide(above, below, out=found, where=defined)
    return found


def mean_defined(values: Floats) -> Floats:
    """Mean over the first axis, NaN left out; NaN where nothing is left."""
    defined = ~np.isnan(values)
    count = defined.sum(0)
    return ratio(np.where(defined, values, 0).sum(0), count, count > 0)


def _running_sum(weights: Floats) -> Floats:
    total = np.zeros((len(weights) + 1, weights.shape[1]))
    np.cumsum(weights, axis=0, out=total[1:])
    return total


def recall(candidates: ArrayLike, hits: ArrayLike, k: ArrayLike) -> Floats:
    """Probability that at least one hit is among the first k, (queries,): 1 - C(n - h, k) / C(n, k).

    Of each query n are the candidates and h, from 1 to n, the hits, (queries,) each.

    Example:
        >>> from medcl.stats.ranking import recall
        >>> recall(candidates=[100, 100], hits=[1, 5], k=10).round(3).tolist()  # by chance
        [0.1, 0.416]
    """
    from scipy.special import gammaln

    n, h = np.asarray(candidates, dtype=np.float64), np.asarray(hits, dtype=np.float64)
    misses, k = n - h, np.asarray(k)
    possible = misses >= k  # otherwise there are not k candidates without a hit
    safe = np.where(possible, misses, k)
    logarithm = gammaln(safe + 1) - gammaln(safe - k + 1) - gammaln(n + 1) + gammaln(np.maximum(n - k, 0) + 1)
    return np.where(possible, 1 - np.exp(np.minimum(logarithm, 0.0)), 1.0)


def average_precision(candidates: ArrayLike, hits: ArrayLike) -> Floats:
    """Expected average precision, (queries,): (h - 1) / (n - 1) * (1 - H_n / n) + H_n / n, H_n the harmonic number.

    Candidates n and hits h as in `recall`.
    """
    from scipy.special import digamma

    n, h = np.asarray(candidates, dtype=np.float64), np.asarray(hits, dtype=np.float64)
    first = (digamma(n + 1) + np.euler_gamma) / n
    expected: Floats = (h - 1) / np.maximum(n - 1, 1) * (1 - first) + first
    return expected


def median_rank(candidates: ArrayLike, hits: ArrayLike, weights: Floats) -> Floats:
    """Median over queries and random orders of the rank of the best hit: the first at which half have found one.

    Candidates n and hits h as in `recall`; each query counts as often as its column of weights (queries, resamples)
    says.

    Returns:
        (resamples,).
    """
    kinds, of_query = np.unique(np.stack([candidates, hits]), axis=1, return_inverse=True)
    share = np.zeros((kinds.shape[1], weights.shape[1]))
    np.add.at(share, of_query.ravel(), weights / weights.sum(0))
    low, high = np.ones(weights.shape[1]), np.full(weights.shape[1], float(kinds[0].max()))
    while (low < high).any():
        middle = (low + high) // 2
        half = (share * recall(kinds[0][:, None], kinds[1][:, None], middle)).sum(0) >= 0.5 - 1e-12
        low, high = np.where(half, low, middle + 1), np.where(half, middle, high)
    return low


def weighted_median(values: Floats, weights: Floats) -> Floats:
    """The median of values (records,) under each column of counts (records, resamples), (resamples,)."""
    order = np.argsort(values, kind="stable")
    running = weights[order].cumsum(0)
    half = running[-1] / 2
    # The mean of the two middle values where the half falls between them, as NumPy's median has it.
    low, high = (running >= half).argmax(0), (running > half).argmax(0)
    middle: Floats = (values[order][low] + values[order][high]) / 2
    return middle
