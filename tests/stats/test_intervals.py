"""Intervals cover what they promise; the bootstrap resamples patients, and pairs what it compares."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import average_precision_score, roc_auc_score

from medcl.errors import MedclError
from medcl.stats import intervals as statistics
from medcl.stats.intervals import (
    calibration,
    mean_interval,
    paired_interval,
    patient_bootstrap,
    percentile_interval,
    value_calibration,
    weighted_median,
)


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


def test_bootstrap_equals_writing_out_the_drawn_patients(monkeypatch: pytest.MonkeyPatch) -> None:
    patients, truth, predictions = cohort(2)
    monkeypatch.setattr(statistics, "_BLOCK_NUMBERS", 7 * len(patients))  # several blocks, the last one shorter
    boot = patient_bootstrap("multilabel", truth, predictions, patients, n_boot=24, seed=5)
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
    boot = patient_bootstrap("multilabel", truth, predictions, patients, n_boot=50, seed=0)
    recoded = patient_bootstrap("multilabel", truth, predictions, patients // 3 * 2 + 1, n_boot=50, seed=0)
    np.testing.assert_array_equal(boot["auroc"], recoded["auroc"])
    # All records of one patient: every resample is the test set itself.
    alone = patient_bootstrap("multilabel", truth, predictions, np.zeros(len(truth)), n_boot=50, seed=0)
    assert np.ptp(alone["auroc"]) == 0


def test_records_of_few_patients_widen_the_interval() -> None:
    rng = np.random.default_rng(4)
    patient_truth, patient_score = rng.random(30) < 0.5, rng.random(30)
    truth, score = np.repeat(patient_truth, 10), np.repeat(patient_score, 10)[None]
    by_patient = percentile_interval(patient_bootstrap("binary", truth, score, np.repeat(np.arange(30), 10))["auroc"])
    by_record = percentile_interval(patient_bootstrap("binary", truth, score, np.arange(300))["auroc"])
    assert by_patient.high - by_patient.low > 2 * (by_record.high - by_record.low)


def test_same_seed_pairs_two_methods() -> None:
    patients, truth, predictions = cohort(6)
    boot = patient_bootstrap("multilabel", truth, predictions, patients, n_boot=200)
    monotone = patient_bootstrap("multilabel", truth, predictions**3, patients, n_boot=200)
    interval = percentile_interval(boot["auroc"] - monotone["auroc"])
    assert (interval.low, interval.high) == pytest.approx((0, 0), abs=1e-12)


def test_bootstrap_refuses_predictions_for_other_records() -> None:
    patients, truth, predictions = cohort(7)
    with pytest.raises(MedclError, match="expected \\(repeats, records"):
        patient_bootstrap("multilabel", truth, predictions[:, 1:], patients)


def test_percentile_interval_leaves_undefined_resamples_out() -> None:
    interval = percentile_interval(np.append(np.linspace(0, 1, 101), np.nan))
    assert (interval.low, interval.high, interval.n) == (pytest.approx(0.025), pytest.approx(0.975), 101)
    assert percentile_interval([np.nan]).n == 0


def test_the_median_under_weights_is_that_of_repeated_records() -> None:
    values, weights = np.array([4.0, 1, 7, 3]), np.array([[1.0, 2], [1, 0], [1, 1], [1, 1]])
    expected = [np.median(np.repeat(values, column.astype(int))) for column in weights.T]
    np.testing.assert_allclose(weighted_median(values, weights), expected)


def test_bins_hold_what_lies_between_quantiles() -> None:
    rng = np.random.default_rng(8)
    probability = rng.beta(0.4, 1.5, 500)
    truth = rng.random(500) < probability
    curve = calibration(truth, probability)
    edges = np.quantile(probability, np.linspace(0, 1, 11))
    edges[0] = -1
    inside = (probability[:, None] > edges[:-1]) & (probability[:, None] <= edges[1:])
    np.testing.assert_array_equal(curve.count, inside.sum(0))
    np.testing.assert_allclose(curve.predicted, [probability[one].mean() for one in inside.T])
    np.testing.assert_allclose(curve.observed, [truth[one].mean() for one in inside.T])


def test_calibration_of_few_distinct_probabilities_has_as_many_bins() -> None:
    curve = calibration([0, 1, 1, 0, 1, 1], [0.2, 0.2, 0.8, 0.2, 0.8, 0.8])
    np.testing.assert_allclose(curve.predicted, [0.2, 0.8])
    np.testing.assert_allclose(curve.observed, [1 / 3, 1.0])
    with pytest.raises(MedclError, match="outside \\[0, 1\\]"):
        calibration([0, 1], [-3.0, 2.0])


def test_values_lie_in_equally_filled_bins() -> None:
    curve = value_calibration([1.0, 2.0, 3.0, 4.0, 5.0], [10.0, 40.0, 20.0, 30.0, 50.0], bins=2)
    np.testing.assert_allclose(curve.predicted, [20, 45])
    np.testing.assert_allclose(curve.observed, [8 / 3, 3.5])
    np.testing.assert_array_equal(curve.count, [3, 2])
    assert len(value_calibration([1.0, 2.0], [1.0, 2.0]).count) == 2
