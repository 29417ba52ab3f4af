"""How far predicted probabilities and values can be taken at their word."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from medcl.errors import MedclError
from medcl.stats.ranking import Floats


@dataclass(frozen=True)
class Calibration:
    """A calibration curve, (bins,) each: mean prediction, observed frequency or mean true value, number of records."""

    predicted: Floats
    observed: Floats
    count: Floats


def calibration(truth: ArrayLike, probability: ArrayLike, *, bins: int = 10) -> Calibration:
    """Calibration curve of one class, in bins between quantiles of the probability; empty bins are left out.

    The truth (records,) is 0 or 1, the probability (records,) lies in [0, 1].

    Raises:
        MedclError: the lengths differ, nothing was passed, or a probability lies outside [0, 1].
    """
    from sklearn.calibration import calibration_curve

    labels, predicted = np.asarray(truth, dtype=np.float64), np.asarray(probability, dtype=np.float64)
    if labels.shape != predicted.shape or labels.ndim != 1 or not len(labels):
        raise MedclError(f"calibration: truth {labels.shape} and probability {predicted.shape} differ in length")
    if not ((predicted >= 0) & (predicted <= 1)).all():
        raise MedclError("calibration: a probability lies outside [0, 1]; pass probabilities, not logits")
    observed, mean = calibration_curve(labels > 0, predicted, n_bins=bins, strategy="quantile")
    # The numbers of records, which scikit-learn does not return, in the same bins.
    edges = np.percentile(predicted, np.linspace(0, 1, bins + 1) * 100)
    count = np.bincount(np.searchsorted(edges[1:-1], predicted))
    return Calibration(mean, observed, count[count > 0].astype(np.float64))


def value_calibration(truth: ArrayLike, prediction: ArrayLike, *, bins: int = 10) -> Calibration:
    """Calibration curve of a regression, (records,) values each, in equally filled bins of the prediction."""
    true, predicted = np.asarray(truth, dtype=np.float64), np.asarray(prediction, dtype=np.float64)
    parts = [part for part in np.array_split(np.argsort(predicted, kind="stable"), bins) if len(part)]
    means = [np.array([values[part].mean() for part in parts]) for values in (predicted, true)]
    return Calibration(means[0], means[1], np.array([len(part) for part in parts], dtype=np.float64))
