"""Two processes train as one: the same batches, views, losses and weights."""

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from medcl import runs
from medcl.archive.manifest import Manifest
from medcl.pretrain.recipe import Recipe
from medcl.pretrain.run import pretrain

from . import volume_recipe
from .recipe import level, small, within

ROOT, LIMIT = Path(__file__).parents[2], 300
EVERYTHING = {
    **{"mask": "continuous", "jitter": 0.05, "scale": 0.1, "crop": 0.5, "time_warp": 0.2, "permutation": 3},
    **{"phase_surrogate": 0.5, "reverse": 0.5},
}


def on_signals(objectives: dict[str, Any] | None = None) -> Recipe:
    # Five patients: the two processes have batches of different size. What is random in the encoder is not shared.
    still = {"signal": {"encoder": {"dropout": 0.0}, "views": EVERYTHING}}
    return small(5, objectives, inputs=still, batch={"patients": 5}, hardware={"accelerator": "cpu"})


def on_volumes(objectives: dict[str, Any], reuse: int = 1, **more: Any) -> Recipe:
    # Three patients, and statistics of a batch are those of a process.
    network = volume_recipe.network(norm="group", stride=2)
    return volume_recipe.of(objectives, inputs=network, batch={"reuse": reuse}, **more)


APART = {"masked": False, "apart": True}
ALIGNED = {"loss": "identity", "dense": True, "head": {"dim": 0}, **APART}
SMALL = {"hidden": 8, "projection": 8}
RECIPES = {
    "comet": on_signals(),
    "comet with a view for each level": on_signals(
        {
            "patient": level("patient", **ALIGNED),
            "trial": level("trial", **ALIGNED),
            "within": {**within(sample=0.25, observation=0.25), "apart": True},
        }
    ),
    "queue": on_signals({"moco": level("trial", negatives={"queue": 12, "batch": False})}),
    "both stages": on_volumes(
        {"global": volume_recipe.G_D, "local": {**volume_recipe.LOCAL, "across": True}},
        reuse=2,
        stages=volume_recipe.STAGED["stages"],
    ),
    "densecl": on_volumes({"dense": {"kind": "densecl", "of": "volume", "queue": 16, **SMALL}}),
    "pixpro": on_volumes({"pixpro": {"kind": "pixpro", "of": "volume", **SMALL}}),
    "swav": on_volumes({"swav": {"kind": "swav", "of": "volume", "prototypes": 8, "queue": 12}}),
}


def manifest_path(recipe: Recipe, ecg: Path, mr: Path) -> Path:
    return ecg if "signal" in recipe.inputs else mr


@pytest.fixture(scope="module")
def on_two(ecg_manifest_path: Path, mr_manifest_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of each recipe, trained by two processes."""
    folder = tmp_path_factory.mktemp("on2")
    calls = []
    for name, config in RECIPES.items():
        recipe = folder / f"{name}.yaml"
        recipe.write_text(config.as_yaml())
        manifest = manifest_path(config, ecg_manifest_path, mr_manifest_path)
        words = ["pretrain", recipe, "--manifest", manifest, "-o", folder / name]
        calls.append([*map(str, words), "--hardware.devices", "2", "--hardware.accelerator", "cpu"])
    program = [sys.executable, "-m", "tests.pretrain.commands", json.dumps(calls)]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def curve(folder: Path) -> list[dict[str, float]]:
    apart = {"stage", "samples_per_second"}
    with (folder / runs.METRICS).open() as lines:
        return [
            {name: float(value) for name, value in row.items() if value and name not in apart}
            for row in csv.DictReader(lines)
        ]


@pytest.mark.parametrize("name", RECIPES)
def test_two_devices_train_as_one(
    name: str, on_two: Path, ecg_manifest_path: Path, mr_manifest_path: Path, tmp_path: Path
) -> None:
    config = RECIPES[name]
    manifest = manifest_path(config, ecg_manifest_path, mr_manifest_path)
    pretrain(config, Manifest.read(manifest), manifest.with_suffix(".store"), tmp_path / "on1")
    one, two = curve(tmp_path / "on1"), curve(on_two / name)
    assert len(one) > 2
    assert len(one[0]) > 2
    for alone, together in zip(one, two, strict=True):
        assert together == pytest.approx(alone, rel=2e-4)
    first, second = (load_file(folder / runs.WEIGHTS) for folder in (tmp_path / "on1", on_two / name))
    for weights in first:
        torch.testing.assert_close(first[weights], second[weights], rtol=1e-3, atol=1e-4)
