"""Grades: a distribution over them, its kappa, and a linear model that learns their order."""

import numpy as np
import torch
from sklearn.metrics import cohen_kappa_score

from medcl.evaluate.protocols import linear_probe, nearest_neighbours, predict_linear
from medcl.evaluate.results import ResultTarget
from medcl.evaluate.tasks import TASKS

GRADES = ("0", "1", "2", "3", "4")


def graded(seed: int = 0, n: int = 600) -> tuple[np.ndarray, np.ndarray]:
    """Features (n, 6) of patients, of which two show how far a disease has gone, and its grade (n,)."""
    rng = np.random.default_rng(seed)
    extent = rng.normal(size=n)
    z = rng.normal(size=(n, 6))
    z[:, 0] += 2 * extent
    z[:, 3] -= extent
    return z, np.digitize(extent, [-1.2, -0.3, 0.4, 1.4])


def test_a_probe_of_grades_agrees_with_them_and_not_with_shuffled_ones() -> None:
    z, grades = graded()
    train, validation, test = np.split(np.arange(len(z)), [200, 400])
    for truth, low, high in ((grades, 0.75, 1.0), (np.random.default_rng(1).permutation(grades), -0.2, 0.2)):
        task = TASKS["ordinal"](ResultTarget("stage", "ordinal", GRADES), truth)
        prediction = predict_linear(task, linear_probe(task, z, train, validation), z[test])
        np.testing.assert_allclose(prediction.sum(axis=1), 1)
        assert (prediction >= 0).all()
        kappa = task.score(test, prediction)
        expected = cohen_kappa_score(truth[test], prediction.argmax(axis=1), weights="quadratic", labels=range(5))
        assert kappa == np.float64(expected).round(12) or abs(kappa - expected) < 1e-9
        assert low < kappa < high
    votes = nearest_neighbours(TASKS["ordinal"](ResultTarget("stage", "ordinal", GRADES), grades), z, train, validation)
    assert votes(z[test]).shape == (200, 5)


def test_a_higher_grade_is_never_more_often_reached_than_a_lower_one() -> None:
    task = TASKS["ordinal"](ResultTarget("stage", "ordinal", GRADES), np.arange(5))
    logits = torch.tensor([[0.0, 2.0, -1.0, 5.0], [9.0, 9.0, 9.0, 9.0]], dtype=torch.float64)
    prediction = task.predict(logits)
    reached = torch.sigmoid(torch.tensor([0.0, 0.0, -1.0, -1.0], dtype=torch.float64))
    expected = torch.tensor([1 - reached[0], 0, reached[1] - reached[2], 0, reached[3]], dtype=torch.float64)
    torch.testing.assert_close(prediction[0], expected)
    assert prediction[1].argmax() == 4


def test_a_grade_without_training_records_is_rarely_predicted() -> None:
    z, grades = graded()
    lower = np.flatnonzero(grades < 4)
    task = TASKS["ordinal"](ResultTarget("stage", "ordinal", GRADES), grades)
    weight, bias = task.linear(z[lower], task.columns(lower), 1.0)
    assert weight.shape == (4, 6)
    assert not weight[3].any()
    assert task.predict(torch.from_numpy(z @ weight.T + bias))[:, 4].max() < 0.01
