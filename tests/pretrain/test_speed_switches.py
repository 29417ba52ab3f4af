"""What makes training faster and changes nothing else: compiled encoders, and numbers of 16 bits."""

from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

import medcl
from medcl import runs

from .looked_at import on_signals, values_of


def on(tmp_path: Path, manifest: Path, name: str, **hardware: Any) -> Path:
    recipe = on_signals(hardware={"accelerator": "cpu", **hardware}, optimiser={"steps": 3})
    recipe["inputs"]["signal"]["encoder"] |= {"dropout": 0.0, "depth": 1, "stride": 2}
    medcl.pretrain(recipe, manifest, tmp_path / name)
    return tmp_path / name


@pytest.fixture
def plain(ecg_manifest_path: Path, tmp_path: Path) -> Path:
    return on(tmp_path, ecg_manifest_path, "plain")


@pytest.mark.acceptance
def test_a_compiled_encoder_is_the_same(plain: Path, ecg_manifest_path: Path, tmp_path: Path) -> None:
    compiled = on(tmp_path, ecg_manifest_path, "compiled", compile=True)
    for one, other in zip(values_of(plain), values_of(compiled), strict=True):
        assert other == pytest.approx(one, rel=1e-5)
    weights = load_file(compiled / runs.WEIGHTS)
    assert weights.keys() == load_file(plain / runs.WEIGHTS).keys()
    assert not [name for name in weights if "_orig_mod" in name]
    runs.load(compiled)


def test_bfloat16_has_nearly_the_same_losses(plain: Path, ecg_manifest_path: Path, tmp_path: Path) -> None:
    short = on(tmp_path, ecg_manifest_path, "short", precision="bf16-mixed")
    for one, other in zip(values_of(plain), values_of(short), strict=True):
        assert other == pytest.approx(one, rel=0.02)
    assert values_of(plain) != values_of(short)
