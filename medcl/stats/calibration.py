"""How far predicted probabilities and values can be taken at their word, and how their confidence is corrected."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from medcl.errors import MedclError
from medcl.stats.intervals import Bounds, crossed_interval, patient_sums, patient_weights
from medcl.stats.metrics import Kind
from medcl.stats.ranking import Bools, Floats, mean_defined, ratio

TEMPERATURES = (0.05, 20.0)
"""Lowest and highest temperature."""


@dataclass(frozen=True)
class CalibrationIntervals:
    """A calibration curve of several repeats with its intervals, (bins,) each.

    Args:
        predicted: mean prediction, the mean over repeats.
        observed: observed frequency or mean true value, the mean over repeats.
        low: lower end of the 95% interval of what is observed; NaN where a bin holds fewer than two patients, and
            without resamples.
        high: upper end.
        count: number of records, the mean over repeats.
    """

    predicted: Floats
    observed: Floats
    low: Floats
    high: Floats
    count: Floats


def calibration_intervals(
    truth: ArrayLike,
    predictions: ArrayLike,
    patients: ArrayLike,
    bounds: Bounds = (0.0, 1.0),
    *,
    bins: int = 10,
    n_boot: int = 1000,
    seed: int = 0,
) -> CalibrationIntervals:
    """Calibration curve in common bins of all repeats, with intervals over test patients crossed with repeats.

    The bins lie between the quantiles of the predictions, the median over repeats, and stay as they are in the
    resamples. Within a bin, each repeat has its own mean; these are averaged, in every resample too, so that a patient
    counts once however many repeats there are.

    Args:
        truth: (records,) 0 or 1; or values, with the bounds -inf and inf.
        predictions: (repeats, records) probabilities of the class, or values.
        patients: (records,) id of the patient of each record.
        bounds: lowest and highest possible truth.
        bins: number of bins; equal predictions share one, and empty ones are left out.
        n_boot: number of resamples.
        seed: seed of the resamples.

    Raises:
        MedclError: shapes do not match, or a prediction lies outside the bounds.
    """
    true, predicted, ids = (np.asarray(one) for one in (truth, predictions, patients))
    if predicted.ndim != 2 or not predicted.size or {len(true), len(ids)} != {predicted.shape[1]}:
        raise MedclError(
            f"calibration: {len(true)} labels, {len(ids)} patient ids and predictions of the shape {predicted.shape}, "
            "expected (repeats, records)"
        )
    if not ((predicted >= bounds[0]) & (predicted <= bounds[1])).all():
        raise MedclError(f"calibration: a prediction lies outside {list(bounds)}; pass probabilities, not logits")
    edges = np.median(np.quantile(predicted, np.linspace(0, 1, bins + 1)[1:-1], axis=1), axis=1)
    inside: Bools = np.arange(bins)[:, None, None] == np.searchsorted(edges, predicted)  # (bins, repeats, records)
    inside = inside[inside.any((1, 2))]
    shape = inside.shape[:2]
    held, hits = (
        patient_sums((inside * factor).reshape(-1, len(ids)).T.astype(np.float64), ids) for factor in (1, true)
    )

    def means(weights: Floats) -> Floats:
        """What each bin of each repeat holds on average, (bins, repeats, resamples)."""
        number = held.T @ weights
        return ratio(hits.T @ weights, number, number > 0).reshape(*shape, -1)

    observed = means(np.ones((len(held), 1)))[:, :, 0]
    parts = [means(w) for w in patient_weights(np.arange(len(held)), n_boot=n_boot, seed=seed)]
    boot = np.concatenate([np.empty((*shape, 0)), *parts], axis=2)
    n_patients = (held > 0).sum(0).reshape(shape)
    ends = []
    for values, resampled, each in zip(observed, boot, n_patients, strict=True):
        defined = each > 0  # a repeat may have no prediction in the bin
        interval = crossed_interval(values[defined], mean_defined(resampled), bounds, int(each[defined].mean()))
        ends.append((interval.low, interval.high))
    count = inside.sum(2).astype(np.float64)
    mean = ratio((inside * predicted).sum(2), count, count > 0)
    low, high = np.array(ends).T
    return CalibrationIntervals(mean_defined(mean.T), mean_defined(observed.T), low, high, count.mean(1))


def to_logits(kind: Kind, probabilities: ArrayLike) -> Floats:
    """Logits of probabilities, (records, outputs): logarithms for multiclass and ordinal, else log odds.

    Probabilities of 0 and 1 count as 1e-12 and 1 - 1e-12.
    """
    p = np.clip(np.asarray(probabilities, dtype=np.float64), 1e-12, 1 - 1e-12)
    p = p.reshape(len(p), -1)
    return np.log(p) if kind in ("multiclass", "ordinal") else np.log(p / (1 - p))


def tempered(kind: Kind, logits: ArrayLike, temperature: float) -> Floats:
    """Probabilities of logits (records, outputs) divided by the temperature: softmax or sigmoid, by the kind.

    Example:
        >>> from medcl.stats.calibration import tempered
        >>> tempered("multiclass", [[2.0, 0.0]], temperature=2.0).round(3).tolist()
        [[0.731, 0.269]]
    """
    from scipy import special

    z = np.asarray(logits, dtype=np.float64) / temperature
    return np.asarray(special.softmax(z, axis=1) if kind in ("multiclass", "ordinal") else special.expit(z))


def fit_temperature(kind: Kind, truth: ArrayLike, logits: ArrayLike) -> float:
    """Temperature that makes the labels of the validation records most likely (Guo et al., ICML 2017).

    One number, above 1 for a model that is too certain. It changes no ranking of a binary or multilabel target (of a
    multiclass one, whose classes are scaled together, it may), and no decision but that of a binary or
    multilabel target whose threshold is not 0.5. Fit it on other patients than those tested.

    Args:
        kind: binary, multiclass, multilabel or ordinal.
        truth: (records,) class numbers, or (records, outputs) of 0 and 1 for multilabel.
        logits: (records, outputs), from `to_logits` where a model gives probabilities.

    Returns:
        The temperature, from 0.05 to 20: a model without an error on the validation records gets 0.05.

    Raises:
        MedclError: a regression, which has no probabilities, or shapes that do not match.
    """
    from scipy import optimize, special

    if kind == "regression":
        raise MedclError("a regression has no probabilities to scale by a temperature")
    labels, z = np.asarray(truth), np.asarray(logits, dtype=np.float64)
    z = z.reshape(len(z), -1)
    chosen = kind in ("multiclass", "ordinal")
    if len(labels) != len(z) or not len(z) or (not chosen and labels.size != z.size):
        raise MedclError(f"temperature: labels {labels.shape} and logits {z.shape} have to cover the same records")
    signs = None if chosen else np.where(labels.reshape(z.shape) > 0, 1.0, -1.0)

    def cost(logarithm: float) -> float:
        scaled = z * np.exp(-logarithm)
        if signs is not None:
            return float(np.logaddexp(0, -signs * scaled).mean())
        own = np.take_along_axis(scaled, labels.astype(np.int64)[:, None], 1)[:, 0]
        return float((special.logsumexp(scaled, axis=1) - own).mean())

    ends = np.log(TEMPERATURES)
    found = optimize.minimize_scalar(cost, bounds=tuple(ends), method="bounded", options={"xatol": 1e-8})
    return float(np.exp(min([*ends, float(found.x)], key=cost)))
