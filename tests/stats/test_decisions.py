"""Thresholds reach what they promise; confusion counts have intervals over patients."""

import numpy as np
import pytest

from medcl.errors import MedclError
from medcl.stats.decisions import confusion_intervals, specificity_threshold, youden_threshold
from medcl.stats.metrics import confusion


def rates(truth: np.ndarray, score: np.ndarray, threshold: float) -> tuple[float, float]:
    called = score >= threshold
    return called[truth].mean(), (~called[~truth]).mean()


@pytest.mark.parametrize("seed", range(5))
def test_thresholds_are_the_best_of_all(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.random(80) < 0.4
    score = np.round(truth + rng.standard_normal(80), 1)
    every = {t: rates(truth, score, t) for t in [*score, np.inf]}
    assert sum(every[youden_threshold(truth, score)]) == pytest.approx(max(sum(one) for one in every.values()))
    chosen = every[specificity_threshold(truth, score, 0.8)]
    assert chosen[1] >= 0.8
    assert chosen[0] == max(sensitivity for sensitivity, specificity in every.values() if specificity >= 0.8)


def test_a_threshold_needs_both_classes() -> None:
    assert specificity_threshold([1, 0], [0.1, 0.9]) == np.inf
    with pytest.raises(MedclError, match="0 of 2 validation records are positive"):
        youden_threshold([0, 0], [0.1, 0.2])


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel", "ordinal"])
def test_counts_are_the_mean_confusion_and_lie_in_their_intervals(kind: str) -> None:
    rng = np.random.default_rng(3)
    ids = np.repeat(np.arange(50), 3)
    classes = 2 if kind == "binary" else 3
    truth = rng.integers(0, 2, (150, 3)) if kind == "multilabel" else rng.integers(0, classes, 150)
    probability = rng.random((4, 150, classes))
    found = confusion_intervals(kind, truth, probability, ids, n_boot=200)
    np.testing.assert_allclose(found.count, np.mean([confusion(kind, truth, one) for one in probability], axis=0))
    assert (found.low < found.count).all()
    assert (found.count < found.high).all()
    total = found.count.sum(-1, keepdims=True)
    assert ((found.low >= 0) & (found.high <= total)).all()


def test_repeats_of_a_prediction_are_not_more_patients() -> None:
    rng = np.random.default_rng(4)
    truth, probability, ids = rng.integers(0, 2, 60), rng.random((1, 60)), np.arange(60) // 2
    once = confusion_intervals("binary", truth, probability, ids)
    often = confusion_intervals("binary", truth, probability[[0] * 6], ids)
    np.testing.assert_allclose(often.low, once.low)
    np.testing.assert_allclose(often.high, once.high)


def test_a_class_that_nobody_has_counts_zero_without_an_interval() -> None:
    truth, probability = np.array([0, 1, 0, 1]), np.eye(3)[[0, 1, 1, 2]][None]
    found = confusion_intervals("multiclass", truth, probability, np.arange(4), n_boot=50)
    np.testing.assert_array_equal(found.count[2], 0)
    assert np.isnan(found.low[2]).all()
    with pytest.raises(MedclError, match="confusion"):
        confusion_intervals("regression", truth, probability, np.arange(4))
