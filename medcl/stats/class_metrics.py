"""Metrics of predicted classes and grades under weights of the records (records, resamples).

Each is a function of `medcl.stats.metrics.Predictions` and weights that returns (rows, resamples), NaN where it is
undefined.
"""

from typing import TYPE_CHECKING

import numpy as np

from medcl.stats.ranking import Bools, Floats, mean_defined, ratio

if TYPE_CHECKING:
    from medcl.stats.metrics import Predictions

SPECIFICITY = 0.9
"""Specificity at which the sensitivity is given."""
ECE_BINS = 10
"""Number of bins of equal width of the expected calibration error."""


def auroc(predictions: "Predictions", weights: Floats) -> Floats:
    """Area under the ROC curve of each class against the others."""
    return np.stack([ranks.auroc(weights) for ranks in predictions.ranks])


def auprc(predictions: "Predictions", weights: Floats) -> Floats:
    """Average precision of each class against the others."""
    return np.stack([ranks.auprc(weights) for ranks in predictions.ranks])


def f1(predictions: "Predictions", weights: Floats) -> Floats:
    """F1 of each class, of a binary target that of the negative and of the positive class."""
    hits, positives, calls = predictions.counts(weights)
    return ratio(2 * hits, positives + calls, positives > 0)


def sensitivity_at_specificity(predictions: "Predictions", weights: Floats) -> Floats:
    """Highest sensitivity of each class at a specificity of at least 0.9, without interpolation of the ROC curve."""
    return np.stack([ranks.sensitivity(weights, SPECIFICITY) for ranks in predictions.ranks])


def accuracy(predictions: "Predictions", weights: Floats) -> Floats:
    """Share of the records of which every column is right, (1, resamples)."""
    exact: Floats = (predictions.truth == predictions.decision).all(1, keepdims=True).T.astype(np.float64)
    total: Floats = weights.sum(0)
    return exact @ weights / total


def balanced_accuracy(predictions: "Predictions", weights: Floats) -> Floats:
    """Mean over the classes that occur of the share of their records that is found, (1, resamples).

    Of a multilabel target, the mean over the labels of the balanced accuracy of each: its sensitivity and specificity.
    """
    if predictions.kind != "multilabel":
        hits, positives, _ = predictions.counts(weights)
        return mean_defined(ratio(hits, positives, positives > 0))[None]
    truth, decision = predictions.truth.astype(bool), predictions.decision
    sides = [(one.T & other.T, one.T) for one, other in ((truth, decision), (~truth, ~decision))]
    found = [(hits.astype(np.float64) @ weights, every.astype(np.float64) @ weights) for hits, every in sides]
    return mean_defined(mean_defined(np.stack([ratio(hits, every, every > 0) for hits, every in found])))[None]


def brier(predictions: "Predictions", weights: Floats) -> Floats:
    """Brier score, (1, resamples): mean squared error of the probabilities (Brier 1950).

    Of a binary target that of the positive class, of a multilabel one the mean over the labels, each from 0 to 1; of a
    multiclass target the sum over the classes, from 0 to 2.
    """
    squares = (predictions.truth.astype(np.float64) - predictions.prediction) ** 2
    each = squares.sum(1) if predictions.kind == "multiclass" else squares.mean(1)
    return _mean(each, weights)


def ece(predictions: "Predictions", weights: Floats) -> Floats:
    """Expected calibration error, (1, resamples), in ten bins of equal width (Naeini et al. 2015, Guo et al. 2017).

    The mean over records of the distance of mean probability and observed frequency of their bin. Of a binary target
    that of the positive class, of a multilabel one the mean over the labels; of a multiclass target the probability is
    that of the predicted class, and the frequency how often it is right.
    """
    truth, probability = predictions.truth.astype(np.float64), predictions.prediction
    if predictions.kind == "multiclass":
        truth = (predictions.truth == predictions.decision).all(1, keepdims=True).astype(np.float64)
        probability = probability.max(1, keepdims=True)
    total: Floats = weights.sum(0)
    edges = np.linspace(0, 1, ECE_BINS + 1)[1:-1]
    errors = []
    for column in range(truth.shape[1]):
        bins: Bools = np.searchsorted(edges, probability[:, column]) == np.arange(ECE_BINS)[:, None]
        apart = np.abs((bins * (truth - probability)[:, column]) @ weights)
        errors.append(apart.sum(0) / total)
    return np.asarray(np.mean(errors, axis=0))[None]


def kappa(predictions: "Predictions", weights: Floats) -> Floats:
    """Quadratic weighted kappa of the grades, (1, resamples) (Cohen 1968): 1 - observed / expected disagreement.

    NaN where truth and prediction are one and the same grade throughout.
    """
    truth, predicted = _grades(predictions)
    total: Floats = weights.sum(0)
    expected = (truth**2 + predicted**2) @ weights - 2 * (truth @ weights) * (predicted @ weights) / total
    observed = (truth - predicted) ** 2 @ weights
    return 1 - ratio(observed, expected, expected > 1e-12 * total)[None]


def grade_error(predictions: "Predictions", weights: Floats) -> Floats:
    """Mean absolute error in grades, (1, resamples), the predicted grade being the most probable one."""
    truth, predicted = _grades(predictions)
    return _mean(np.abs(truth - predicted), weights)


def _grades(predictions: "Predictions") -> tuple[Floats, Floats]:
    """True and predicted grade, (records,) each."""
    return predictions.truth.argmax(1).astype(np.float64), predictions.decision.argmax(1).astype(np.float64)


def _mean(values: Floats, weights: Floats) -> Floats:
    total: Floats = weights.sum(0)
    return (values @ weights / total)[None]
