"""Each command says what to type next, and what it says can be typed."""

import shlex
from pathlib import Path

import pytest

from medcl import documents
from medcl.api import COMMANDS
from medcl.cli import main
from medcl.commands.parsers import parse
from medcl.modality import WINGS, wing


def next_of(capsys: pytest.CaptureFixture[str]) -> list[str]:
    last = capsys.readouterr().out.rstrip().splitlines()[-1]
    assert last.startswith("next: ")
    return shlex.split(last.removeprefix("next: "))


def test_each_line_is_the_next_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    steps = ["--optimiser.steps", "2", "--batch.patients", "4", "--encoder.hidden", "8", "--encoder.dim", "16"]
    more = {
        "scan": ["--fractions", "0.5", "0.25", "0.25"],
        "pretrain": ["--monitor.every", "0", *steps],
        "finetune": ["--labels", "100%", "--protocols", "probe", "--repeats", "2", "--bootstrap", "20"],
    }
    assert main(["phantom", "data folder", "--ecg-patients", "16", "--eeg-subjects", "0"]) == 0
    for name in ("scan", "pretrain", "finetune"):
        words = next_of(capsys)
        assert words[:2] == ["medcl", name]
        assert main([*words[1:], *more[name]]) == 0, words
    words = next_of(capsys)
    assert words[:2] == ["medcl", "predict"]
    assert Path(words[2]).is_dir()
    words[words.index("NEW.parquet")] = "ecg.parquet"
    assert main(words[1:]) == 0
    capsys.readouterr()
    assert main(["embed", "runs/ecg", "--manifest", "ecg.parquet", "-o", "e.parquet"]) == 0
    words = next_of(capsys)
    assert words == ["medcl", "explore", "e.parquet"]
    assert main([*words[1:], "--projection", "pca", "--thumbnails", "none"]) == 0
    words = next_of(capsys)
    assert parse(COMMANDS[words[1]], words[2:])["record"] == "ID"


def test_every_wing_begins_with_a_shipped_recipe() -> None:
    shipped = documents.shipped("recipe")
    for name in WINGS:
        found = wing(name).first_recipes
        assert found[""] in shipped
        assert set(found.values()) <= set(shipped)
