"""How certain a result is: intervals over repeats and over test patients, the bootstrap over patients, p-values."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from medcl.errors import MedclError
from medcl.stats.ranking import Floats, Ints
from medcl.stats.scales import Scale, constant_ends, t_ends

CONFIDENCE = 0.95
_ROUNDING = 1e-12  # of the size of a metric: a spread below it is none
_BLOCK_NUMBERS = 300_000  # weights at a time: 2.4 MB stay in the cache, whatever the number of records and resamples


@dataclass(frozen=True)
class Interval:
    """A mean and its two-sided interval.

    Args:
        mean: mean of the values.
        low: lower end; NaN where there is no interval. Both ends are the mean where `mean_interval` found all repeats
            equal: the fit is deterministic.
        high: upper end.
        n: number of values behind the mean.
        p: two-sided p-value of a mean of 0, below 0.05 exactly where the 95% interval excludes 0; NaN where there is no
            interval or no spread, or 0 is no value between the bounds.
    """

    mean: float
    low: float
    high: float
    n: int
    p: float = math.nan


Bounds: TypeAlias = tuple[float, float]
UNBOUNDED: Bounds = (-math.inf, math.inf)


def mean_interval(values: ArrayLike, confidence: float = CONFIDENCE, bounds: Bounds = UNBOUNDED) -> Interval:
    """Mean over repeats with its Student t interval.

    The repeats share the test set, so this says how much the draw of the labelled subset and the initialisation
    matter, not how much the patients tested do: that is `crossed_interval`.

    Args:
        values: (repeats,), one metric of every repeat.
        confidence: probability that the interval covers the mean.
        bounds: lowest and highest value of the metric, which the interval does not leave: it is symmetric on the scale
            of the logit where both are finite, of the logarithm where one is, and of the values where none is.

    Returns:
        The interval; its ends are NaN for a single repeat, and all of it is NaN when a repeat is. Repeats that are all
        equal give low = high = mean.

    Raises:
        MedclError: there is no value.
    """
    repeats = np.asarray(values, dtype=np.float64).ravel()
    if not len(repeats):
        raise MedclError("no repeats to average")
    mean, count = float(repeats.mean()), len(repeats)
    if count == 1 or math.isnan(mean):
        return Interval(mean, math.nan, math.nan, count)
    if np.ptp(repeats) == 0:
        mean = float(repeats[0])  # the mean of equal numbers may differ from them by rounding
        return Interval(mean, mean, mean, count)
    low, high, p = t_ends(mean, math.sqrt(repeats.var(ddof=1) / count), count - 1, Scale(*bounds), confidence)
    return Interval(mean, low, high, count, p)


def crossed_interval(
    values: ArrayLike, boot: ArrayLike, bounds: Bounds, n_patients: int, confidence: float = CONFIDENCE
) -> Interval:
    """Mean over repeats of a metric with its interval over test patients crossed with repeats: the main interval.

    Patients and repeats both vary: the variance of the mean is that of the bootstrap over patients, times n / (n - 1)
    because a resample of n patients varies too little by that, and that of the repeats divided by their number. The
    interval is Student's t with the degrees of freedom of Satterthwaite (1946), of n - 1 and repeats - 1, on the scale
    of `mean_interval`. docs/statistics.md gives its measured coverage and that of its rivals.

    Without any spread, or where the mean is at a bound, such as an accuracy of 1, there is no standard error to take.
    What all of n patients show, a share of at least (0.05 / 2)^(1 / n) of the population shows with confidence (Clopper
    and Pearson 1934; 3.7 / n are missing at most), and the rest lies within the bounds: this gives the interval, of an
    accuracy of 1 [0.025^(1 / n), 1], of 20 patients [0.83, 1]. A metric without a bound on that side has none.

    Args:
        values: (repeats,) the metric of every repeat on all test patients; one is enough.
        boot: (resamples,) the mean over repeats of the metric in resamples of the patients, from `bootstrap_metrics`;
            NaN, a resample in which it is undefined, is left out.
        bounds: lowest and highest value of the metric, from `medcl.stats.metrics.BOUNDS`.
        n_patients: number of test patients.
        confidence: probability that the interval covers the mean over all patients and repeats.

    Returns:
        The interval, never outside the bounds; `n` is the number of repeats. The ends are NaN for fewer than two
        patients, two resamples in which the metric is defined, or where a value is NaN.

    Raises:
        MedclError: there is no value.
    """
    repeats, resamples = np.asarray(values, dtype=np.float64).ravel(), np.asarray(boot, dtype=np.float64).ravel()
    if not len(repeats):
        raise MedclError("no repeats to average")
    mean, count = float(repeats.mean()), len(repeats)
    resamples = resamples[~np.isnan(resamples)]
    if n_patients < 2 or len(resamples) < 2 or math.isnan(mean):
        return Interval(mean, math.nan, math.nan, count)
    scale = Scale(*bounds)
    size = scale.width if math.isfinite(scale.width) else float(np.abs(resamples).max())
    over_patients = float(resamples.var(ddof=1)) * n_patients / (n_patients - 1)
    over_repeats = float(repeats.var(ddof=1)) / count if count > 1 else 0.0
    total = over_patients + over_repeats
    if min(mean - scale.low, scale.high - mean, math.sqrt(total)) <= _ROUNDING * size:
        low, high, p = constant_ends(min(max(mean, scale.low), scale.high), n_patients, scale, confidence)
    else:
        freedom = total**2 / (over_patients**2 / (n_patients - 1) + over_repeats**2 / max(count - 1, 1))
        low, high, p = t_ends(mean, math.sqrt(total), freedom, scale, confidence)
    return Interval(mean, low, high, count, p)


def paired_interval(
    values: ArrayLike, baseline: ArrayLike, confidence: float = CONFIDENCE, bounds: Bounds = UNBOUNDED
) -> Interval:
    """Mean of values - baseline, (repeats,) each, with its t interval; repeat i of both used the same subset and seed.

    A single value, that of a deterministic fit, is paired with every repeat of the other. `bounds` are those of the
    metric.

    Raises:
        MedclError: the lists differ in length, so they cannot be pairs.
    """
    return mean_interval(_differences(values, baseline), confidence, difference_bounds(bounds))


def crossed_difference(
    values: ArrayLike,
    baseline: ArrayLike,
    boot: ArrayLike,
    baseline_boot: ArrayLike,
    bounds: Bounds,
    n_patients: int,
    confidence: float = CONFIDENCE,
) -> Interval:
    """Mean of values - baseline with its interval over test patients crossed with repeats, and its p-value.

    Args:
        values: (repeats,), as in `paired_interval`.
        baseline: (repeats,), as in `paired_interval`.
        boot: (resamples,) as in `crossed_interval`, of the values.
        baseline_boot: the same resamples of the baseline.
        bounds: those of the metric; those of the difference follow.
        n_patients: number of test patients.
        confidence: probability that the interval covers the mean difference.

    Raises:
        MedclError: the lists differ in length, so they cannot be pairs.
    """
    apart = np.asarray(boot, dtype=np.float64) - np.asarray(baseline_boot, dtype=np.float64)
    return crossed_interval(_differences(values, baseline), apart, difference_bounds(bounds), n_patients, confidence)


def difference_bounds(bounds: Bounds) -> Bounds:
    """Lowest and highest difference of two values of a metric with these bounds."""
    return bounds[0] - bounds[1], bounds[1] - bounds[0]


def holm(p_values: ArrayLike) -> Floats:
    """P-values (tests,) adjusted so that the chance of any false finding keeps the level (Holm 1979).

    NaN, a comparison without a p-value, stays NaN and does not count as a test.
    """
    found = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full(found.shape, np.nan)
    tested = np.flatnonzero(~np.isnan(found))
    order = tested[np.argsort(found[tested], kind="stable")]
    steps = found[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted


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
    of_patient, n_patients = _numbered(patients)
    rng = np.random.default_rng(seed)
    block = max(1, _BLOCK_NUMBERS // len(of_patient))
    for start in range(0, n_boot, block):
        drawn = rng.multinomial(n_patients, np.full(n_patients, 1 / n_patients), size=min(block, n_boot - start))
        yield drawn.T[of_patient].astype(np.float64)


def patient_sums(values: Floats, patients: ArrayLike) -> Floats:
    """Sums of values (records, K) over the records of each patient, (patients, K).

    Under `patient_weights(range(patients))` they are resampled as the records are under `patient_weights(patients)`.
    """
    of_patient, n_patients = _numbered(patients)
    sums = np.zeros((n_patients, values.shape[1]))
    np.add.at(sums, of_patient, values)
    return sums


def _numbered(patients: ArrayLike) -> tuple[Ints, int]:
    """(records,) numbers of patients in the order in which they first appear, whatever their codes, and how many."""
    import pyarrow as pa

    codes = pa.array(np.asarray(patients)).dictionary_encode()
    return codes.indices.to_numpy(), len(codes.dictionary)


class Measured(Protocol):
    """Predictions of test items beside their labels, such as `Predictions` or `SurvivalPredictions`."""

    @property
    def n_items(self) -> int:
        """Number of test items."""

    def metrics(self, weights: Floats) -> tuple[dict[str, Floats], dict[str, Floats]]:
        """Macro means {metric: (resamples,)}, and by class (classes, resamples), under weights (items, resamples)."""


def bootstrap_metrics(
    repeats: Sequence[Measured],
    patients: ArrayLike,
    shares: ArrayLike | None = None,
    *,
    n_boot: int = 1000,
    seed: int | Sequence[int] = 0,
) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """Distribution of every metric under resampling of the test patients, averaged over repeats.

    In each resample, see `patient_weights`, a metric is computed for every repeat and averaged. Calls with the same
    patients, `n_boot` and `seed` draw the same resamples, so the difference of two results is a paired one. A class
    that a resample does not hold is left out of that resample's macro mean.

    Args:
        repeats: the predictions of every repeat for the same items.
        patients: (items,) id of the patient of each item.
        shares: (repeats,) weight of each in the average; None weighs all alike.
        n_boot: number of resamples.
        seed: seed of the resamples.

    Returns:
        The macro metrics {metric: (n_boot,)}, and those by class {metric: (classes, n_boot)}.
    """
    share = np.full(len(repeats), 1 / len(repeats)) if shares is None else np.asarray(shares, dtype=np.float64)
    drawn = patient_weights(patients, n_boot=n_boot, seed=seed)
    blocks = [[one.metrics(weights) for one in repeats] for weights in drawn]

    def joined(kind: int) -> dict[str, Floats]:
        names = blocks[0][0][kind]
        parts = {name: [_averaged(share, [one[kind][name] for one in block]) for block in blocks] for name in names}
        return {name: np.concatenate(own, axis=-1) for name, own in parts.items()}

    return joined(0), joined(1)


def _averaged(share: Floats, values: Sequence[Floats]) -> Floats:
    """Mean of arrays (..., resamples) weighed by shares, row by row."""
    if values[0].ndim == 1:
        return np.asarray(share @ np.stack(values))
    return np.array([share @ np.stack(rows) for rows in zip(*values, strict=True)])


def _differences(values: ArrayLike, baseline: ArrayLike) -> Floats:
    first, second = np.asarray(values, dtype=np.float64), np.asarray(baseline, dtype=np.float64)
    if first.shape != second.shape and 1 not in (first.size, second.size):
        raise MedclError(f"{first.size} values and {second.size} baseline values are not pairs")
    return first - second
