"""`medcl pretrain` on a real archive: what a run folder holds, that it resumes to the bit, that it can be stopped."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from medcl import runs
from medcl.archive.manifest import Manifest
from medcl.data.prepare import prepare
from medcl.errors import MedclError, UsageError
from medcl.pretrain.recipe import OptimiserConfig
from medcl.pretrain.run import pretrain
from medcl.pretrain.trainer import learning_rate
from tests.disks import small_disk

from .recipe import SMALL, level, small, within


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("prepared") / "ecg.store"


def same_weights(a: Path, b: Path) -> bool:
    first, second = load_file(a / runs.WEIGHTS), load_file(b / runs.WEIGHTS)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_a_run_folder_holds_what_the_design_says(ecg_manifest: Manifest, store: Path, tmp_path: Path) -> None:
    done = pretrain(small(), ecg_manifest, store, tmp_path / "run")
    assert done.finished
    assert done.steps == 6
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert {runs.WEIGHTS, runs.CONFIG, runs.METRICS, runs.PATIENTS, runs.ENVIRONMENT, runs.CHECKPOINT} <= names
    rows = (tmp_path / "run" / runs.METRICS).read_text().splitlines()
    assert rows[0].startswith("step,learning_rate,patient,trial,within.sample,within.observation,total")
    assert len(rows) == 7
    data = yaml.safe_load((tmp_path / "run" / runs.CONFIG).read_text())["inputs"]["signal"]["data"]
    assert data["channels"][0] == "I"
    assert data["sampling_rate"] == 100
    loaded = runs.load(tmp_path / "run")
    assert loaded.encoder.embed(torch.randn(3, len(loaded.card.channels), 200)).shape == (3, 16)


def test_patients_of_the_run_are_those_of_the_training_split(
    ecg_manifest: Manifest, store: Path, tmp_path: Path
) -> None:
    pretrain(small(steps=1), ecg_manifest, store, tmp_path / "run")
    seen = runs.load(tmp_path / "run").patients
    patients = ecg_manifest.column("patient")
    assert seen.among(patients[ecg_manifest.split_rows("train")]).all()
    assert not seen.among(patients[ecg_manifest.split_rows("test")]).any()
    text = (tmp_path / "run" / runs.PATIENTS).read_text()
    assert not any(str(code) in text for code in patients)


def test_ten_steps_equal_five_a_stop_and_five_to_the_bit(ecg_manifest: Manifest, store: Path, tmp_path: Path) -> None:
    config = small(steps=10)
    pretrain(config, ecg_manifest, store, tmp_path / "whole")
    first = pretrain(config, ecg_manifest, store, tmp_path / "halves", until=5)
    assert not first.finished
    assert not (tmp_path / "halves" / runs.WEIGHTS).exists()
    pretrain(config, ecg_manifest, store, tmp_path / "halves", resume=True)
    assert same_weights(tmp_path / "whole", tmp_path / "halves")
    columns = [
        [line.split(",")[:7] for line in (tmp_path / name / runs.METRICS).read_text().splitlines()]
        for name in ("whole", "halves")
    ]
    assert columns[0] == columns[1]


def test_a_batch_in_chunks_trains_as_one(ecg_manifest: Manifest, store: Path, tmp_path: Path) -> None:
    """The batch that is contrasted is the same; only what passes the encoder at a time is less."""
    for chunk in (0, 5):
        still = {"signal": {"encoder": {"dropout": 0.0}}}
        config = small(steps=3, hardware={"chunk": chunk}, inputs=still)
        pretrain(config, ecg_manifest, store, tmp_path / str(chunk))
    whole, chunks = (load_file(tmp_path / str(chunk) / runs.WEIGHTS) for chunk in (0, 5))
    for name in whole:
        torch.testing.assert_close(whole[name], chunks[name], rtol=1e-3, atol=1e-5)


def test_two_workers_train_the_same_weights_as_none(ecg_manifest: Manifest, store: Path, tmp_path: Path) -> None:
    for workers in (0, 2):
        config = small(steps=3, hardware={"workers": workers})
        pretrain(config, ecg_manifest, store, tmp_path / str(workers))
    assert same_weights(tmp_path / "0", tmp_path / "2")


def test_ctrl_c_leaves_a_checkpoint_that_resumes(ecg_manifest_path: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    config = tmp_path / "long.yaml"
    config.write_text(
        yaml.safe_dump(
            {
                **SMALL,
                "optimiser": {"steps": 100000},
            }
        )
    )
    command = [
        sys.executable,
        "-m",
        "medcl",
        "pretrain",
        "--config",
        str(config),
        "--manifest",
        str(ecg_manifest_path),
        "-o",
        str(run),
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (
        (run / runs.METRICS).exists() and (run / runs.METRICS).stat().st_size > 500
    ):
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "--resume" in errors
    step = torch.load(run / runs.CHECKPOINT, weights_only=True)["step"]
    assert step > 0
    again = subprocess.run([*command, "--resume", "--until", str(step + 2)], capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert torch.load(run / runs.CHECKPOINT, weights_only=True)["step"] == step + 2


@pytest.mark.parametrize(
    "objectives",
    [
        {"within": within(sample=1.0)},
        {"patient": level("patient")},
        {"trial": level("trial"), "within": within(observation=0.5)},
        {"both": level("patient", positives={"patient": 0.3, "trial": 0.7})},
        {"trial": level("trial", within="patient")},
    ],
)
def test_any_subset_of_levels_is_a_recipe(
    ecg_manifest: Manifest, store: Path, tmp_path: Path, objectives: dict[str, Any]
) -> None:
    recipe = small(steps=2, objectives=objectives)
    done = pretrain(recipe, ecg_manifest, store, tmp_path / "run")
    weights = {
        f"{name}.{one}" if one else name: objective.weight * share
        for name, objective in recipe.objectives.items()
        for one, share in objective.losses.items()
    }
    assert done.losses.keys() == {*weights, "total"}
    expected = sum(weight * done.losses[name] for name, weight in weights.items())
    assert done.losses["total"] == pytest.approx(expected, rel=1e-5)


def test_the_paper_encoder_learns_to_tell_trials_apart(ecg_manifest: Manifest, store: Path, tmp_path: Path) -> None:
    dilated = {"signal": {"encoder": {"name": "dilated", "dim": 16, "hidden": 8, "depth": 3, "stride": 1}}}
    config = small(steps=30, objectives={"within": within(sample=1.0)}, inputs=dilated)
    pretrain(config, ecg_manifest, store, tmp_path / "run")
    rows = [line.split(",") for line in (tmp_path / "run" / runs.METRICS).read_text().splitlines()[1:]]
    losses = [float(row[2]) for row in rows]
    assert sum(losses[-5:]) < 0.9 * sum(losses[:5])


@pytest.mark.parametrize(
    ("objective", "said"),
    [
        (within(beat=1.0), r"objectives.one.levels: 'beat' is none of sample, observation"),
        (within(sample=-1.0), "objectives.one.levels: the weight of sample is negative"),
        ({**within(), "levels": {}}, "objectives.one.levels: no level"),
        (level("beat"), "objectives.one: the archive has no ids for beat; it has patient, trial, sample"),
        (level("patient", weight=-1.0), "objectives.one.weight: -1 is negative"),
    ],
)
def test_levels_that_there_are_not_are_refused(
    ecg_manifest: Manifest, store: Path, tmp_path: Path, objective: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        pretrain(small(objectives={"one": objective}), ecg_manifest, store, tmp_path / "run")


def test_a_finished_run_is_not_overwritten(ecg_manifest: Manifest, store: Path, tmp_path: Path) -> None:
    pretrain(small(steps=1), ecg_manifest, store, tmp_path / "run")
    with pytest.raises(UsageError, match="already holds a run"):
        pretrain(small(steps=1), ecg_manifest, store, tmp_path / "run")


@pytest.mark.parametrize("resume", [False, True])
def test_a_run_that_was_killed_before_its_first_checkpoint_begins_anew(
    ecg_manifest: Manifest, store: Path, tmp_path: Path, resume: bool
) -> None:
    pretrain(small(steps=3), ecg_manifest, store, tmp_path / "whole")
    pretrain(small(steps=3), ecg_manifest, store, tmp_path / "run", until=1)
    (tmp_path / "run" / runs.CHECKPOINT).unlink()
    done = pretrain(small(steps=3), ecg_manifest, store, tmp_path / "run", resume=resume)
    assert done.finished
    assert same_weights(tmp_path / "whole", tmp_path / "run")
    assert len((tmp_path / "run" / runs.METRICS).read_text().splitlines()) == 4
    assert len(list((tmp_path / "run" / runs.BOARD).iterdir())) == 1


def test_a_second_process_in_a_run_folder_is_refused(ecg_manifest: Manifest, store: Path, tmp_path: Path) -> None:
    with runs.alone(tmp_path / "run"):
        for resume in (False, True):
            with pytest.raises(MedclError, match=rf"another process \(\S+ process {os.getpid()}\) trains in this run"):
                pretrain(small(steps=1), ecg_manifest, store, tmp_path / "run", resume=resume)
    assert not (tmp_path / "run").exists()


def test_resuming_where_no_run_is_makes_no_folder(ecg_manifest: Manifest, store: Path, tmp_path: Path) -> None:
    with pytest.raises(MedclError, match="no run to resume"):
        pretrain(small(steps=1), ecg_manifest, store, tmp_path / "run", resume=True)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("most", [0, 500, 3000, 20000])
def test_a_full_disk_stops_a_run_with_one_sentence_and_no_leftover(
    ecg_manifest: Manifest, store: Path, tmp_path: Path, most: int
) -> None:
    prepare(ecg_manifest, small().inputs["signal"].data, store, jobs=1)
    with small_disk(most), pytest.raises(MedclError, match=r"cannot be written: it is larger than the file system"):
        pretrain(small(steps=100), ecg_manifest, store, tmp_path / "run")
    assert not list(tmp_path.rglob("*medcl-draft"))
    # With room on the disk the same command goes on.
    assert pretrain(small(steps=2), ecg_manifest, store, tmp_path / "run").finished


def test_resuming_with_another_recipe_is_refused(ecg_manifest: Manifest, store: Path, tmp_path: Path) -> None:
    pretrain(small(steps=4), ecg_manifest, store, tmp_path / "run", until=2)
    with pytest.raises(UsageError, match="optimiser"):
        pretrain(small(steps=8), ecg_manifest, store, tmp_path / "run", resume=True)


def test_a_window_longer_than_every_recording_is_an_error(ecg_manifest: Manifest, store: Path, tmp_path: Path) -> None:
    with pytest.raises(MedclError, match="window"):
        pretrain(small(inputs={"signal": {"data": {"window": 1000.0}}}), ecg_manifest, store, tmp_path / "run")


def test_the_rate_rises_and_falls() -> None:
    config = OptimiserConfig(steps=100, learning_rate=1.0, warmup=0.1)
    rates = [learning_rate(config, step) for step in range(100)]
    assert rates[:10] == pytest.approx([0.1 * (step + 1) for step in range(10)])
    assert rates[10] == pytest.approx(1.0)
    assert all(later < earlier for earlier, later in zip(rates[10:], rates[11:], strict=False))
    assert learning_rate(OptimiserConfig(steps=100, learning_rate=1.0, schedule="constant"), 99) == 1.0


@pytest.mark.parametrize("hardware", [{"devices": 0}, {"devices": -1}, {"chunk": -3}])
def test_hardware_that_there_is_not_is_a_wrong_call(
    ecg_manifest: Manifest, store: Path, tmp_path: Path, hardware: dict[str, int]
) -> None:
    (name,) = hardware
    with pytest.raises(UsageError, match=f"hardware.{name}"):
        pretrain(small(hardware=hardware), ecg_manifest, store, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_shared_head_is_built_where_its_owner_is_not_trained(
    ecg_manifest: Manifest, store: Path, tmp_path: Path
) -> None:
    alone = pretrain(small(2, stages=[{"objectives": ["trial"]}]), ecg_manifest, store, tmp_path / "run")
    assert alone.losses.keys() == {"trial", "total"}
