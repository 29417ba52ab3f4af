"""Weighted metrics equal scikit-learn on the rows written out as often as their weight says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve

from medcl.errors import MedclError
from medcl.stats import metrics
from medcl.stats.metrics import Predictions, confusion, measure
from medcl.stats.ranking import Ranks
from medcl.wording import METRICS


def draw(seed: int, n: int = 120, levels: int = 12) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth, heavily tied scores that carry some signal, and integer weights with zeros among them."""
    rng = np.random.default_rng(seed)
    truth = rng.random(n) < 0.3
    truth[:2] = True, False
    score = np.round((rng.random(n) + 0.3 * truth) * levels) / levels
    weights = rng.integers(0, 4, (n, 7))
    weights[:2] = 1
    return truth, score, weights


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), levels=st.sampled_from([1, 3, 12, 10**6]))
def test_ranking_equals_scikit_learn_on_repeated_rows(seed: int, levels: int) -> None:
    truth, score, weights = draw(seed, levels=levels)
    ranks = Ranks.of(truth, score)
    auroc, auprc = ranks.auroc(weights.astype(float)), ranks.auprc(weights.astype(float))
    assert ranks.auroc()[0] == pytest.approx(sk.roc_auc_score(truth, score))
    for b in range(weights.shape[1]):
        t, s = np.repeat(truth, weights[:, b]), np.repeat(score, weights[:, b])
        assert auroc[b] == pytest.approx(sk.roc_auc_score(t, s), abs=1e-12)
        assert auprc[b] == pytest.approx(sk.average_precision_score(t, s), abs=1e-12)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_every_kind_equals_scikit_learn_on_repeated_rows(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, k = 150, 4
    weights = rng.integers(0, 3, (n, 3))
    weights[: 2 * k] = 1
    multilabel = (rng.random((n, k)) < 0.4).astype(np.float32)
    multilabel[:k], multilabel[k : 2 * k] = np.eye(k), 1 - np.eye(k)
    multiclass = rng.integers(0, k, n)
    multiclass[:k] = np.arange(k)
    probability = np.round(rng.dirichlet(np.ones(k), n), 2)
    value = rng.normal(60, 15, n)
    guess = value + rng.normal(0, 10, n)
    ml, _ = Predictions.of("multilabel", multilabel, probability).metrics(weights.astype(float))
    mc, _ = Predictions.of("multiclass", multiclass, probability).metrics(weights.astype(float))
    bi, _ = Predictions.of("binary", multiclass % 2, probability[:, :2]).metrics(weights.astype(float))
    re, _ = Predictions.of("regression", value, guess).metrics(weights.astype(float))
    for b in range(3):
        rows = np.repeat(np.arange(n), weights[:, b])
        y, p = multilabel[rows], probability[rows]
        assert ml["auroc"][b] == pytest.approx(sk.roc_auc_score(y, p, average="macro"), abs=1e-12)
        assert ml["auprc"][b] == pytest.approx(sk.average_precision_score(y, p, average="macro"), abs=1e-12)
        assert ml["f1"][b] == pytest.approx(sk.f1_score(y, p >= 0.5, average="macro", zero_division=0), abs=1e-12)
        assert ml["accuracy"][b] == pytest.approx(sk.accuracy_score(y, p >= 0.5), abs=1e-12)
        y = multiclass[rows]
        one_hot = y[:, None] == np.arange(k)
        assert mc["auroc"][b] == pytest.approx(sk.roc_auc_score(one_hot, p, average="macro"), abs=1e-12)
        assert mc["auprc"][b] == pytest.approx(sk.average_precision_score(one_hot, p, average="macro"), abs=1e-12)
        assert mc["f1"][b] == pytest.approx(sk.f1_score(y, p.argmax(1), average="macro"), abs=1e-12)
        assert mc["accuracy"][b] == pytest.approx(sk.accuracy_score(y, p.argmax(1)), abs=1e-12)
        y, p1 = multiclass[rows] % 2, probability[rows, 1]
        assert bi["auroc"][b] == pytest.approx(sk.roc_auc_score(y, p1), abs=1e-12)
        assert bi["auprc"][b] == pytest.approx(sk.average_precision_score(y, p1), abs=1e-12)
        assert bi["f1"][b] == pytest.approx(sk.f1_score(y, p1 >= 0.5, average="macro"), abs=1e-12)
        assert bi["accuracy"][b] == pytest.approx(sk.accuracy_score(y, p1 >= 0.5), abs=1e-12)
        assert re["r2"][b] == pytest.approx(sk.r2_score(value[rows], guess[rows]), abs=1e-12)
        assert re["mae"][b] == pytest.approx(sk.mean_absolute_error(value[rows], guess[rows]), abs=1e-12)


def test_a_class_without_a_positive_is_left_out_and_named() -> None:
    truth = np.array([[1, 0, 0], [0, 0, 1], [1, 0, 0], [0, 0, 1]], dtype=np.float32)
    probability = np.array([[0.9, 0.2, 0.1], [0.4, 0.1, 0.3], [0.8, 0.7, 0.6], [0.1, 0.2, 0.9]])
    scores = measure("multilabel", truth, probability, ("NORM", "MI", "HYP"))
    assert scores.undefined == ("MI",)
    assert np.isnan(scores.per_class["MI"]["auroc"])
    assert np.isnan(scores.per_class["MI"]["f1"])
    assert scores.metrics["auroc"] == pytest.approx((1.0 + 0.75) / 2)


def test_a_binary_target_reports_its_second_class() -> None:
    scores = measure("binary", np.array([0, 1, 1, 0]), np.array([0.1, 0.9, 0.4, 0.6]), ("male", "female"))
    assert list(scores.per_class) == ["female"]
    assert scores.metrics["auroc"] == pytest.approx(0.75)


def test_constant_truth_has_no_r2() -> None:
    scores = measure("regression", np.full(5, 0.1), np.arange(5.0))
    assert np.isnan(scores.metrics["r2"])
    assert scores.metrics["mae"] == pytest.approx(np.abs(np.arange(5.0) - 0.1).mean())


def test_confusion_equals_scikit_learn() -> None:
    rng = np.random.default_rng(3)
    probability = rng.random((80, 3))
    classes, multilabel = rng.integers(0, 3, 80), rng.random((80, 3)) < 0.4
    np.testing.assert_array_equal(
        confusion("multiclass", classes, probability), sk.confusion_matrix(classes, probability.argmax(1))
    )
    np.testing.assert_array_equal(
        confusion("multilabel", multilabel, probability),
        sk.multilabel_confusion_matrix(multilabel, probability >= 0.5),
    )
    np.testing.assert_array_equal(
        confusion("binary", classes % 2, probability[:, 0]),
        sk.confusion_matrix(classes % 2, probability[:, 0] >= 0.5),
    )


@pytest.mark.parametrize(
    ("kind", "truth", "prediction", "words"),
    [
        ("multiclass", [0, -1], [[0.5, 0.5], [0.5, 0.5]], "unlabelled"),
        ("multilabel", [[1, 0], [np.nan, np.nan]], [[0.5, 0.5], [0.5, 0.5]], "unlabelled"),
        ("binary", [0, 1], [0.5, np.nan], "1 of 2 predictions are not finite"),
        ("binary", [0, 1, 1], [0.5, 0.5], "3 labels and 2 predictions"),
        ("multiclass", [0, 2], [[0.5, 0.5], [0.5, 0.5]], "class number 2"),
        ("ordinal", [0, -1], [[0.5, 0.5], [0.5, 0.5]], "unlabelled"),
        ("regression", [], [], "0 labels"),
    ],
)
def test_bad_input_is_refused(kind: str, truth: list, prediction: list, words: str) -> None:
    with pytest.raises(MedclError, match=words):
        measure(kind, np.array(truth), np.array(prediction), ("a", "b"))


def sensitivity(truth: np.ndarray, score: np.ndarray) -> float:
    false, true, _ = sk.roc_curve(truth, score, drop_intermediate=False)
    return float(true[false <= 0.1 + 1e-9].max())


def calibration_error(truth: np.ndarray, probability: np.ndarray) -> float:
    observed, mean = calibration_curve(truth, probability, n_bins=10, strategy="uniform")
    number = np.bincount(np.searchsorted(np.linspace(0, 1, 11)[1:-1], probability), minlength=10)
    return float((np.abs(observed - mean) * number[number > 0]).sum() / len(truth))


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_probabilities_are_judged_as_scikit_learn_judges_repeated_rows(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, k = 150, 4
    weights = np.concatenate([np.ones((n, 1), dtype=int), rng.integers(0, 3, (n, 3))], axis=1)
    weights[: 2 * k] = 1
    multiclass = rng.integers(0, k, n)
    multiclass[:k] = np.arange(k)
    multilabel = (rng.random((n, k)) < 0.4).astype(np.float32)
    multilabel[:k], multilabel[k : 2 * k] = np.eye(k), 1 - np.eye(k)
    probability = np.round(rng.dirichlet(np.ones(k), n), 2)
    found = {
        "multilabel": Predictions.of("multilabel", multilabel, probability),
        "multiclass": Predictions.of("multiclass", multiclass, probability),
        "binary": Predictions.of("binary", multiclass % 2, probability[:, :2]),
    }
    measured = {kind: one.metrics(weights.astype(float))[0] for kind, one in found.items()}
    ml, mc, bi = (measured[kind] for kind in ("multilabel", "multiclass", "binary"))
    for b in range(weights.shape[1]):
        rows = np.repeat(np.arange(n), weights[:, b])
        y, p = multilabel[rows], probability[rows]
        columns = list(zip(y.T, p.T, strict=True))
        assert ml["brier"][b] == pytest.approx(np.mean([sk.brier_score_loss(t, q) for t, q in columns]), abs=1e-12)
        assert ml["ece"][b] == pytest.approx(np.mean([calibration_error(t, q) for t, q in columns]), abs=1e-12)
        balanced = np.mean([sk.balanced_accuracy_score(t, q >= 0.5) for t, q in columns])
        assert ml["balanced_accuracy"][b] == pytest.approx(balanced, abs=1e-12)
        assert ml["sensitivity_at_90_specificity"][b] == pytest.approx(np.mean([sensitivity(*c) for c in columns]))
        y = multiclass[rows]
        assert mc["brier"][b] == pytest.approx(((np.eye(k)[y] - p) ** 2).sum(1).mean(), abs=1e-12)
        assert mc["ece"][b] == pytest.approx(calibration_error(p.argmax(1) == y, p.max(1)), abs=1e-12)
        assert mc["balanced_accuracy"][b] == pytest.approx(sk.balanced_accuracy_score(y, p.argmax(1)), abs=1e-12)
        y, p1 = y % 2, p[:, 1]
        assert bi["brier"][b] == pytest.approx(sk.brier_score_loss(y, p1), abs=1e-12)
        assert bi["ece"][b] == pytest.approx(calibration_error(y, p1), abs=1e-12)
        assert bi["balanced_accuracy"][b] == pytest.approx(sk.balanced_accuracy_score(y, p1 >= 0.5), abs=1e-12)
        assert bi["sensitivity_at_90_specificity"][b] == pytest.approx(sensitivity(y, p1), abs=1e-12)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_grades_and_values_equal_scikit_learn_and_scipy_on_repeated_rows(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, k = 120, 5
    weights = np.concatenate([np.ones((n, 1), dtype=int), rng.integers(0, 3, (n, 3))], axis=1)
    grade = rng.integers(0, k, n)
    probability = rng.dirichlet(np.ones(k), n) + 0.5 * np.eye(k)[np.clip(grade + rng.integers(-1, 2, n), 0, k - 1)]
    value = np.round(rng.normal(60, 15, n))
    guess = np.round(value + rng.normal(0, 10, n))
    of_grades, by_class = Predictions.of("ordinal", grade, probability).metrics(weights.astype(float))
    of_values, _ = Predictions.of("regression", value, guess).metrics(weights.astype(float))
    assert not by_class
    for b in range(weights.shape[1]):
        rows = np.repeat(np.arange(n), weights[:, b])
        y, p = grade[rows], probability[rows].argmax(1)
        kappa = sk.cohen_kappa_score(y, p, labels=np.arange(k), weights="quadratic")
        assert of_grades["kappa"][b] == pytest.approx(kappa, abs=1e-12)
        assert of_grades["mae"][b] == pytest.approx(sk.mean_absolute_error(y, p), abs=1e-12)
        assert of_grades["accuracy"][b] == pytest.approx(sk.accuracy_score(y, p), abs=1e-12)
        y, p = value[rows], guess[rows]
        assert of_values["rmse"][b] == pytest.approx(sk.root_mean_squared_error(y, p), abs=1e-12)
        assert of_values["spearman"][b] == pytest.approx(stats.spearmanr(y, p).statistic, abs=1e-12)


def test_what_does_not_vary_has_neither_kappa_nor_rank_correlation() -> None:
    assert np.isnan(measure("ordinal", np.full(3, 1), np.eye(3)[[1, 1, 1]]).metrics["kappa"])
    assert np.isnan(measure("regression", np.arange(4.0), np.full(4, 2.0)).metrics["spearman"])


def test_every_metric_has_bounds_that_it_keeps_and_a_name_in_words() -> None:
    rng = np.random.default_rng(0)
    wrong = np.eye(4)[(np.arange(40) + 1) % 4]
    for kind, truth in (("multiclass", np.arange(40) % 4), ("ordinal", np.arange(40) % 4), ("multilabel", 1 - wrong)):
        for metric, value in measure(kind, truth, wrong, tuple("abcd")).metrics.items():
            low, high = metrics.BOUNDS[metric]
            assert low <= value <= high
    assert measure("multiclass", np.arange(40) % 4, wrong, tuple("abcd")).metrics["brier"] == 2
    found = measure("regression", rng.random(9), rng.random(9)).metrics
    assert metrics.BOUNDS.keys() >= found.keys() | metrics.LOWER_IS_BETTER
    assert METRICS.keys() == metrics.BOUNDS.keys()
