"""A metric is one function and one line: evaluations, intervals, pages and tables take it from there."""

import io

import numpy as np
import pytest
from rich.console import Console
from sklearn.metrics import recall_score

from medcl.evaluate.page import render_page
from medcl.evaluate.terminal import markdown, tables
from medcl.stats import metrics
from medcl.stats.intervals import bootstrap_metrics
from tests.evaluate.made_results import make_results


def sensitivity(predictions: metrics.Predictions, weights: metrics.Floats) -> metrics.Floats:
    truth = predictions.truth.T.astype(float)
    return (truth * predictions.decision.T) @ weights / (truth @ weights)


def test_a_new_metric_is_measured_resampled_and_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(metrics.BY_CLASS, "sensitivity", sensitivity)
    rng = np.random.default_rng(0)
    truth, probability = rng.random((60, 2)) < 0.5, rng.random((60, 2))
    found = metrics.measure("multilabel", truth, probability, ("a", "b"))
    each = recall_score(truth, probability >= 0.5, average=None)
    assert [row["sensitivity"] for row in found.per_class.values()] == pytest.approx(each)
    assert found.metrics["sensitivity"] == pytest.approx(np.mean(each))
    boot = bootstrap_metrics([metrics.Predictions.of("multilabel", truth, probability)], np.arange(60), n_boot=20)[0]
    assert np.mean(boot["sensitivity"]) == pytest.approx(np.mean(each), abs=0.1)
    results = make_results(repeats=3)
    console = Console(file=io.StringIO(), width=100)
    console.print(*tables(results, "sensitivity"))
    for shown in (render_page(results), markdown(results, "sensitivity"), console.file.getvalue()):  # type: ignore[attr-defined]
        assert "sensitivity" in shown
