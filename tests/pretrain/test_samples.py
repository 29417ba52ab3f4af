"""Training on samples in memory: arrays with ids, MNE epochs, torch data sets."""

from pathlib import Path
from typing import Any

import mne
import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset

import medcl
from medcl import runs
from medcl.errors import UsageError
from medcl.pretrain.batches import made_of

from .multimodal_recipe import IMAGE, PAIR, SIGNAL
from .recipe import level, small

PATIENTS, TRIALS, WINDOWS = 6, 2, 3
COUNT = PATIENTS * TRIALS * WINDOWS


def ids() -> dict[str, Any]:
    patient = np.repeat(np.arange(PATIENTS), TRIALS * WINDOWS)
    return {
        "patient": patient,
        "trial": np.repeat(np.arange(PATIENTS * TRIALS), WINDOWS),
        "group": np.array(["control", "case"])[patient % 2],
        "age": 50.0 + patient,
    }


def waves() -> np.ndarray:
    rng = np.random.default_rng(0)
    time = np.arange(200) / 100
    pitch = 2 + np.repeat(np.arange(PATIENTS), TRIALS * WINDOWS)[:, None, None]
    return np.sin(2 * np.pi * pitch * time + rng.uniform(0, 6, (COUNT, 3, 1))) + 0.1 * rng.standard_normal(
        (COUNT, 3, 200)
    )


class Windows(Dataset[Any]):
    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        return {"x": torch.from_numpy(waves()[number]).float()}


def epochs() -> mne.EpochsArray:
    info = mne.create_info(["Fz", "Cz", "Pz"], 100.0, "eeg")
    metadata = pd.DataFrame({"patient": [f"sub-{one}" for one in ids()["patient"]], "trial": ids()["trial"]})
    return mne.EpochsArray(waves() * 1e-6, info, metadata=metadata, verbose="error")


@pytest.mark.parametrize(
    "samples",
    [
        {"x": waves(), "ids": ids(), "sampling_rate": 100, "channels": ["Fz", "Cz", "Pz"]},
        (torch.from_numpy(waves()), ids()),
        {"x": Windows(), "ids": ids()},
        epochs(),
    ],
    ids=["arrays", "tensor and ids", "data set", "epochs"],
)
def test_signals_in_memory_are_trained_on(samples: Any, tmp_path: Path) -> None:
    run = medcl.pretrain(small(steps=4), samples={"signal": samples}, output=tmp_path / "run")
    assert run.value.patients == PATIENTS
    assert run.value.losses.keys() == {"patient", "trial", "within.sample", "within.observation", "total"}
    loaded = runs.load(tmp_path / "run")
    assert len(loaded.card.channels) == 3
    z = loaded.encoder.embed(torch.from_numpy(waves()).float())
    assert z.shape == (COUNT, 16)
    assert not any(
        f"sub-{one}" in path.read_text(errors="replace")
        for one in range(PATIENTS)
        for path in (tmp_path / "run").glob("*.*")
    )


def test_labels_and_values_come_with_the_ids(tmp_path: Path) -> None:
    objectives = {
        "group": level("label:group", labels=0.5),
        "age": level("value:age", bandwidth=2.0),
        "views": level("item"),
    }
    run = medcl.pretrain(small(2, objectives), samples={"signal": (waves(), ids())}, output=tmp_path / "run")
    assert np.isfinite(list(run.value.losses.values())).all()
    with pytest.raises(UsageError, match=r"no ids for sex; it has patient, trial, sample.*group, age"):
        medcl.pretrain(small(2, {"a": level("label:sex")}), samples={"signal": (waves(), ids())}, output=tmp_path / "b")


def test_every_batch_is_of_one_source() -> None:
    recipe = small(2, batch={"patients": 2, "source": "group"})
    _, source, data = made_of(recipe, {"signal": (waves(), ids())})
    groups = [set(data.column("group")[batch]) for batch in source.sampler(1, 0).batches(0, 8)]
    assert {len(one) for one in groups} == {1}
    assert set.union(*groups) == {"case", "control"}
    with pytest.raises(UsageError, match="batch.source: 'site' is none of"):
        made_of(small(2, batch={"source": "site"}), {"signal": (waves(), ids())})


def test_two_inputs_row_by_row_some_of_them_missing(tmp_path: Path) -> None:
    recipe = {
        "inputs": {"image": IMAGE, "signal": SIGNAL},
        "objectives": {"pair": {**PAIR, "between": ["image", "signal"]}},
        "batch": {"patients": 4, "records": 2},
        "optimiser": {"steps": 3},
    }
    images = np.random.default_rng(0).random((COUNT, 1, 16, 16), dtype=np.float32)
    there = np.arange(COUNT) % 4 > 0
    samples = {"image": {"x": images, "ids": ids(), "present": there}, "signal": (waves(), {})}
    run = medcl.pretrain(recipe, samples=samples, output=tmp_path / "run")
    assert run.value.finished
    assert set(runs.load_joint(tmp_path / "run").card.sides) == {"image", "signal"}


@pytest.mark.parametrize(
    ("samples", "said"),
    [
        ({}, "none for the input signal"),
        ({"sgnal": waves()}, "'sgnal' is none of signal"),
        ({"signal": {"x": waves(), "idz": {}}}, "'idz' is none of x, ids"),
        ({"signal": (waves(), {"patient": [1, 2]})}, "2 values of 36 samples"),
        ({"signal": {"x": waves(), "channels": ["a"]}}, "1 names of 3 channels"),
        ({"signal": np.full((8, 3, 200), np.nan)}, "sample 0 has a value that is not finite"),
        ({"signal": 3}, "takes an array, a tensor, MNE Epochs or a data set"),
    ],
)
def test_samples_that_do_not_fit_are_refused(samples: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=said):
        medcl.pretrain(small(2), samples=samples, output=tmp_path / "run")
    with pytest.raises(UsageError, match="not both|missing"):
        medcl.pretrain(small(2), output=tmp_path / "run")
