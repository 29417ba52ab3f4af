"""Weighted metrics equal scikit-learn on the rows written out as often as their weight says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from medcl.errors import MedclError
from medcl.stats.metrics import Predictions, confusion, measure
from medcl.stats.ranking import Ranks


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
        ("regression", [], [], "0 labels"),
    ],
)
def test_bad_input_is_refused(kind: str, truth: list, prediction: list, words: str) -> None:
    with pytest.raises(MedclError, match=words):
        measure(kind, np.array(truth), np.array(prediction), ("a", "b"))
