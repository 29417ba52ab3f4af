"""Metrics of predicted values under weights of the records (records, resamples).

Each is a function of `medcl.stats.metrics.Predictions` and weights that returns (columns, resamples), NaN where it is
undefined.
"""

from typing import TYPE_CHECKING

import numpy as np

from medcl.stats.ranking import Floats, ratio

if TYPE_CHECKING:
    from medcl.stats.metrics import Predictions


def r2(predictions: "Predictions", weights: Floats) -> Floats:
    """Share of the variance that is explained, of each column; below 0 where the mean predicts better."""
    columns = zip(predictions.truth.T.astype(np.float64), predictions.prediction.T, strict=True)
    return np.stack([explained_variance(truth, predicted, weights) for truth, predicted in columns])


def mae(predictions: "Predictions", weights: Floats) -> Floats:
    """Mean absolute error of each column."""
    total: Floats = weights.sum(0)
    return np.abs(_errors(predictions)).T @ weights / total


def rmse(predictions: "Predictions", weights: Floats) -> Floats:
    """Root of the mean squared error of each column."""
    total: Floats = weights.sum(0)
    return np.sqrt((_errors(predictions) ** 2).T @ weights / total)


def spearman(predictions: "Predictions", weights: Floats) -> Floats:
    """Rank correlation of each column: that of mean ranks, in which a record counts as often as its weight says.

    NaN where the truth or the prediction does not vary.
    """
    columns = zip(predictions.truth.T.astype(np.float64), predictions.prediction.T, strict=True)
    return np.stack([_correlation(_ranks(a, weights), _ranks(b, weights), weights) for a, b in columns])


def explained_variance(truth: Floats, prediction: Floats, weights: Floats) -> Floats:
    """R squared of one number (records,) under each column of weights (records, resamples).

    Returns:
        (resamples,), at most 1; NaN where the number does not vary.
    """
    total = weights.sum(0)
    centred = truth - truth.mean()  # the spread is a difference of two sums: small numbers keep its digits
    spread = centred**2 @ weights - (centred @ weights) ** 2 / total
    residual = (truth - prediction) ** 2 @ weights
    # A resample of one value has no variance to explain; rounding must not turn that into a number.
    defined = spread > 1e-12 * (centred**2).max() * total
    return 1 - ratio(residual, spread, defined)


def _errors(predictions: "Predictions") -> Floats:
    return np.asarray(predictions.truth.astype(np.float64) - predictions.prediction)


def _ranks(values: Floats, weights: Floats) -> Floats:
    """Mean ranks of values (records,) as shares of the total weight, less 1/2, (records, resamples)."""
    _, level = np.unique(values, return_inverse=True)
    order = np.argsort(level, kind="stable")
    at = np.add.reduceat(weights[order], np.searchsorted(level[order], np.arange(level.max() + 1)), axis=0)
    ranks: Floats = ((at.cumsum(0) - at / 2) / at.sum(0) - 0.5)[level]
    return ranks


def _correlation(first: Floats, second: Floats, weights: Floats) -> Floats:
    """Correlation of numbers whose weighted mean is 0, all (records, resamples)."""
    together, *spreads = (
        np.einsum("nb,nb,nb->b", weights, a, b) for a, b in ((first, second), (first,) * 2, (second,) * 2)
    )
    product = np.sqrt(spreads[0] * spreads[1])
    return ratio(together, product, product > 1e-12 * weights.sum(0))
