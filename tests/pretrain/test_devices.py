"""Two processes train as one: the same batches, views, losses and weights."""

import csv
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
from medcl.pretrain.config import BatchConfig, CometConfig, HardwareConfig
from medcl.pretrain.job import plain
from medcl.pretrain.run import pretrain
from medcl.pretrain.volume_config import VolumeBatchConfig, VolumePretrainConfig
from medcl.views.config import SignalViewsConfig

from . import volume_recipe
from .recipe import small

LIMIT = 180
EVERYTHING = SignalViewsConfig(
    mask="continuous", jitter=0.05, scale=0.1, crop=0.5, time_warp=0.2, permutation=3, phase_surrogate=0.5, reverse=0.5
)


def train(folder: Path, manifest: Path, devices: int, recipe: Path) -> subprocess.CompletedProcess[str]:
    words = ["pretrain", "--config", str(recipe), "--manifest", str(manifest), "-o", str(folder)]
    return subprocess.run(
        [sys.executable, "-m", "medcl", *words, "--hardware.devices", str(devices), "--hardware.accelerator", "cpu"],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )


def text_curve(folder: Path) -> list[dict[str, str]]:
    with (folder / runs.METRICS).open() as lines:
        rows = list(csv.DictReader(lines))
    return [{name: value for name, value in row.items() if name != "samples_per_second"} for row in rows]


def curve(folder: Path) -> list[dict[str, float]]:
    return [{name: float(value) for name, value in row.items()} for row in text_curve(folder)]


@pytest.mark.parametrize("comet", [CometConfig(identity="pooled", projection=8), CometConfig(views="per-level")])
def test_two_devices_have_the_loss_curve_of_one(comet: CometConfig, ecg_manifest_path: Path, tmp_path: Path) -> None:
    # Five patients: the two processes have batches of different size. What is random in the encoder is not shared.
    config = small(steps=5, comet=comet, views=EVERYTHING, batch=BatchConfig(patients=5, trials=2, samples=2))
    config = replace(config, encoder=replace(config.encoder, dropout=0.0), hardware=HardwareConfig(accelerator="cpu"))
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(plain(config)))
    pretrain(config, Manifest.read(ecg_manifest_path), ecg_manifest_path.with_suffix(".store"), tmp_path / "on1")
    done = train(tmp_path / "on2", ecg_manifest_path, 2, recipe)
    assert done.returncode == 0, done.stderr
    one, two = curve(tmp_path / "on1"), curve(tmp_path / "on2")
    assert len(one) == 5
    assert {"patient", "trial", "sample", "observation", "total"} < one[0].keys()
    for alone, together in zip(one, two, strict=True):
        assert together == pytest.approx(alone, rel=2e-4)
    first, second = (load_file(tmp_path / f"on{devices}" / runs.WEIGHTS) for devices in (1, 2))
    for name in first:
        torch.testing.assert_close(first[name], second[name], rtol=1e-3, atol=1e-4)


ON_VOLUMES = {
    "both stages": volume_recipe.local(across=True),
    "densecl": volume_recipe.small(method="densecl"),
    "pixpro": volume_recipe.small(method="pixpro"),
}


@pytest.mark.parametrize("config", ON_VOLUMES.values(), ids=ON_VOLUMES)
def test_two_devices_train_on_volumes_as_one(
    config: VolumePretrainConfig, mr_manifest_path: Path, tmp_path: Path
) -> None:
    # Three patients: the two processes have batches of different size. Batch statistics are those of a process.
    config = replace(volume_recipe.encoder(config, norm="group", stride=2), batch=VolumeBatchConfig(3, 1, 2))
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(plain(config)))
    pretrain(config, Manifest.read(mr_manifest_path), mr_manifest_path.with_suffix(".store"), tmp_path / "on1")
    done = train(tmp_path / "on2", mr_manifest_path, 2, recipe)
    assert done.returncode == 0, done.stderr
    numbers = [
        [{name: float(value) for name, value in row.items() if value and name != "stage"} for row in whole]
        for whole in (text_curve(tmp_path / "on1"), text_curve(tmp_path / "on2"))
    ]
    for alone, together in zip(*numbers, strict=True):
        assert together == pytest.approx(alone, rel=2e-4)
    first, second = (load_file(tmp_path / f"on{devices}" / runs.WEIGHTS) for devices in (1, 2))
    for name in first:
        torch.testing.assert_close(first[name], second[name], rtol=1e-3, atol=1e-4)
