"""Looks at validation patients: what they tell, what they warn of, and that training does not notice them."""

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import medcl
from medcl import runs
from medcl.archive.manifest import Manifest
from medcl.errors import MedclError, UsageError
from medcl.pretrain.batches import source
from medcl.pretrain.held_out import held_out
from medcl.pretrain.inputs import in_splits, made_inputs
from medcl.pretrain.reading import read

from .looked_at import on_signals, on_three, rows_of, three_inputs, values_of

EVERY = {"every": 2, "batches": 2}
QUEUE = {
    "key": {
        "of": "signal",
        "head": {"hidden": 16, "dim": 8},
        "negatives": {"queue": 24, "momentum": 0.9, "batch": False},
    }
}
SWAV = {"clusters": {"kind": "swav", "of": "signal", "prototypes": 6, "queue": 16, "head": {"hidden": 16, "dim": 8}}}


@pytest.fixture(scope="module")
def three(ecg_manifest: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("three")
    manifest = three_inputs(ecg_manifest, folder)
    manifest.write(folder / "three.parquet")
    return folder / "three.parquet"


def same_weights(a: Path, b: Path) -> bool:
    first, second = load_file(a / runs.WEIGHTS), load_file(b / runs.WEIGHTS)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    ("objectives", "average"),
    [(None, "ema"), (None, "none"), (QUEUE, "swa"), (QUEUE, "none"), (SWAV, "none")],
    ids=["average", "last", "queue, average", "queue, last", "swav"],
)
def test_training_does_not_notice(
    objectives: dict[str, Any] | None, average: str, ecg_manifest_path: Path, tmp_path: Path
) -> None:
    recipe = on_signals(optimiser={"steps": 6, "average": average})
    recipe["objectives"] = objectives or recipe["objectives"]
    medcl.pretrain(recipe, ecg_manifest_path, tmp_path / "without")
    medcl.pretrain({**recipe, "monitor": EVERY}, ecg_manifest_path, tmp_path / "with")
    assert rows_of(tmp_path / "with") == rows_of(tmp_path / "without")
    assert same_weights(tmp_path / "with", tmp_path / "without")
    assert not (tmp_path / "without" / runs.MONITOR).exists()
    assert [row["step"] for row in rows_of(tmp_path / "with", runs.MONITOR)] == ["2", "4", "6"]


def test_a_resumed_run_looks_once_after_each_step(ecg_manifest_path: Path, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    recipe = on_signals(monitor={**EVERY, "target": "diagnosis"})
    medcl.pretrain(recipe, ecg_manifest_path, whole)
    medcl.pretrain(recipe, ecg_manifest_path, parts, until=4)
    seen = (parts / runs.MONITOR).read_text()
    assert [row["step"] for row in rows_of(parts, runs.MONITOR)] == ["2", "4"]
    # Stopped between the checkpoint and the look: this is made up for.
    (parts / runs.MONITOR).write_text("".join(seen.splitlines(keepends=True)[:-1]))
    medcl.pretrain(recipe, ecg_manifest_path, parts, resume=True)
    assert (parts / runs.MONITOR).read_text() == (whole / runs.MONITOR).read_text()
    assert same_weights(whole, parts)
    medcl.pretrain(recipe, ecg_manifest_path, parts, resume=True)
    assert (parts / runs.MONITOR).read_text() == (whole / runs.MONITOR).read_text()


def test_what_is_followed_may_change_when_a_run_is_resumed(ecg_manifest_path: Path, tmp_path: Path) -> None:
    medcl.pretrain(on_signals(monitor=EVERY), ecg_manifest_path, tmp_path / "run", until=2)
    more = on_signals(monitor={**EVERY, "target": "diagnosis"})
    medcl.pretrain(more, ecg_manifest_path, tmp_path / "run", resume=True)
    first, *others = values_of(tmp_path / "run", runs.MONITOR)
    assert "knn.signal" not in first
    assert [0 <= row["knn.signal"] <= 1 for row in others] == [True, True]


def test_a_healthy_run_tells_its_numbers_and_warns_of_nothing(ecg_manifest_path: Path, tmp_path: Path) -> None:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        recipe = on_signals(monitor={**EVERY, "target": "diagnosis"}, optimiser={"steps": 4})
        medcl.pretrain(recipe, ecg_manifest_path, tmp_path / "run")
    assert not [one for one in told if "validation patients" in str(one.message)]
    for row in values_of(tmp_path / "run", runs.MONITOR):
        weighted = row["patient"] + 0.1 * row["within.sample"] + 0.1 * row["within.observation"]
        assert row["total"] == pytest.approx(weighted, rel=1e-5)
        assert 1.05 < row["rank.signal"] <= 16
        assert row["dead.signal"] < 0.5
        assert 0 < row["alignment.signal"] < 4
        assert -8 <= row["uniformity.signal"] < 0
        assert 0 <= row["knn.signal"] <= 1
        assert row["positives.patient"] == 1


def test_a_collapsed_embedding_is_told_once(ecg_manifest_path: Path, tmp_path: Path) -> None:
    optimiser = {"steps": 4, "learning_rate": 0.01, "weight_decay": 95.0, "schedule": "constant", "average": "none"}
    with pytest.warns(UserWarning, match="validation patients") as told:
        medcl.pretrain(on_signals(optimiser=optimiser, monitor=EVERY), ecg_manifest_path, tmp_path / "run")
    (one,) = [str(one.message) for one in told if "validation patients" in str(one.message)]
    assert "inputs.signal" in one
    assert "weight_decay" in one


def test_an_objective_without_positives_is_told(ecg_manifest_path: Path, tmp_path: Path) -> None:
    # One window of one recording of each patient: nothing is of the same patient, but two views of one window.
    recipe = on_signals(batch={"patients": 4, "records": 1, "samples": 1}, monitor=EVERY, optimiser={"steps": 4})
    recipe["objectives"]["patient"] |= {"loss": "identity", "dense": True, "head": {"dim": 0}}
    with pytest.warns(UserWarning, match="validation patients") as told:
        medcl.pretrain(recipe, ecg_manifest_path, tmp_path / "run")
    (one,) = [str(one.message) for one in told if "validation patients" in str(one.message)]
    assert one.startswith("objectives.patient: no sample of 2 batches")
    assert "batch.records" in one
    rows = values_of(tmp_path / "run", runs.MONITOR)
    assert [("patient" in row, row["positives.patient"]) for row in rows] == [(False, 0), (False, 0)]


def test_inputs_that_are_missing_in_places(three: Path, tmp_path: Path) -> None:
    recipe = on_three(monitor={**EVERY, "target": "diagnosis", "neighbours": 3})
    medcl.pretrain(recipe, three, tmp_path / "with")
    medcl.pretrain({**recipe, "monitor": {}}, three, tmp_path / "without")
    assert rows_of(tmp_path / "with") == rows_of(tmp_path / "without")
    assert same_weights(tmp_path / "with", tmp_path / "without")
    for row in values_of(tmp_path / "with", runs.MONITOR):
        for pair in ("image-signal", "image-report", "signal-report"):
            assert 0 < row[f"gap.joint.{pair}"] <= 2
            assert 0 < row[f"alignment.joint.{pair}"] <= 4
        assert row["joint"] == row["total"] > 0
        assert {"rank.image", "rank.signal", "rank.report", "knn.image", "knn.report"} <= row.keys()


def test_stages_share_a_table(ecg_manifest_path: Path, tmp_path: Path) -> None:
    stages = [{"name": "first", "objectives": ["within"], "steps": 2}, {"name": "second", "steps": 4}]
    medcl.pretrain(on_signals(stages=stages, monitor=EVERY), ecg_manifest_path, tmp_path / "run")
    rows = rows_of(tmp_path / "run", runs.MONITOR)
    assert [(row["step"], row["stage"], bool(row["patient"])) for row in rows] == [
        ("2", "first", False),
        ("4", "second", True),
        ("6", "second", True),
    ]


def test_nobody_who_is_trained_on_is_looked_at(ecg_manifest: Manifest, ecg_manifest_path: Path, tmp_path: Path) -> None:
    manifest = ecg_manifest.ok()
    # One patient of the training is in the validation split too, as in a manifest that was made by hand.
    split = np.array(manifest.column("split"))
    patients = manifest.column("patient")
    both = patients[np.flatnonzero(split == "train")[0]]
    own = np.flatnonzero(patients == both)
    split[own[0]] = "val"
    at = manifest.table.column_names.index("split")
    import pyarrow as pa

    manifest = replace(manifest, table=manifest.table.set_column(at, "split", pa.array(split.tolist(), pa.string())))
    recipe = read(on_signals(monitor=EVERY))
    made = made_inputs(recipe, manifest, ecg_manifest_path.with_suffix(".store"))
    trained = source(recipe, made, in_splits(manifest, recipe.splits)).patients
    assert both in trained
    held = held_out(recipe, made, manifest, trained)
    assert held is not None
    assert not np.isin(held.source.patients, trained).any()
    assert len(held.source.patients)
    with pytest.raises(UsageError, match=r"monitor\.split: train is trained on"):
        held_out(read(on_signals(monitor={**EVERY, "split": "train"})), made, manifest, trained)
    with pytest.raises(MedclError, match=r"monitor\.split: no readable record"):
        held_out(read(on_signals(monitor={**EVERY, "split": "none"})), made, manifest, trained)
    with pytest.raises(UsageError, match=r"monitor\.target"):
        held_out(read(on_signals(monitor={**EVERY, "target": "nothing"})), made, manifest, trained)
