"""Losses and measures in Weights & Biases and in MLflow, on this machine, and what is said where these are not."""

from importlib.util import find_spec
from pathlib import Path

import pytest

import medcl
from medcl.cli import main
from medcl.errors import UsageError
from medcl.pretrain.loggers import loggers

from .looked_at import on_signals

PACKAGES = ("wandb", "mlflow")


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_that_is_not_installed_is_named_with_its_command(name: str, tmp_path: Path) -> None:
    if find_spec(name) is not None:
        pytest.skip(f"{name} is installed")
    with (
        pytest.raises(UsageError, match=rf"--logger {name} needs .* `pip install 'medcl\[{name}\]'`"),
        loggers(name, tmp_path),
    ):  # type: ignore[arg-type]
        pass
    assert not list(tmp_path.iterdir())


def test_a_logger_that_there_is_not_is_a_wrong_call(
    ecg_manifest_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["pretrain", "ecg_comet", "--manifest", str(ecg_manifest_path), "-o", str(tmp_path), "--logger", "paper"]
    assert main(words) == 2
    assert "wandb" in capsys.readouterr().err


@pytest.mark.parametrize("name", PACKAGES)
def test_numbers_and_nothing_else_are_logged_on_this_machine(
    name: str, ecg_manifest_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(name)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    recipe = on_signals(optimiser={"steps": 2}, monitor={"every": 2, "batches": 1})
    medcl.pretrain(recipe, ecg_manifest_path, tmp_path / "run", logger=name)
    written = [
        path for path in (tmp_path / "run" / ("wandb" if name == "wandb" else "mlruns")).rglob("*") if path.is_file()
    ]
    content = b"".join(path.read_bytes() for path in written) + " ".join(map(str, written)).encode()
    for metric in ("within.sample", "learning_rate", "rank.signal"):
        assert metric.encode() in content
    assert str(ecg_manifest_path.parent).encode() not in content
    if name == "wandb":
        assert any("offline-run" in str(path) for path in written)
