"""What a recipe meets in an archive is told before anything is decoded."""

from pathlib import Path

import pytest

import medcl
from medcl.archive.manifest import Manifest
from medcl.cli import main
from medcl.pretrain.forecast import forecast

from . import volume_recipe
from .recipe import level, small


def test_levels_channels_and_positives_are_counted(ecg_manifest: Manifest) -> None:
    found = forecast(small(objectives={"patient": level("patient"), "sex": level("label:sex")}), ecg_manifest)
    told = str(found)
    train = ecg_manifest.ok().select(ecg_manifest.ok().split_rows("train"))
    assert f"{len(train)} recordings" in told
    assert f"{len(set(train.column('patient').tolist()))} x patient" in told
    assert "12 channels at 100 Hz: I, II" in told
    assert "100% of anchors have one" in told
    assert "a step of 16 samples: about" in told
    assert not found.problems


def test_a_level_without_positives_is_said(ecg_manifest: Manifest) -> None:
    recipe = small(objectives={"trial": level("trial")}, batch={"records": 1, "samples": 1})
    assert "0% of anchors have one" in str(forecast(recipe, ecg_manifest))
    assert "raise batch.records or batch.samples" in str(forecast(recipe, ecg_manifest))


def test_what_the_archive_has_not_is_a_problem(ecg_manifest: Manifest, mr_manifest: Manifest) -> None:
    found = forecast(small(objectives={"one": level("label:tumour"), "two": level("beat")}), ecg_manifest)
    assert "the archive has no ids for tumour" in found.problems[0]
    assert "the archive has no ids for beat" in found.problems[1]
    assert "no recordings in the splits train" in forecast(small(), mr_manifest).problems[0]
    assert "volumes" in str(forecast(volume_recipe.staged(), mr_manifest))


def test_the_command_lists_shows_copies_and_checks(
    ecg_manifest_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["recipes"]) == 0
    assert "ecg_comet " in capsys.readouterr().out
    assert main(["recipes", "show", "demo_comet"]) == 0
    shown = capsys.readouterr().out
    assert "checkpoint_every: 200" in shown
    (tmp_path / "whole.yaml").write_text(shown)
    whole = medcl.recipes("show", "whole.yaml").value
    assert whole == medcl.recipes("show", "demo_comet").value, "what is shown is a recipe"
    assert main(["recipes", "copy", "demo_comet"]) == 0
    assert "inputs:" in (tmp_path / "demo_comet.yaml").read_text()
    assert main(["recipes", "copy", "demo_comet"]) == 2, "nothing is overwritten"
    assert main(["recipes", "check", "demo_comet"]) == 2
    assert main(["recipes", "check", "demo_comet", "--manifest", str(ecg_manifest_path)]) == 0
    assert "12 channels" in capsys.readouterr().out
    assert main(["recipes", "check", "demo_volumes", "--manifest", str(ecg_manifest_path)]) == 1
    assert "demo_volumes does not fit this archive" in capsys.readouterr().err
    assert main(["recipes", "show"]) == 2
