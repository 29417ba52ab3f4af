"""How certain a result is: intervals over repeats, bootstrap over patients, calibration of predictions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from medcl.errors import MedclError
from medcl.stats.metrics import Kind, Predictions
from medcl.stats.ranking import Floats

CONFIDENCE = 0.95
_BLOCK_NUMBERS = 300_000  # weights at a time: 2.4 MB stay in the cache, whatever the number of records and resamples


@dataclass(frozen=True)
class Interval:
    """A mean and its two-sided interval; `n` is the number of values behind it."""

    mean: float
    low: float
    high: float
    n: int


def mean_interval(values: ArrayLike, confidence: float = CONFIDENCE) -> Interval:
    """Mean over repeats with its Student t interval.

    The repeats share the test set, so this says how much the draw of the labelled subset and the initialisation
    matter, not how much the patients tested do: that is `patient_bootstrap`.

    Args:
        values: (repeats,), one metric of every repeat.
        confidence: probability that the interval covers the mean.

    Returns:
        The interval; its ends are NaN for a single repeat, and all of it is NaN when a repeat is.

    Raises:
        MedclError: there is no value.
    """
    from scipy import stats

    repeats = np.asarray(values, dtype=np.float64).ravel()
    if not len(repeats):
        raise MedclError("no repeats to average")
    mean = float(repeats.mean())
    if len(repeats) == 1:
        return Interval(mean, float("nan"), float("nan"), 1)
    half = float(stats.t.interval(confidence, len(repeats) - 1)[1] * stats.sem(repeats))
    return Interval(mean, mean - half, mean + half, len(repeats))


def paired_interval(values: ArrayLike, baseline: ArrayLike, confidence: float = CONFIDENCE) -> Interval:
    """Mean of values - baseline, (repeats,) each, with its t interval; repeat i of both used the same subset and seed.

    Raises:
        MedclError: the lists differ in length, so they cannot be pairs.
    """
    first, second = np.asarray(values, dtype=np.float64), np.asarray(baseline, dtype=np.float64)
    if first.shape != second.shape:
        raise MedclError(f"{first.size} values and {second.size} baseline values are not pairs")
    return mean_interval(first - second, confidence)


def percentile_interval(values: ArrayLike) -> Interval:
    """95% percentile interval of a bootstrap distribution (resamples,).

    NaN (a resample without a defined metric) is left out, and `n` says how many remain; `mean` is that of the
    resamples, which is not exactly the metric itself.
    """
    resamples = np.asarray(values, dtype=np.float64)
    resamples = resamples[~np.isnan(resamples)]
    if not len(resamples):
        return Interval(float("nan"), float("nan"), float("nan"), 0)
    low, high = np.quantile(resamples, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(float(resamples.mean()), float(low), float(high), len(resamples))


def patient_weights(patients: ArrayLike, *, n_boot: int = 1000, seed: int | Sequence[int] = 0) -> Iterator[Floats]:
    """How often each record occurs in resamples of the patients, a block of resamples at a time.

    A resample draws as many patients as there are, with replacement; a patient brings all of its records. Calls with
    the same patients, `n_boot` and `seed` give the same resamples.

    Args:
        patients: (records,) id of the patient of each record; only which records share one matters.
        n_boot: number of resamples.
        seed: seed of the resamples.

    Yields:
        (records, resamples of this block), counts.
    """
    import pyarrow as pa

    # Patients are numbered in the order in which they first appear, so that resamples do not depend on their codes.
    codes = pa.array(np.asarray(patients)).dictionary_encode()
    of_patient, n_patients = codes.indices.to_numpy(), len(codes.dictionary)
    rng = np.random.default_rng(seed)
    block = max(1, _BLOCK_NUMBERS // len(of_patient))
    for start in range(0, n_boot, block):
        drawn = rng.multinomial(n_patients, np.full(n_patients, 1 / n_patients), size=min(block, n_boot - start))
        yield drawn.T[of_patient].astype(np.float64)


def patient_bootstrap(
    kind: Kind, truth: ArrayLike, predictions: ArrayLike, patients: ArrayLike, *, n_boot: int = 1000, seed: int = 0
) -> dict[str, Floats]:
    """Distribution of every metric under resampling of the test patients, averaged over repeats.

    In each resample, see `patient_weights`, a metric is computed for every repeat and averaged. Calls with the same
    patients, `n_boot` and `seed` draw the same resamples, so the difference of two results is a paired one:
    `percentile_interval(boot_pretrained["auroc"] - boot_random["auroc"])`. A class that a resample does not hold is
    left out of that resample's macro mean.

    Args:
        kind: what the target is.
        truth: (records, ...), as in `medcl.stats.metrics.Predictions.of`.
        predictions: (repeats, records, ...): the predictions of every repeat for the same records.
        patients: (records,) id of the patient of each record.
        n_boot: number of resamples.
        seed: seed of the resamples.

    Returns:
        {metric: (n_boot,)}, the macro metrics.

    Raises:
        MedclError: shapes do not match, a record is unlabelled, or a prediction is not finite.
    """
    labels, repeats, ids = np.asarray(truth), np.asarray(predictions, dtype=np.float64), np.asarray(patients)
    if repeats.ndim < 2 or not len(repeats) or repeats.shape[1] != len(ids) or len(labels) != len(ids):
        raise MedclError(
            f"bootstrap: {len(labels)} labels, {len(ids)} patient ids and predictions of the shape {repeats.shape}, "
            "expected (repeats, records, ...)"
        )
    compared = [Predictions.of(kind, labels, one) for one in repeats]
    parts: list[dict[str, Floats]] = []
    for weights in patient_weights(ids, n_boot=n_boot, seed=seed):
        macros = [one.metrics(weights)[0] for one in compared]
        parts.append({metric: np.mean([macro[metric] for macro in macros], axis=0) for metric in macros[0]})
    return {metric: np.concatenate([part[metric] for part in parts]) for metric in parts[0]}


def weighted_median(values: Floats, weights: Floats) -> Floats:
    """The median of values (records,) under each column of counts (records, resamples), (resamples,)."""
    order = np.argsort(values, kind="stable")
    running = weights[order].cumsum(0)
    half = running[-1] / 2
    # The mean of the two middle values where the half falls between them, as NumPy's median has it.
    low, high = (running >= half).argmax(0), (running > half).argmax(0)
    middle: Floats = (values[order][low] + values[order][high]) / 2
    return middle


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
