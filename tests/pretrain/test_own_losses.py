"""Losses and similarities by a dotted path: what they get, and what is not called."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import medcl
from medcl.errors import UsageError

LOSSES = """
import torch
from torch import nn

from medcl.contrast import Similarity

SEEN = []


def apart(z1, z2, margin=0.5):
    SEEN.append((z1.shape, margin))
    return (margin - torch.cdist(z1, z2)).relu().mean() + (z1 - z2).square().mean()


class Weighed(nn.Module):
    def __init__(self, rows, temperature, start=1.0):
        super().__init__()
        self.weights = nn.Parameter(torch.full((rows,), start))

    def forward(self, z1, z2, index):
        return ((z1 - z2).square().sum(1) * self.weights[index].exp()).mean()


def scaled(power: float = 1.0) -> Similarity:
    return Similarity("scaled", lambda a, b: (a[0] @ b[0].T) * power, lambda a, b: (a, b))


def unannotated(power=1.0):
    raise AssertionError("called")
"""


@pytest.fixture(autouse=True)
def _package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "ownlosses.py").write_text(LOSSES)
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.delitem(sys.modules, "ownlosses", raising=False)


def recipe(**objective: Any) -> dict[str, Any]:
    encoder = {"name": "resnet", "dim": 8, "hidden": 8, "depth": 3, "stride": 8}
    return {
        "inputs": {"signal": {"data": {"window": 2.0}, "views": {"jitter": 0.1}, "encoder": encoder}},
        "objectives": {"own": {"of": "signal", "head": {"hidden": 8, "dim": 6}, **objective}},
        "batch": {"patients": 4, "samples": 2},
        "optimiser": {"steps": 2},
        "hardware": {"accelerator": "cpu"},
    }


def test_a_loss_gets_what_it_names_and_its_settings(ecg_manifest_path: Path, tmp_path: Path) -> None:
    medcl.pretrain(recipe(loss="ownlosses:apart", settings={"margin": 0.3}), ecg_manifest_path, tmp_path / "run")
    seen = sys.modules["ownlosses"].SEEN
    assert {margin for _, margin in seen} == {0.3}
    assert {shape[1] for shape, _ in seen} == {6}


def test_a_loss_with_a_state_is_trained(ecg_manifest_path: Path, tmp_path: Path) -> None:
    content = recipe(loss="ownlosses:Weighed", settings={"start": 0.5})
    medcl.pretrain(content, ecg_manifest_path, tmp_path / "run")
    state = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)
    (weights,) = [value for name, value in _tensors(state) if name.endswith("weights") and value.ndim == 1][:1]
    assert weights.unique().numel() > 1


def _tensors(state: Any, name: str = "") -> list[tuple[str, torch.Tensor]]:
    if isinstance(state, torch.Tensor):
        return [(name, state)]
    return [one for key, value in state.items() for one in _tensors(value, str(key))] if isinstance(state, dict) else []


def test_a_similarity_is_made_with_its_settings(ecg_manifest_path: Path, tmp_path: Path) -> None:
    content = recipe(similarity="ownlosses:scaled", similarity_settings={"power": 2.0})
    medcl.pretrain(content, ecg_manifest_path, tmp_path / "run")
    assert (tmp_path / "run" / "encoder.safetensors").is_file()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"loss": "os:system", "settings": {"command": "touch broken"}}, "loss 'os:system': is neither a function nor"),
        (
            {"loss": "subprocess:getoutput", "settings": {"cmd": "touch broken"}},
            "of embeddings, parameters named a, anch",
        ),
        ({"loss": "subprocess:Popen", "settings": {"args": "touch broken"}}, "is neither a function nor"),
        ({"similarity": "os:system", "similarity_settings": {"command": "touch broken"}}, "similarity 'os:system'"),
        ({"similarity": "subprocess:getoutput", "similarity_settings": {"cmd": "touch broken"}}, "annotated to return"),
        ({"similarity": "ownlosses:unannotated"}, "annotated to return one"),
        ({"kind": "os:system"}, r"objective 'os:system': is no subclass of medcl\.pretrain\.objectives"),
    ],
)
def test_what_is_no_loss_or_similarity_is_not_called(
    ecg_manifest_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=words):
        medcl.pretrain(recipe(**settings), ecg_manifest_path, tmp_path / "run")
    assert not (tmp_path / "broken").exists()
