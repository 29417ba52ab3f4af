"""Survival of a cohort whose hazards are known: Weibull times, proportional hazards, 30% censored."""

import numpy as np
import pytest

from medcl.evaluate.protocols import linear_probe, predict_linear
from medcl.evaluate.results import ResultTarget
from medcl.evaluate.tasks.survival import Survival, times_of
from medcl.stats.survival import SurvivalPredictions, censoring_distribution, kaplan_meier

N, BETA = 1000, np.array([0.8, -0.5, 0.0, 0.3, 0.0])
PARTS = np.split(np.arange(2 * N), [N, N + 400])


@pytest.fixture(scope="module", params=range(3))
def cohort(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray]:
    """Features (records, 5), and times and events: (time / scale)^1.5 is exponential with the hazard exp(x beta)."""
    rng = np.random.default_rng(request.param)
    x = rng.normal(size=(2 * N, len(BETA)))
    time = 10 * (rng.exponential(size=2 * N) / np.exp(x @ BETA)) ** (1 / 1.5)
    late = rng.uniform(0, np.quantile(time, 0.95), size=2 * N)
    share = rng.random(2 * N) < 0.3 / (late < time).mean()
    end = np.where(share, late, np.inf)
    event = time <= end
    assert 0.25 < 1 - event.mean() < 0.35
    return x, np.stack([np.minimum(time, end), event], axis=1)


def measured(task: Survival, rows: np.ndarray, risk: np.ndarray) -> float:
    return task.score(rows, risk[:, None])


def test_the_head_is_as_good_as_the_true_hazards(cohort: tuple[np.ndarray, np.ndarray]) -> None:
    x, labels = cohort
    train, validation, test = PARTS
    task = Survival(ResultTarget("time", "survival", ("event",)), labels, times_of(labels[train], "time"))
    model = linear_probe(task, x, train, validation)
    found = measured(task, test, predict_linear(task, model, x[test])[:, 0])
    oracle = measured(task, test, x[test] @ BETA)
    assert oracle > 0.65
    assert abs(found - oracle) < 0.01
    # The hazard ratios, but for the shrinkage of the penalty.
    weight = model.weight[0] / model.scale
    assert weight @ BETA > 0.98 * np.linalg.norm(weight) * np.linalg.norm(BETA)
    shuffled = np.random.default_rng(0).permutation(x[test] @ BETA)
    assert abs(measured(task, test, shuffled) - 0.5) < 0.05


def test_the_brier_score_of_kaplan_meier_is_its_sum_over_records(cohort: tuple[np.ndarray, np.ndarray]) -> None:
    _, labels = cohort
    (time, event), (t, d) = labels[PARTS[0]].T, labels[PARTS[2]].T
    grid = np.quantile(t[d == 1], np.linspace(0.1, 0.9, 9))
    curve, G = kaplan_meier(time, event)(grid), censoring_distribution(time, event)
    survival = np.tile(curve, (len(t), 1))
    ours = SurvivalPredictions.of(t, d, np.zeros(len(t)), G, times=grid, survival=survival)
    scores = []
    for k, at in enumerate(grid):
        total = 0.0
        for i in range(len(t)):
            if t[i] <= at and d[i]:
                total += curve[k] ** 2 / float(G([t[i]])[0])
            elif t[i] > at:
                total += (1 - curve[k]) ** 2 / float(G([at])[0])
        scores.append(total / len(t))
    expected = np.trapezoid(scores, grid) / (grid[-1] - grid[0])
    found = ours.metrics(np.ones((len(t), 1)))[0]
    assert found["ibs"][0] == pytest.approx(expected)
    assert found["harrell_c"][0] == 0.5
