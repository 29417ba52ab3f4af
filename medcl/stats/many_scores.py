"""How well predictions tell classes apart or follow numbers, of many labels or many resamples at once."""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
RESAMPLES = 500
_TOGETHER = 50  # resamples at a time, to take little memory


def auroc(truth: NDArray[np.bool_], scores: Floats, weights: Floats | None = None) -> Floats:
    """Area under the ROC curve of one score for each of many weightings of the rows; ties count half.

    Args:
        truth: (N,).
        scores: (N,).
        weights: (N, W) how often each row counts; default: once.

    Returns:
        (W,); NaN where a class is missing.
    """
    counts = np.ones((len(truth), 1)) if weights is None else weights
    order = np.argsort(scores, kind="stable")
    ranked = scores[order]
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
    of_truth, found = truth[order, None], []
    for some in np.split(counts, range(_TOGETHER, counts.shape[1], _TOGETHER), axis=1):
        own = some[order]
        right = np.add.reduceat(np.where(of_truth, own, 0.0), starts, axis=0)
        wrong = np.add.reduceat(np.where(of_truth, 0.0, own), starts, axis=0)
        below = np.cumsum(wrong, axis=0) - wrong / 2
        total = right.sum(axis=0) * wrong.sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            found.append((right * below).sum(axis=0) / total)
    return np.concatenate(found)


def auroc_of_each(truth: NDArray[np.bool_], scores: Floats) -> Floats:
    """Area under the ROC curve of each of many scores, with a truth of its own; ties count half.

    Args:
        truth: (N, W).
        scores: (N, W).

    Returns:
        (W,); NaN where a class is missing.
    """
    positives = truth.sum(axis=0)
    ranks = np.where(truth, rankdata(scores, axis=0), 0.0).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((ranks - positives * (positives + 1) / 2) / (positives * (len(truth) - positives)))


def explained(truth: Floats, predicted: Floats, weights: Floats | None = None) -> Floats:
    """Share of the variance of a number that its prediction explains (R squared), for each of many weightings.

    Args:
        truth: (N,).
        predicted: (N,).
        weights: (N, W); default: each once.

    Returns:
        (W,), at most 1; below 0 where the mean predicts better; NaN where the number does not vary.
    """
    counts = np.ones((len(truth), 1)) if weights is None else weights
    total = counts.sum(axis=0)
    mean = (truth @ counts) / total
    variance = (truth**2 @ counts) / total - mean**2
    with np.errstate(invalid="ignore", divide="ignore"):
        found = 1 - ((truth - predicted) ** 2 @ counts) / total / variance
    return np.where(variance > 1e-12 * np.maximum(mean**2, 1e-30), found, np.nan)


def patient_resamples(patients: Ints, seed: int) -> Floats:
    """How often each row occurs in resamples of the patients, each of whom brings all of her rows.

    Args:
        patients: (N,) group of each row.
        seed: of the resamples.

    Returns:
        (N, 500).
    """
    groups = np.unique(patients, return_inverse=True)[1].reshape(-1)
    count = int(groups.max()) + 1
    drawn = np.random.default_rng([seed, 4]).multinomial(count, np.full(count, 1 / count), size=RESAMPLES)
    return np.asarray(drawn.T[groups], dtype=np.float64)
