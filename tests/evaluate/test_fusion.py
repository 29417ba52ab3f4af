"""Fine-tuning on several inputs of a patient, some of which are missing."""

import csv
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import medcl
from medcl.archive.manifest import Manifest
from medcl.errors import UsageError
from medcl.evaluate.config import EvaluateConfig, FinetuneConfig
from medcl.evaluate.finetune import finetune
from medcl.evaluate.fused_probe import frozen_inputs
from medcl.evaluate.fused_samples import FusedSamples
from medcl.evaluate.protocols import linear_probe, predict_linear
from medcl.evaluate.results import Results, ResultTarget
from medcl.evaluate.tasks import TASKS
from medcl.modality.table.config import TableConfig
from tests.evaluate.omics import RECIPE, write_tables

N = 80
SPLIT = np.array(["train"] * 40 + ["val"] * 16 + ["test"] * 24, dtype=object)
CONFIG = EvaluateConfig(
    target="y",
    inputs=["a", "b", "c"],
    labels=["100%"],
    protocols=["probe", "finetune"],
    repeats=1,
    bootstrap=10,
    jobs=1,
    finetune=FinetuneConfig(steps=30),
)


@pytest.fixture(scope="module")
def omics(tmp_path_factory: pytest.TempPathFactory) -> tuple[Manifest, Path, Path]:
    """A label that table a tells best, table b a little and c not at all; a seventh of the patients lacks table a."""
    folder, rng = tmp_path_factory.mktemp("omics"), np.random.default_rng(0)
    y = rng.integers(0, 2, N)
    tables = {name: y[:, None] * by + rng.normal(size=(N, 4)) for name, by in (("a", 1.5), ("b", 0.5), ("c", 0.0))}
    tables["a"][::7] = np.nan
    path = write_tables(folder / "tables", tables, y, SPLIT)
    medcl.pretrain(RECIPE, path, folder / "run")
    return Manifest.read(path), path.with_suffix(".store"), folder / "run"


def measured(omics: tuple[Manifest, Path, Path], folder: Path, **changes: Any) -> Results:
    manifest, store, run = omics
    return finetune([run], manifest, replace(CONFIG, **changes), store, folder)


def auroc(results: Results, protocol: str, arm: str) -> float:
    found = results.find(protocol, arm, "100%", "auroc")
    assert found is not None
    return found.mean


@pytest.mark.parametrize("fusion", ["early", "late"])
def test_patients_are_predicted_from_what_they_have(
    omics: tuple[Manifest, Path, Path], tmp_path: Path, fusion: str
) -> None:
    whole = measured(omics, tmp_path / "whole", fusion=fusion, scratch=fusion == "early")
    assert whole.items == "patients"
    assert [whole.splits[name].records for name in ("train", "val", "test")] == [40, 16, 24]
    assert [arm.name for arm in whole.arms] == ["pretrained", *["random"] * (fusion == "early"), "columns"]
    less = measured(omics, tmp_path / "less", fusion=fusion, hidden_inputs=["a"], scratch=False)
    for protocol, arm in (("probe", "pretrained"), ("finetune", "pretrained"), ("probe", "columns")):
        high, low = auroc(whole, protocol, arm), auroc(less, protocol, arm)
        assert high > 0.65
        assert np.isfinite(low)
    # What is best told by the missing table is told less well without it.
    assert auroc(whole, "finetune", "pretrained") > auroc(less, "finetune", "pretrained") + 0.1
    assert "test patients were measured without a" in " ".join(less.notes)
    assert not (tmp_path / "whole" / "models").exists()


def test_late_probes_are_those_of_each_input_and_hidden_ones_do_not_count() -> None:
    rng = np.random.default_rng(0)
    y = np.arange(60) % 2
    there = np.stack([rng.random(60) < 0.8, np.ones(60, bool)], axis=1)
    z = np.concatenate([y[:, None] + rng.normal(size=(60, 2)), rng.normal(size=(60, 3)), there], axis=1)
    task = TASKS["binary"](ResultTarget("y", "binary", ("no", "yes")), y)
    train, validation, test = np.arange(30), np.arange(30, 45), np.arange(45, 60)
    found = {"widths": np.array([2, 3]), "fill": np.zeros(7)}
    parts = found, task, z, train, validation, test
    each = []
    for k, columns in enumerate((slice(0, 2), slice(2, 5))):
        own = [rows[there[rows, k]] for rows in (train, validation)]
        each.append(predict_linear(task, linear_probe(task, z[:, columns], *own), z[test][:, columns]).reshape(15, -1))
    both = np.where(there[test, :1], (each[0] + each[1]) / 2, each[1])
    np.testing.assert_allclose(frozen_inputs(*parts, (), late=True)["test"], both)
    np.testing.assert_allclose(frozen_inputs(*parts, (0,), late=True)["test"], each[1])
    joint = linear_probe(task, z, train, validation)
    np.testing.assert_allclose(frozen_inputs(*parts, (), late=False)["test"], predict_linear(task, joint, z[test]))


class Counted:
    """Samples whose content is their number."""

    codes = None
    at_a_time = 8

    def __init__(self, rows: list[int]) -> None:
        self.rows = np.array(rows)

    def __getitems__(self, numbers: Any) -> Any:
        import torch

        return {"x": torch.tensor(numbers)}


def test_an_input_with_fewer_samples_comes_again() -> None:
    """Records 0 and 3 are of item 0, 1 of item 1, 2 of item 2; the first input has 3 samples of record 0."""
    samples: Any = FusedSamples(
        [Counted([0, 0, 0, 1]), Counted([2, 3, 3])],  # type: ignore[list-item]
        ("a", "b"),
        np.array([0, 1, 2, 0]),
        np.array([0, 1, 2]),
    )
    assert samples.rows.tolist() == [0, 0, 0, 1, 2]
    x = samples.__getitems__(range(5))["x"]
    assert x.x["a"].tolist() == [0, 1, 2, 3]
    assert x.x["b"].tolist() == [1, 2, 1, 0]
    assert x.present.tolist() == [[True, True]] * 3 + [[True, False], [False, True]]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"inputs": ["a"]}, "two or more different inputs"),
        ({"inputs": ["a", "d"]}, "--inputs 'd'"),
        ({"hidden_inputs": ["e"]}, "--hidden-inputs 'e'"),
        ({"hidden_inputs": ["a", "b", "c"]}, "at least one"),
        ({"inputs": [], "hidden_inputs": ["a"]}, "needs --inputs"),
        ({"pooling": "attention"}, "goes without"),
        ({"input_dropout": 1.0}, "from 0 to below 1"),
        ({"baselines": ["pixels"]}, "--baselines 'pixels'"),
    ],
)
def test_settings_that_do_not_fit_are_refused(
    omics: tuple[Manifest, Path, Path], tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        measured(omics, tmp_path, **settings)


def test_a_pattern_names_the_variables_of_an_input(omics: tuple[Manifest, Path, Path], tmp_path: Path) -> None:
    from medcl.modality.table.prepare import resolve, tables

    manifest = omics[0]
    found = resolve(tables(manifest), TableConfig(columns=["b*", "a1", "a*"]))
    assert found.columns == ["b0", "b1", "b2", "b3", "a1", "a0", "a2", "a3"]
    with pytest.raises(UsageError, match="no usable variable fits 'x\\*'"):
        resolve(tables(manifest), TableConfig(columns=["x*"]))


def test_windows_of_recordings_and_values_are_fused(phantom_archive: Path, tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    shutil.copytree(phantom_archive / "ecg", archive)
    with (archive / "labels.csv").open() as file:
        patients = sorted({row["patient"] for row in csv.DictReader(file)})
    lines = [f"{patient},{number % 5}" for number, patient in enumerate(patients[2:])]
    (archive / "values.csv").write_text("\n".join(["patient,CRP [mg/l]", *lines, ""]))
    (archive / "values.json").write_text('{"medcl": {"patient": "patient"}}')
    manifest = medcl.scan(
        archive, tmp_path / "m.parquet", labels=str(archive / "labels.csv"), record_column="record",
        target_columns=("age:regression",), id_pattern=r"(?P<patient>P\d+)/|damaged|values", jobs=1,
    )  # fmt: skip
    small = {"dim": 8, "hidden": 8, "depth": 2}
    recipe = {
        "inputs": {"signal": {"data": {"window": 2.0, "channels": ["I", "II"]}, "encoder": small}, "table": {}},
        "objectives": {"pair": {"between": ["signal", "table"], "head": {"hidden": 8, "dim": 8}}},
        "batch": {"patients": 4},
        "optimiser": {"steps": 2},
        "hardware": {"accelerator": "cpu"},
    }
    run = medcl.pretrain(recipe, manifest, tmp_path / "run")
    config = replace(CONFIG, target="age", inputs=["signal", "table"], protocols=["probe"])
    results = finetune([Path(run)], manifest.value, config, tmp_path / "m.store", tmp_path / "out")
    assert sum(results.splits[name].patients for name in ("train", "val", "test")) == len(patients)
    assert len(results.arms) == 3
    assert all(np.isfinite(score.metrics["mae"]) for score in results.scores)
