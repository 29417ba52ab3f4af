"""The risk of time steps: which there are, what follows them, and stays from end to end."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import medcl
from medcl.archive.manifest import Manifest
from medcl.embed import encoders
from medcl.errors import UsageError
from medcl.evaluate import arms
from medcl.evaluate.config import EvaluateConfig, FinetuneConfig
from medcl.evaluate.tasks import task_of
from tests.modality.table.laboratory import write_stays

CONFIG = EvaluateConfig("event_hours", task="risk", horizon=6.0)


@pytest.fixture(scope="module")
def stays(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run on windows of 4 h of stays of a day, and a manifest with the hour at which an infected patient fell ill."""
    folder = tmp_path_factory.mktemp("risk")
    phantom = write_stays(folder, 40)
    rng = np.random.default_rng(0)
    with phantom.labels.open() as file:
        rows = list(csv.DictReader(file))
    with phantom.labels.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["patient_id", "event_hours", "infection"])
        for row in rows:
            hours = round(rng.uniform(6, 30), 1) if int(row["infection"]) else ""
            table.writerow([row["patient_id"], hours, row["infection"]])
    manifest = folder / "m.parquet"
    medcl.scan(
        phantom.folder, manifest, labels=str(phantom.labels), patient_column="patient_id",
        target_columns=("event_hours:regression", "infection"), fractions=(0.5, 0.2, 0.3), stratify="infection", jobs=1,
    )  # fmt: skip
    table_input = {"data": {"window": 4, "stride": 4, "step": 2}, "views": {"mix": 0.3}, "encoder": {"dim": 8}}
    recipe = {"method": "simclr", "table": table_input, "batch": {"patients": 8}, "optimiser": {"steps": 2}}
    medcl.pretrain(recipe | {"hardware": {"accelerator": "cpu"}}, manifest, folder / "run")
    return folder / "run", manifest


def test_steps_before_the_event_are_items_and_it_follows_within_the_horizon(
    stays: tuple[Path, Path], tmp_path: Path
) -> None:
    manifest = Manifest.read(stays[1])
    arm = arms.of_run("pretrained", [stays[0]], tmp_path)
    arm = arms.of_run("pretrained", [stays[0]], encoders.prepared(manifest, arm.data, tmp_path / "store", 1))
    task, items = task_of(manifest, CONFIG, arm)
    samples = arm.samples(manifest)
    places = samples.places(np.arange(len(samples)))
    assert places is not None
    event, expected = manifest.column("event_hours"), []
    for number, ((start,), row) in enumerate(zip(places, samples.rows.tolist(), strict=True)):
        if np.isnan(event[row]) or event[row] > start + 4:
            expected.append((number, row, int(start + 4 < event[row] <= start + 10)))
    assert 0 < sum(follows for *_, follows in expected) < len(expected) < len(samples)
    np.testing.assert_array_equal(task.labels, [follows for *_, follows in expected])
    np.testing.assert_array_equal(items.row, [row for _, row, _ in expected])
    assert len(set(items.ids.tolist())) == len(expected)
    regrouped = items.samples(samples)
    x = samples.__getitems__([number for number, *_ in expected])["x"].numpy()
    np.testing.assert_array_equal(regrouped.__getitems__(range(len(expected)))["x"].numpy(), x)
    assert [regrouped.samples_of(i).tolist() for i in range(3)] == [[0], [1], [2]]


def test_risk_of_stays(stays: tuple[Path, Path], tmp_path: Path) -> None:
    settings: dict[str, Any] = {"labels": ["100%"], "repeats": 1, "bootstrap": 20, "jobs": 1}
    settings |= {"finetune": FinetuneConfig(steps=4, evaluate_every=2)}
    results = medcl.finetune(*stays, "event_hours", tmp_path / "e", task="risk", horizon=6, **settings).value
    assert results.target.classes == ("no event", "event")
    assert results.items == "time steps"
    assert results.protocols == ("probe", "knn", "finetune")
    assert {"auroc", "auprc", "brier", "ece"} <= set(results.metrics)
    test = results.splits["test"]
    assert test.records == sum(test.per_class.values()) > test.patients
    row = results.find("probe", "columns", "100%", "auroc")
    assert row is not None
    assert row.mean > 0.6


@pytest.mark.parametrize(
    ("target", "settings", "message"),
    [
        ("event_hours", {}, "--horizon"),
        ("infection", {"horizon": 6}, "--target-columns infection:regression"),
        ("event_hours", {"horizon": 6, "bag": "patient"}, "one of time steps"),
    ],
)
def test_what_risk_needs(
    stays: tuple[Path, Path], tmp_path: Path, target: str, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        medcl.finetune(*stays, target, tmp_path / "e", task="risk", jobs=1, **settings)
