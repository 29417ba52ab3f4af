"""Calibration curves hold what lies in their bins, with intervals over patients; temperatures undo certainty."""

import numpy as np
import pytest
from scipy import special
from sklearn import metrics as sk

from medcl.errors import MedclError
from medcl.stats.calibration import (
    calibration_intervals,
    fit_temperature,
    tempered,
    to_logits,
)
from medcl.stats.decisions import confusion_intervals
from medcl.stats.metrics import Predictions


def test_bins_hold_what_lies_between_quantiles() -> None:
    rng = np.random.default_rng(8)
    probability = rng.beta(0.4, 1.5, 500)
    truth = rng.random(500) < probability
    curve = calibration_intervals(truth, probability[None], np.arange(500), n_boot=50)
    edges = np.quantile(probability, np.linspace(0, 1, 11))
    edges[0] = -1
    inside = (probability[:, None] > edges[:-1]) & (probability[:, None] <= edges[1:])
    np.testing.assert_array_equal(curve.count, inside.sum(0))
    np.testing.assert_allclose(curve.predicted, [probability[one].mean() for one in inside.T])
    np.testing.assert_allclose(curve.observed, [truth[one].mean() for one in inside.T])


def test_calibration_of_few_distinct_probabilities_has_as_many_bins() -> None:
    probability = np.array([[0.2, 0.2, 0.8, 0.2, 0.8, 0.8]])
    curve = calibration_intervals([0, 1, 1, 0, 1, 1], probability, np.arange(6), n_boot=50)
    np.testing.assert_allclose(curve.predicted, [0.2, 0.8])
    np.testing.assert_allclose(curve.observed, [1 / 3, 1.0])
    with pytest.raises(MedclError, match="outside"):
        calibration_intervals([0, 1], np.array([[-3.0, 2.0]]), np.arange(2))


def test_values_lie_in_equally_filled_bins() -> None:
    predicted = np.array([[10.0, 40.0, 20.0, 30.0, 50.0]])
    curve = calibration_intervals(np.arange(1.0, 6.0), predicted, np.arange(5), (-np.inf, np.inf), bins=2, n_boot=50)
    np.testing.assert_allclose(curve.predicted, [20, 45])
    np.testing.assert_allclose(curve.observed, [8 / 3, 3.5])
    np.testing.assert_array_equal(curve.count, [3, 2])


def patients_with_records(seed: int, n: int = 60) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ids of patients, truth, and probabilities of three repeats that are too certain."""
    rng = np.random.default_rng(seed)
    ids = np.repeat(np.arange(n), rng.integers(1, 5, n))
    latent = rng.normal(0, 1.5, n)[ids] + rng.standard_normal(len(ids))
    truth = rng.random(len(ids)) < special.expit(latent)
    return ids, truth, special.expit(2 * latent + 0.3 * rng.standard_normal((3, len(ids))))


def test_intervals_lie_around_the_curve_and_within_its_bounds() -> None:
    ids, truth, probability = patients_with_records(0)
    found = calibration_intervals(truth, probability[:1], ids)
    assert ((found.low <= found.observed) & (found.observed <= found.high)).all()
    assert ((found.low >= 0) & (found.high <= 1)).all()


def test_repeats_are_not_counted_as_patients() -> None:
    ids, truth, probability = patients_with_records(1)
    one = calibration_intervals(truth, probability[:1], ids, bins=4)
    five = calibration_intervals(truth, probability[[0] * 5], ids, bins=4)
    np.testing.assert_allclose(five.low, one.low)
    np.testing.assert_allclose(five.high, one.high)
    copied = calibration_intervals(np.tile(truth, 5), np.tile(probability[:1], 5), np.arange(5 * len(ids)), bins=4)
    assert (five.high - five.low > 1.5 * (copied.high - copied.low)).all()


def test_calibration_intervals_cover_what_more_patients_show() -> None:
    _, many, probability = patients_with_records(99, 200_000)
    truth = calibration_intervals(many, probability[:1], np.arange(len(many)), bins=4, n_boot=2)
    covered = []
    for seed in range(60):
        ids, labels, p = patients_with_records(seed)
        found = calibration_intervals(labels, p[:1], ids, bins=4, n_boot=200, seed=seed)
        expected = np.interp(found.predicted, truth.predicted, truth.observed)
        covered.append((found.low <= expected) & (expected <= found.high))
    assert np.mean(covered) == pytest.approx(0.95, abs=0.05)


def test_values_have_a_curve_with_intervals() -> None:
    rng = np.random.default_rng(0)
    true = rng.normal(60, 10, 80)
    guess = true + rng.normal(0, 5, (2, 80))
    found = calibration_intervals(true, guess, np.arange(80), (-np.inf, np.inf), bins=4)
    assert (np.diff(found.observed) > 0).all()
    assert ((found.low < found.observed) & (found.observed < found.high)).all()
    with pytest.raises(MedclError, match="expected \\(repeats, records\\)"):
        calibration_intervals(true, guess[0], np.arange(80))
    with pytest.raises(MedclError, match="outside"):
        calibration_intervals(true > 60, guess, np.arange(80))


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel", "ordinal"])
def test_temperature_is_the_one_that_spoiled_the_logits(kind: str) -> None:
    rng = np.random.default_rng(2)
    outputs = 1 if kind == "binary" else 3
    logits = 1.5 * rng.standard_normal((20_000, outputs))
    if kind in ("multiclass", "ordinal"):
        truth = (logits + rng.gumbel(size=logits.shape)).argmax(1)
    else:
        truth = (rng.random(logits.shape) < special.expit(logits)).astype(int)
        truth = truth[:, 0] if kind == "binary" else truth
    probabilities = tempered(kind, logits, 1 / 3)  # three times too certain
    again = to_logits(kind, probabilities)
    temperature = fit_temperature(kind, truth, again)
    assert temperature == pytest.approx(3, rel=0.05)
    before, after = (
        Predictions.of(kind, truth, one).metrics(np.ones((20_000, 1)))[0]
        for one in (probabilities, tempered(kind, again, temperature))
    )
    for metric in ("ece", "brier") if kind != "ordinal" else ():
        assert after[metric][0] < before[metric][0]
    if kind == "multiclass":
        losses = [sk.log_loss(truth, tempered(kind, again, factor * temperature)) for factor in (0.99, 1, 1.01)]
        assert losses[1] == min(losses)


def test_a_model_without_an_error_gets_the_lowest_temperature() -> None:
    assert fit_temperature("binary", [0, 1], [-1.0, 1.0]) == pytest.approx(0.05)
    assert fit_temperature("binary", [1, 0], [-1.0, 1.0]) == pytest.approx(20)
    with pytest.raises(MedclError, match="regression"):
        fit_temperature("regression", [0.0], [0.0])
    with pytest.raises(MedclError, match="same records"):
        fit_temperature("binary", [0, 1], [0.0])


def test_without_resamples_there_are_curves_and_counts_without_intervals() -> None:
    rng = np.random.default_rng(0)
    truth, predicted, patients = rng.integers(0, 2, 40), rng.random((2, 40)), np.arange(40) // 2
    curve = calibration_intervals(truth, predicted, patients, n_boot=0)
    assert np.isfinite(curve.observed).all()
    assert np.isnan(curve.low).all()
    table = confusion_intervals("binary", truth, predicted, patients, n_boot=0)
    assert table.count.sum() == pytest.approx(40)
    assert np.isnan(table.high).all()
