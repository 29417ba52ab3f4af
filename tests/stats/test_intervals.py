"""Intervals cover what they promise; the bootstrap resamples patients, and pairs what it compares."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats
from sklearn.metrics import average_precision_score, roc_auc_score

from medcl.errors import MedclError
from medcl.stats import intervals as statistics
from medcl.stats.intervals import (
    bootstrap_metrics,
    crossed_difference,
    crossed_interval,
    holm,
    mean_interval,
    paired_interval,
    patient_sums,
    patient_weights,
    percentile_interval,
)
from medcl.stats.metrics import Kind, Predictions
from tests.stats.coverage import simulate


def test_mean_interval_equals_the_t_interval() -> None:
    values = np.array([0.61, 0.64, 0.58, 0.70, 0.66])
    low, high = stats.t.interval(0.95, 4, loc=values.mean(), scale=stats.sem(values))
    interval = mean_interval(values)
    assert (interval.mean, interval.low, interval.high) == pytest.approx((values.mean(), low, high))
    assert interval.n == 5


def test_mean_interval_covers_the_mean_as_often_as_promised() -> None:
    draws = np.random.default_rng(0).normal(0.7, 0.05, (4000, 5))
    intervals = [mean_interval(repeats) for repeats in draws]
    covered = np.mean([interval.low <= 0.7 <= interval.high for interval in intervals])
    assert covered == pytest.approx(0.95, abs=4 * np.sqrt(0.95 * 0.05 / 4000))


def test_a_single_repeat_has_no_interval() -> None:
    interval = mean_interval([0.7])
    assert interval.mean == 0.7
    assert np.isnan([interval.low, interval.high]).all()
    with pytest.raises(MedclError, match="no repeats"):
        mean_interval([])


def test_pairing_removes_what_both_share() -> None:
    rng = np.random.default_rng(1)
    subset = rng.normal(0, 0.1, 20)  # a lucky or unlucky labelled subset, which both methods were given
    better, baseline = 0.70 + subset + rng.normal(0, 0.01, 20), 0.65 + subset + rng.normal(0, 0.01, 20)
    paired = paired_interval(better, baseline)
    assert paired.low > 0
    assert mean_interval(better).low < mean_interval(baseline).high
    with pytest.raises(MedclError, match="not pairs"):
        paired_interval([1, 2, 3], [1, 2])


def cohort(seed: int, n_patients: int = 40) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Patient ids in random order, multilabel truth and probabilities of three repeats."""
    rng = np.random.default_rng(seed)
    patients = rng.permutation(np.repeat(rng.integers(0, 2**62, n_patients), rng.integers(1, 5, n_patients)))
    truth = (rng.random((len(patients), 2)) < 0.4).astype(np.float32)
    return patients, truth, np.round(rng.random((3, len(patients), 2)), 1)


def bootstrapped(
    kind: Kind, truth: np.ndarray, predictions: np.ndarray, patients: np.ndarray, **how: int
) -> dict[str, np.ndarray]:
    """The macro metrics in resamples of the patients."""
    return bootstrap_metrics([Predictions.of(kind, truth, one) for one in predictions], patients, **how)[0]


def test_bootstrap_equals_writing_out_the_drawn_patients(monkeypatch: pytest.MonkeyPatch) -> None:
    patients, truth, predictions = cohort(2)
    monkeypatch.setattr(statistics, "_BLOCK_NUMBERS", 7 * len(patients))  # several blocks, the last one shorter
    boot = bootstrapped("multilabel", truth, predictions, patients, n_boot=24, seed=5)
    _, first = np.unique(patients, return_index=True)
    in_order = patients[np.sort(first)]
    drawn = np.random.default_rng(5).multinomial(40, np.full(40, 1 / 40), size=24)
    for b in range(24):
        rows = np.concatenate(
            [np.tile(np.flatnonzero(patients == p), c) for p, c in zip(in_order, drawn[b], strict=True)]
        )
        auroc = np.mean([roc_auc_score(truth[rows], one[rows], average="macro") for one in predictions])
        auprc = np.mean([average_precision_score(truth[rows], one[rows], average="macro") for one in predictions])
        assert boot["auroc"][b] == pytest.approx(auroc, abs=1e-12)
        assert boot["auprc"][b] == pytest.approx(auprc, abs=1e-12)


def test_bootstrap_depends_on_who_shares_a_patient_and_not_on_codes() -> None:
    patients, truth, predictions = cohort(3)
    boot = bootstrapped("multilabel", truth, predictions, patients, n_boot=50, seed=0)
    recoded = bootstrapped("multilabel", truth, predictions, patients // 3 * 2 + 1, n_boot=50, seed=0)
    np.testing.assert_array_equal(boot["auroc"], recoded["auroc"])
    # All records of one patient: every resample is the test set itself.
    alone = bootstrapped("multilabel", truth, predictions, np.zeros(len(truth)), n_boot=50, seed=0)
    assert np.ptp(alone["auroc"]) == 0


def test_sums_of_patients_are_resampled_as_their_records_are() -> None:
    patients, truth, _ = cohort(4)
    of_records = np.concatenate(list(patient_weights(patients, n_boot=30, seed=2)), axis=1)
    sums = patient_sums(truth, patients)
    of_patients = np.concatenate(list(patient_weights(np.arange(len(sums)), n_boot=30, seed=2)), axis=1)
    np.testing.assert_allclose(sums.T @ of_patients, truth.T @ of_records)


def test_records_of_few_patients_widen_the_interval() -> None:
    rng = np.random.default_rng(4)
    patient_truth, patient_score = rng.random(30) < 0.5, rng.random(30)
    truth, score = np.repeat(patient_truth, 10), np.repeat(patient_score, 10)[None]
    by_patient = percentile_interval(bootstrapped("binary", truth, score, np.repeat(np.arange(30), 10))["auroc"])
    by_record = percentile_interval(bootstrapped("binary", truth, score, np.arange(300))["auroc"])
    assert by_patient.high - by_patient.low > 2 * (by_record.high - by_record.low)


def test_same_seed_pairs_two_methods() -> None:
    patients, truth, predictions = cohort(6)
    boot = bootstrapped("multilabel", truth, predictions, patients, n_boot=200)
    monotone = bootstrapped("multilabel", truth, predictions**3, patients, n_boot=200)
    interval = percentile_interval(boot["auroc"] - monotone["auroc"])
    assert (interval.low, interval.high) == pytest.approx((0, 0), abs=1e-12)


def test_percentile_interval_leaves_undefined_resamples_out() -> None:
    interval = percentile_interval(np.append(np.linspace(0, 1, 101), np.nan))
    assert (interval.low, interval.high, interval.n) == (pytest.approx(0.025), pytest.approx(0.975), 101)
    assert percentile_interval([np.nan]).n == 0


@pytest.mark.parametrize(("metric", "n"), [("Dice", 20), ("accuracy", 57), ("AUROC", 20), ("AUROC difference", 20)])
@pytest.mark.parametrize("repeats", [1, 5])
def test_main_interval_covers_the_truth_as_often_as_promised(metric: str, n: int, repeats: int) -> None:
    (covered, _), *_ = simulate(metric, n, repeats, 300, resamples=200, compared=False).values()
    assert covered == pytest.approx(0.95, abs=0.02 + 3 * np.sqrt(0.95 * 0.05 / 300))


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    bounds=st.sampled_from([(0.0, 1.0), (-1.0, 1.0), (-math.inf, 1.0), (0.0, math.inf), (-math.inf, math.inf)]),
    n=st.integers(2, 60),
    repeats=st.integers(1, 6),
    spread=st.sampled_from([0.0, 1e-3, 0.2, 3.0]),
)
def test_intervals_keep_the_bounds_and_agree_with_their_p_value(
    seed: int, bounds: tuple[float, float], n: int, repeats: int, spread: float
) -> None:
    rng = np.random.default_rng(seed)
    values = np.clip(rng.choice([0.0, 0.02, 0.98, 1.0]) + spread * rng.standard_normal(repeats), *bounds)
    boot = np.clip(values.mean() + spread * rng.standard_normal(100), *bounds)
    for interval in (crossed_interval(values, boot, bounds, n), mean_interval(values, bounds=bounds)):
        if np.isnan([interval.low, interval.high]).any():
            continue
        assert bounds[0] <= interval.low <= interval.mean + 1e-12
        assert interval.mean - 1e-12 <= interval.high <= bounds[1]
        if not np.isnan(interval.p) and abs(interval.p - 0.05) > 1e-9:
            assert (interval.p < 0.05) == (interval.low > 0 or interval.high < 0)


def test_main_interval_is_the_t_interval_of_patients_and_repeats_on_the_logit() -> None:
    rng = np.random.default_rng(0)
    values, boot, n = np.array([0.8, 0.84, 0.79]), 0.81 + 0.03 * rng.standard_normal(500), 12
    parts = boot.var(ddof=1) * n / (n - 1), values.var(ddof=1) / 3
    freedom = sum(parts) ** 2 / (parts[0] ** 2 / (n - 1) + parts[1] ** 2 / 2)
    mean = values.mean()
    deviation = np.sqrt(sum(parts)) / (mean * (1 - mean))
    ends = special.expit(stats.t.interval(0.95, freedom, special.logit(mean), deviation))
    found = crossed_interval(values, boot, (0, 1), n)
    assert (found.low, found.high) == pytest.approx(tuple(ends), abs=1e-12)
    alone = crossed_interval(values[:1], boot, (0, 1), n)  # one repeat: over patients alone
    assert 0 < alone.high - alone.low < found.high - found.low
    equal = crossed_interval(values[[0, 0, 0]], boot, (0, 1), n)
    assert equal.high - equal.low < found.high - found.low


def test_what_all_patients_show_has_the_interval_of_clopper_and_pearson() -> None:
    exact = stats.binomtest(20, 20).proportion_ci(0.95, method="exact")
    found = crossed_interval([1.0], np.ones(50), (0, 1), 20)
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high))
    none = crossed_interval([0.0, 0.0], np.zeros(50), (-1, 1), 20)
    assert none.low < 0 < none.high
    assert none.p == 1
    clear = crossed_interval([1.0], np.ones(50), (-1, 1), 20)
    assert clear.low > 0
    assert clear.p == pytest.approx(2 * 0.5**20)
    assert np.isnan(crossed_interval([3.0], np.full(50, 3.0), (0, math.inf), 20).high)
    assert np.isnan(crossed_interval([0.7], np.full(50, 0.7), (0, 1), 1).low)


def test_repeats_that_are_all_equal_are_deterministic() -> None:
    found = mean_interval([0.7, 0.7, 0.7])
    assert found.low == found.mean == found.high == 0.7


def test_differences_pair_resamples_and_a_deterministic_fit_with_every_repeat() -> None:
    rng = np.random.default_rng(1)
    shared = 0.1 * rng.standard_normal(400)  # easy and difficult patients, which both arms were tested on
    boots = 0.8 + shared + 0.01 * rng.standard_normal(400), 0.75 + shared + 0.01 * rng.standard_normal(400)
    values = np.array([0.8, 0.81, 0.79])
    found = crossed_difference(values, [0.75], *boots, (0, 1), 30)
    assert found.low > 0
    assert found.p < 0.05
    assert found.mean == pytest.approx(0.05)
    assert crossed_interval(values, boots[0], (0, 1), 30).low < 0.75
    assert crossed_difference([0.75], values, *boots[::-1], (0, 1), 30).p == pytest.approx(found.p)
    with pytest.raises(MedclError, match="not pairs"):
        crossed_difference([1, 2, 3], [1, 2], *boots, (0, 1), 30)


def test_holm_adjusts_the_smallest_most() -> None:
    np.testing.assert_allclose(holm([0.01, 0.04, np.nan, 0.03, 0.5]), [0.04, 0.09, np.nan, 0.09, 0.5])
    assert not len(holm([]))
