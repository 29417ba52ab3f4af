"""Two processes train as one: the same batches, views, losses and weights."""

import csv
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from medcl import runs
from medcl.archive.manifest import Manifest
from medcl.modality.base import plain
from medcl.modality.signal.config import SignalViewsConfig
from medcl.pretrain.config import BatchConfig, CometConfig, HardwareConfig, PretrainConfig
from medcl.pretrain.run import pretrain
from medcl.pretrain.volume_config import VolumeBatchConfig, VolumePretrainConfig

from . import volume_recipe
from .recipe import small

ROOT, LIMIT = Path(__file__).parents[2], 300
EVERYTHING = SignalViewsConfig(
    mask="continuous", jitter=0.05, scale=0.1, crop=0.5, time_warp=0.2, permutation=3, phase_surrogate=0.5, reverse=0.5
)


def on_signals(comet: CometConfig) -> PretrainConfig:
    # Five patients: the two processes have batches of different size. What is random in the encoder is not shared.
    config = small(steps=5, comet=comet, views=EVERYTHING, batch=BatchConfig(patients=5, trials=2, samples=2))
    return replace(config, encoder=replace(config.encoder, dropout=0.0), hardware=HardwareConfig(accelerator="cpu"))


def on_volumes(config: VolumePretrainConfig, reuse: int = 1) -> VolumePretrainConfig:
    # Three patients, and statistics of a batch are those of a process.
    batch = VolumeBatchConfig(3, 1, 2, reuse=reuse)
    return replace(volume_recipe.encoder(config, norm="group", stride=2), batch=batch)


RECIPES: dict[str, PretrainConfig | VolumePretrainConfig] = {
    "comet": on_signals(CometConfig(identity="pooled", projection=8)),
    "comet with a view for each level": on_signals(CometConfig(views="per-level")),
    "both stages": on_volumes(volume_recipe.local(across=True), reuse=2),
    "densecl": on_volumes(volume_recipe.small(method="densecl")),
    "pixpro": on_volumes(volume_recipe.small(method="pixpro")),
}


def manifest_path(config: PretrainConfig | VolumePretrainConfig, ecg: Path, mr: Path) -> Path:
    return ecg if isinstance(config, PretrainConfig) else mr


@pytest.fixture(scope="module")
def on_two(ecg_manifest_path: Path, mr_manifest_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of each recipe, trained by two processes."""
    folder = tmp_path_factory.mktemp("on2")
    calls = []
    for name, config in RECIPES.items():
        recipe = folder / f"{name}.yaml"
        recipe.write_text(yaml.safe_dump(plain(config)))
        manifest = manifest_path(config, ecg_manifest_path, mr_manifest_path)
        words = ["pretrain", "--config", recipe, "--manifest", manifest, "-o", folder / name]
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
    if isinstance(config, PretrainConfig):
        assert {"patient", "trial", "sample", "observation", "total"} < one[0].keys()
    for alone, together in zip(one, two, strict=True):
        assert together == pytest.approx(alone, rel=2e-4)
    first, second = (load_file(folder / runs.WEIGHTS) for folder in (tmp_path / "on1", on_two / name))
    for weights in first:
        torch.testing.assert_close(first[weights], second[weights], rtol=1e-3, atol=1e-4)
