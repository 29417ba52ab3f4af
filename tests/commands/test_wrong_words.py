"""Every command names the nearest right word for a wrong one, and prints no page of usage."""

import re
import tomllib
from pathlib import Path

import pytest
import torch

from medcl import documents
from medcl.cli import COMMANDS, main
from medcl.errors import UsageError
from medcl.pretrain.devices import fabric_for
from medcl.pretrain.recipe import HardwareConfig
from tests.modality.written import waves, write_edf


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(list(words)) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "usage:" not in told.err
    assert told.err.count("\n") == 1
    return told.err


@pytest.mark.parametrize("command", COMMANDS)
def test_an_unknown_flag_is_named_even_where_others_are_missing(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    known = {"phantom": "--seed", "compare": "--names", "scan": "--patient-column"}.get(command, "--manifest")
    positional = {"split": "--stratify", "reduce": "--threshold", "explore": "--projection", "condense": "--target"}
    known = positional.get(command, known)
    wrong = known[:-2] + known[-1] + known[-2]
    assert f"no flag '{wrong}'; did you mean '{known}'?" in said(capsys, command, wrong, "x")


@pytest.mark.parametrize("word", ["scna", "finetun", "--verison"])
def test_an_unknown_command(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    right = {"scna": "scan", "finetun": "finetune", "--verison": "--version"}[word]
    assert f"did you mean '{right}'?" in said(capsys, word)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["scan", "x", "-o", "m", "--modality", "egc"], "--modality: 'egc' is none of ecg, .*did you mean 'ecg'"),
        (["scan", "x", "-o", "m", "--card", "ptbxxl"], "card ptbxxl: there is no such file.*did you mean 'ptbxl'"),
        (["finetune", "x", "--manifest", "m", "--target", "y", "--protocols", "prob"], "did you mean 'probe'"),
        (["finetune", "x", "--manifest", "m", "--finetune.stps", "3"], "no flag '--finetune.stps'.* 'steps'"),
        (
            ["pretrain", "--config", "ecg_comt", "--manifest", "m", "-o", "r"],
            "recipe ecg_comt: there is no such file.*did you mean 'ecg_comet'",
        ),
        (
            ["pretrain", "--config=ecg_comet", "--optimiser.stpes", "3", "--manifest", "m", "-o", "r"],
            "no flag '--optimiser.stpes'.*mean 'steps'",
        ),
        (["pretrain", "--config", "ecg_comet", "--steps", "3"], "no flag '--steps'; did you mean '--optimiser.steps'"),
        (
            ["prepare", "ecg_comt", "--manifest", "m"],
            "recipe ecg_comt: there is no such file.*did you mean 'ecg_comet'",
        ),
        (["prepare", "--manifest", "m"], "a recipe is needed: .*ecg_comet"),
        (["prepare", "--method", "comett", "--manifest", "m"], "'comett' is none of .*did you mean 'comet'"),
        (
            ["pretrain", "ecg_comet", "--manifest", "m", "-o", "r", "--objectives.trial.weigth", "1"],
            "no flag '--objectives.trial.weigth'.* did you mean 'weight'",
        ),
        (
            ["pretrain", "ecg_comet", "--manifest", "m", "-o", "r", "--objectives.trail.weight", "1"],
            "objectives: 'trail' is none of patient, trial, within; did you mean 'trial'",
        ),
        (["pretrain", "ecg_comet", "--manifest", "m", "-o", "r", "--optimiser.steps", "many"], "got 'many'"),
        (
            ["pretrain", "ecg_comet", "--manifest", "m", "-o", "r", "--optimiser.average", "eam"],
            "optimiser.average: 'eam' is none of swa, ema, none; did you mean 'ema'",
        ),
        (["embed", "run"], "the following arguments are required: -o/--output"),
    ],
)
def test_wrong_values(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    err = said(capsys, *words)
    assert re.search(told, err), err


@pytest.mark.parametrize(
    ("recipe", "told"),
    [
        ("optimiser: {stpes: 3}", "no setting 'optimiser.stpes'; optimiser has steps, .*did you mean 'steps'"),
        ("optimizer: {steps: 3}", "no setting 'optimizer'; did you mean 'optimiser'"),
        ("steps: 3", "no setting 'steps'; did you mean 'optimiser.steps'"),
        (
            "method: convirt\nreport: {}\nimage: {encoder: {nmae: unet}}",
            "no setting 'inputs.image.encoder.nmae'.*did you mean 'name'",
        ),
        ("- 1", "holds no settings"),
        ("comet:", "comet holds no settings: give it some"),
        ("method: global-local\nlocal_views:", "local_views holds no settings"),
        ("method: convirt\nreport: {}\nimage:\n  encoder:", "inputs.image.encoder holds no settings"),
    ],
)
def test_a_wrong_key_of_a_recipe(recipe: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(recipe)
    err = said(capsys, "pretrain", "--config", str(path), "--manifest", "m.parquet", "-o", str(tmp_path / "run"))
    assert re.search(f"recipe .*r.yaml: {told}", err), err


def test_a_setting_that_is_a_mapping_takes_any_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["pretrain", "--config", "ecg_comet", "--manifest", str(tmp_path / "none.parquet"), "-o", str(tmp_path)]
    err = said(capsys, *words, "--objectives.within.levels", "{sample: 1.0}")
    assert "there is no such manifest" in err


def test_shipped_files_go_by_their_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert documents.find("card", "ptbxl").name == "ptbxl.yaml"
    assert documents.find("card", "datasets/ptbxl.yaml").is_file()
    assert documents.find("recipe", "ecg_comet.yaml") == documents.find("recipe", "ecg_comet")
    assert documents.find("prompts", "ptbxl").parent.name == "prompts"
    own = tmp_path / "ptbxl"
    own.write_text("x: 1")
    assert documents.find("card", "ptbxl") == Path("ptbxl"), "a file that is there comes first"
    with pytest.raises(UsageError, match="card elsewhere/ptbxl.yaml: there is no such file"):
        documents.find("card", "elsewhere/ptbxl.yaml")


def test_a_wheel_holds_cards_recipes_and_prompts() -> None:
    """Of the mapping that setuptools follows: the folders beside the package become parts of it."""
    root = Path(__file__).parents[2]
    settings = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]
    held: dict[str, set[str]] = {}
    for package in ("medcl.datasets", "medcl.pipelines"):
        folder, patterns = root / settings["package-dir"][package], settings["package-data"][package]
        held[package] = {path.name for pattern in patterns for path in folder.glob(pattern)}
    assert {f"{name}.yaml" for name in documents.shipped("card")} <= held["medcl.datasets"]
    both = [*documents.shipped("recipe"), *documents.shipped("prompts")]
    assert {f"{name}.yaml" for name in both} <= held["medcl.pipelines"]


@pytest.mark.parametrize(
    ("count", "words"), [(1, "requested 1 CUDA device, found 0"), (2, "requested 2 CUDA devices, found 0")]
)
def test_devices_that_are_not_there(count: int, words: str) -> None:
    if torch.cuda.is_available():
        pytest.skip("there are CUDA devices here")
    with pytest.raises(UsageError, match=words):
        fabric_for(HardwareConfig(accelerator="cuda", devices=count))


def test_a_label_table_is_read_before_the_archive(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive = tmp_path / "archive"
    archive.mkdir()
    write_edf(archive / "a.edf", waves())
    for name, told in (("none.csv", "no such file"), ("t.xlsx", "a label table is .csv")):
        words = [
            "scan",
            str(archive),
            "--labels",
            str(tmp_path / name),
            "--record-column",
            "record",
            "--target-columns",
            "age",
        ]
        assert told in said(capsys, *words, "-o", str(tmp_path / "m.parquet"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["archive"]
