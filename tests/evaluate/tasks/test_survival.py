"""Survival: Cox regression against a slow reference, fair fractions, curves, heads, and an archive from end to end."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

import medcl
from medcl.errors import UsageError
from medcl.evaluate.attention_probe import AsTheyAre, Embedded
from medcl.evaluate.config import FinetuneConfig
from medcl.evaluate.label_fraction import parse
from medcl.evaluate.protocols import fine_tune, linear_probe, predict, predict_linear
from medcl.evaluate.results import ResultTarget
from medcl.evaluate.tasks.survival import Survival, times_of
from medcl.evaluate.wording import p_value
from medcl.stats.survival import kaplan_meier
from tests.modality.table.laboratory import write_laboratory

TARGET = ResultTarget("time", "survival", ("event",))
PARTS = np.split(np.arange(900), [400, 600])


def cohort(n: int = 900, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features (n, 4), of which two change the hazard, and times and events (n, 2) with a third censored."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, 4))
    time = rng.exponential(np.exp(-(1.2 * z[:, 0] - 0.8 * z[:, 2])))
    censoring = rng.exponential(2.0, n)
    return z, np.stack([np.minimum(time, censoring), time <= censoring], axis=1)


def task_of(labels: np.ndarray, head: Any = "cox") -> Survival:
    return Survival(TARGET, labels, times_of(labels[PARTS[0]], "time"), head)


def test_the_probe_is_cox_regression() -> None:
    z, labels = cohort(60)
    time, event = labels.T

    def objective(weight: np.ndarray) -> float:
        risk = z @ weight
        terms = [risk[i] - np.log(np.exp(risk[time >= time[i]]).sum()) for i in np.flatnonzero(event)]
        return float(-np.sum(terms) + (weight**2).sum() / (2 * 0.5))

    expected = minimize(objective, np.zeros(4)).x
    weight, bias = Survival(TARGET, labels, (1.0, 2.0, 3.0)).linear(z, labels, 0.5)
    np.testing.assert_allclose(weight[0], expected, atol=1e-4)
    assert bias == [0]


def test_every_fraction_holds_events_in_proportion() -> None:
    _, labels = cohort()
    labels[labels[:, 0] > np.quantile(labels[:, 0], 0.2), 1] = 0  # a sixth has an early event
    labels[7] = np.nan
    task = Survival(TARGET, labels, (0.1, 0.2, 0.3))
    share = labels[PARTS[0], 1][~np.isnan(labels[PARTS[0], 1])].mean()
    for seed in range(3):
        ordering = task.ordering(np.arange(900), PARTS[0], unit="patient", seed=seed)
        for fraction in ("2", "10%", "50%"):
            subset = ordering.take(parse(fraction))
            held = labels[subset.rows, 1]
            assert subset.per_class == {"event": held.sum()}
            assert held.sum() >= 1
            assert abs(held.mean() - share) < (0.5 if fraction == "2" else 0.05)
            assert 7 not in subset.rows


def test_curves_are_those_of_the_patients_and_are_measured() -> None:
    z, labels = cohort()
    train, validation, test = PARTS
    task = task_of(labels)
    model = linear_probe(task, z, train, validation)
    risk = {name: predict_linear(task, model, z[rows]) for name, rows in (("val", validation), ("test", test))}
    finished = task.finished(validation, risk["val"], risk["test"], "probe")
    assert finished.shape == (300, 1 + len(task.times))
    assert (np.diff(finished[:, 1:], axis=1) <= 0).all()
    observed = kaplan_meier(*labels[test].T)(task.times)
    np.testing.assert_allclose(finished[:, 1:].mean(axis=0)[:-1], observed[:-1], atol=0.08)
    own = task.measured(test, finished).metrics(np.ones((300, 1)))[0]
    other = task.measured(test, finished[::-1]).metrics(np.ones((300, 1)))[0]
    assert own["harrell_c"] > 0.7
    assert own["ibs"] < 0.2 < other["ibs"]
    assert task.score(test, risk["test"]) == own["harrell_c"][0]


@pytest.mark.parametrize("head", ["cox", "discrete"])
def test_both_heads_learn_who_has_the_event_first(head: str) -> None:
    z, labels = cohort()
    train, validation, test = PARTS
    task = task_of(labels, head)
    samples = Embedded(z, np.arange(len(z)))
    config = FinetuneConfig(steps=200, batch=64, learning_rate=1e-2, evaluate_every=50)
    tuned = fine_tune(AsTheyAre(4), task, samples, train, validation, config, seed=0, device=torch.device("cpu"))
    prediction = predict(tuned.network, task, samples, test, torch.device("cpu"))
    assert prediction.shape == (300, 1 if head == "cox" else 1 + len(task.times))
    assert task.score(test, prediction) > 0.7
    if head == "discrete":
        assert (np.diff(prediction[:, 1:], axis=1) <= 0).all()
        assert task.finished(validation, prediction, prediction, "finetune") is prediction


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A manifest of laboratory values, with times to an event that comes early in an infection; and a run on it."""
    folder = tmp_path_factory.mktemp("survival")
    phantom = write_laboratory(folder, 100)
    rng = np.random.default_rng(0)
    with phantom.labels.open() as file:
        rows = list(csv.DictReader(file))
    with phantom.labels.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["patient_id", "time_days", "died", "dead"])
        for row in rows:
            time, end = rng.exponential(4 if int(row["infection"]) else 200), rng.uniform(20, 60)
            died = time < end
            table.writerow([row["patient_id"], round(min(time, end), 2), "yes" if died else "no", int(died)])
    manifest = folder / "m.parquet"
    columns = ("time_days:regression", "died", "dead:regression")
    medcl.scan(
        phantom.folder, manifest, labels=str(phantom.labels), patient_column="patient_id", target_columns=columns,
        fractions=(0.5, 0.2, 0.3), stratify="died", jobs=1,
    )  # fmt: skip
    recipe = {"method": "simclr", "table": {"views": {"mix": 0.3}, "encoder": {"dim": 8, "hidden": 8}}}
    recipe |= {"batch": {"patients": 8}, "optimiser": {"steps": 2}, "hardware": {"accelerator": "cpu"}}
    medcl.pretrain(recipe, manifest, folder / "run")
    return folder / "run", manifest


def test_a_saved_model_predicts_risk_and_curves(archive: tuple[Path, Path], tmp_path: Path) -> None:
    config = FinetuneConfig(steps=4, evaluate_every=2)
    for name, head, protocol in (("a", "cox", "probe"), ("b", "cox", "finetune"), ("c", "discrete", "finetune")):
        settings = SETTINGS | {
            "protocols": [protocol],
            "survival_head": head,
            "finetune": config,
            "baselines": ["none"],
        }
        medcl.finetune(*archive, "time_days", tmp_path / name, task="survival", event="died", **settings)
        (model,) = (tmp_path / name).glob("models/*")
        table = medcl.predict(model, archive[1], tmp_path / f"{name}.parquet", jobs=1).value
        curves = [one for one in table.column_names if one.startswith("survival_")]
        assert len(curves) >= 3
        found = np.array([table[one].to_numpy() for one in curves]).T
        assert ((found >= 0) & (found <= 1)).all()
        assert (np.diff(found, axis=1) <= 1e-9).all()
        risk = table["risk"].to_numpy()
        assert np.corrcoef(np.argsort(np.argsort(risk)), np.argsort(np.argsort(-found[:, 1])))[0, 1] > 0.6


SETTINGS: dict[str, Any] = {"labels": ["100%"], "protocols": ["probe"], "repeats": 1, "bootstrap": 50, "jobs": 1}


def test_survival_of_an_archive(archive: tuple[Path, Path], tmp_path: Path) -> None:
    found = [
        medcl.finetune(*archive, "time_days", tmp_path / event, task="survival", event=event, **SETTINGS).value
        for event in ("died", "dead")
    ]
    results = found[0]
    assert results.target == ResultTarget("time_days", "survival", ("event",), "days")
    assert results.metric == "harrell_c"
    row = results.find("probe", "columns", "100%", "harrell_c")
    assert row is not None
    assert 0.6 < row.mean <= 1
    assert row.low < row.mean < row.high
    assert {"uno_c", "ibs"} < set(results.metrics)
    assert results.splits["test"].per_class["event"] > 0
    assert found[1].scores == results.scores, "an event as a class is that as a number"
    curve = next(one for one in results.survival if one.arm == "columns")
    assert sum(curve.records) == results.splits["test"].records
    assert abs(curve.records[0] - curve.records[1]) <= 1
    assert curve.lower[-1] > curve.higher[-1]
    assert curve.p < 0.05
    page = (tmp_path / "died" / "report.html").read_text()
    assert "Survival by predicted risk" in page
    assert f"log-rank test: {p_value(curve.p)}".replace("<", "&lt;") in page


@pytest.mark.parametrize(
    ("target", "settings", "message"),
    [
        ("time_days", {}, "--event, the column"),
        ("time_days", {"event": "ded"}, "dead"),
        ("time_days", {"event": "time_days"}, "observed"),
        ("died", {"event": "died"}, "--target-columns died:regression"),
    ],
)
def test_what_survival_needs(
    archive: tuple[Path, Path], tmp_path: Path, target: str, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        medcl.finetune(*archive, target, tmp_path / "out", task="survival", **SETTINGS, **settings)
