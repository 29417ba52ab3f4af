"""`medcl reduce --evaluate`: every arm with its controls, on patients that no encoder has seen, and resumable."""

import json
from pathlib import Path

import pytest

from medcl.cli import main
from medcl.commands.reduction_experiment import findings
from medcl.evaluate.results import Results

from ..reduce.redundant_volumes import RECIPE, SLICES, archive


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A folder with the results of an experiment, and its command."""
    folder = tmp_path_factory.mktemp("evaluate")
    archive(folder / "files").write(folder / "m.parquet")
    (folder / "recipe.yaml").write_text(RECIPE)
    command = ["reduce", str(folder / "m.parquet"), "--evaluate", str(folder / "out"), "--by", "hash", "--seeds", "1"]
    command += ["--threshold", "0", "--target", "lesion", "--folds", "1", "--jobs", "1"]
    command += ["--config", str(folder / "recipe.yaml")]
    assert main(command) == 0
    return folder, command


def test_every_arm_has_its_controls(made: tuple[Path, list[str]]) -> None:
    results = Results.load(made[0] / "out" / "results.json")
    reduced = [
        f"{by} (same {budget})" for by in ("hash 0", "as many at random as hash 0") for budget in ("steps", "epochs")
    ]
    assert [arm.name for arm in results.arms] == ["all", *reduced, "random"]
    assert results.items == "slices"
    assert (results.protocols, results.metric) == (("probe",), "auroc")
    for arm in results.arms[1:-1]:
        # Of each of three patients at most every other slice, and one of the blank ones, is kept.
        assert arm.facts["units"] == 3 * SLICES // 2
        assert arm.facts["share"] == 0.5
        assert arm.facts["steps"] == (4 if arm.name.endswith("steps)") else 2)
    assert all(0 <= score.metrics["auroc"] <= 1 for score in results.scores)
    # Of the two test patients: ten slices that are not blank each, of which six show the lesion.
    assert results.splits["test"].records == 20
    assert results.splits["test"].per_class["present"] == 12
    assert (made[0] / "out" / "report.html").exists()


def test_a_finding_claims_no_more_than_its_interval(made: tuple[Path, list[str]]) -> None:
    results = Results.load(made[0] / "out" / "results.json")
    (said,) = findings(results)
    assert said in results.notes
    assert said.startswith("hash 0 (same epochs): 50% of the units and ")
    for one in results.differences:
        if {one.arm, one.other} == {"all", "hash 0 (same epochs)"} and one.metric == "auroc":
            assert ("a difference is not shown" in said.split(". The difference")[0]) is not one.excludes_zero
    assert "no difference" not in said


def test_no_encoder_has_seen_the_patients_of_its_test(made: tuple[Path, list[str]]) -> None:
    runs = list((made[0] / "out" / "fold-0" / "seed-0").iterdir())
    assert len(runs) == 5
    for run in runs:
        assert "splits:\n- train" in (run / "recipe.yaml").read_text()
        assert len((run / "patients.txt").read_text().splitlines()) == 1 + 3


def test_the_same_command_takes_what_is_finished(made: tuple[Path, list[str]]) -> None:
    folder, command = made
    before = json.loads((folder / "out" / "results.json").read_text())
    weights = {path: path.stat().st_mtime_ns for path in (folder / "out").rglob("encoder.safetensors")}
    assert main(command) == 0
    after = json.loads((folder / "out" / "results.json").read_text())
    assert {**after, "created": "", "crc32": ""} == {**before, "created": "", "crc32": ""}
    assert {path: path.stat().st_mtime_ns for path in (folder / "out").rglob("encoder.safetensors")} == weights


def test_another_recipe_needs_another_folder(
    made: tuple[Path, list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(RECIPE.replace("steps: 4", "steps: 5"))
    assert main([*made[1][:-1], str(other)]) == 2
    assert "choose another folder" in capsys.readouterr().err


def test_a_folder_of_an_older_version_is_told(
    made: tuple[Path, list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = tmp_path / "out"
    (old / "fold-0" / "seed-0" / "all").mkdir(parents=True)
    (old / "fold-0" / "seed-0" / "all" / "evaluated.json").write_text("{}")
    (old / "results.json").write_text(json.dumps({"target": "lesion", "metric": "auroc", "cells": []}))
    assert main([*made[1], "--evaluate", str(old)]) == 2
    assert "by an older version: choose another folder" in capsys.readouterr().err
    assert main(["compare", str(old)]) == 1
    assert "states no version" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--target", "tumour"], "it has lesion"),
        (["--folds", "7"], "6 patients"),
        (["--seeds", "0"], "at least 1"),
        (["--by", "nonsense"], "nonsense"),
    ],
)
def test_bad_words_are_told(
    made: tuple[Path, list[str]], words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*made[1], "--evaluate", str(made[0] / "bad"), *words]) == 2
    assert said in capsys.readouterr().err


def test_target_and_recipe_have_to_be_said(made: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reduce", made[1][1], "--evaluate", "x"]) == 2
    assert "--config and --target" in capsys.readouterr().err
