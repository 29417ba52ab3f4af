"""The subject layer: each patient trains a matrix of their own; what is kept is the mean of them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import medcl
from medcl import runs
from medcl.pretrain.subjects import Subjects

RECIPE: dict[str, Any] = {
    "inputs": {
        "eeg": {
            "modality": "signal",
            "encoder": {"name": "resnet", "dim": 8, "hidden": 8, "depth": 1, "stride": 2, "subject_layer": True},
        }
    },
    "objectives": {"one": {"of": "eeg", "positives": "trial", "head": {"hidden": 8, "dim": 8}}},
    "batch": {"patients": 4, "samples": 4},
    "optimiser": {"steps": 12, "learning_rate": 0.01, "weight_decay": 0.0, "average": "none"},
    "hardware": {"accelerator": "cpu"},
}


def samples() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    subject = np.repeat([7, 3, 11, 5], 8)
    x = rng.normal(size=(32, 3, 48)).astype(np.float32)
    trial = np.repeat(np.arange(16), 2)
    return {"x": x, "ids": {"patient": subject, "trial": trial}, "sampling_rate": 32, "channels": ["C3", "Cz", "C4"]}


def kept(folder: Path) -> dict[str, torch.Tensor]:
    content = torch.load(folder / runs.CHECKPOINT, weights_only=True)
    found: dict[str, torch.Tensor] = content["method"]
    return found


def test_patients_who_are_not_trained_on_have_the_mean() -> None:
    torch.manual_seed(0)
    subjects = Subjects(np.array([3, 5, 9]), 2)
    torch.nn.init.normal_(subjects.matrices)
    own = subjects(torch.tensor([9, 3, 5, 4, 100, -1]))
    torch.testing.assert_close(own[:3].sum(dim=0), torch.zeros(2, 2), atol=1e-6, rtol=0)
    torch.testing.assert_close(own[1], subjects.matrices[0] - subjects.matrices.mean(dim=0))
    assert not own[3:].any()


def test_each_patient_learns_a_matrix_and_the_run_keeps_the_mean(tmp_path: Path) -> None:
    medcl.pretrain(RECIPE, samples={"eeg": samples()}, output=tmp_path / "run")
    state = kept(tmp_path / "run")
    matrices = state["subjects.eeg.matrices"]
    assert matrices.shape == (4, 3, 3)
    assert torch.pdist(matrices.flatten(1)).min() > 1e-3
    encoder = runs.load(tmp_path / "run").encoder
    assert not [name for name in encoder.state_dict() if "matrices" in name]
    torch.testing.assert_close(encoder.subject.mean, state["encoders.eeg.subject.mean"])
    assert not torch.allclose(encoder.subject.mean, torch.eye(3), atol=1e-3)
    x = torch.from_numpy(samples()["x"])
    every = matrices - matrices.mean(dim=0)
    mapped = torch.stack([(encoder.subject.mean + one) @ x[0] for one in every]).mean(dim=0)
    torch.testing.assert_close(encoder.subject(x[:1])[0], mapped)


@pytest.mark.parametrize("chunk", [0, 3])
def test_a_stop_or_chunks_change_nothing(tmp_path: Path, chunk: int) -> None:
    found = RECIPE | {"hardware": {"accelerator": "cpu", "chunk": chunk}}
    given = {"eeg": samples()}
    medcl.pretrain(RECIPE, samples=given, output=tmp_path / "whole")
    medcl.pretrain(found, samples=given, output=tmp_path / "parts", until=5)
    medcl.pretrain(found, samples=given, output=tmp_path / "parts", resume=True)
    one, other = kept(tmp_path / "whole"), kept(tmp_path / "parts")
    for name, value in one.items():
        torch.testing.assert_close(other[name], value, atol=0 if not chunk else 1e-4, rtol=0 if not chunk else 1e-3)
