"""`medcl tune`: a good setting is found on validation patients, the test patients are not read, and it goes on."""

import csv
import re
from pathlib import Path

import pyarrow as pa
import pytest
import yaml

import medcl
from medcl.archive.manifest import Manifest
from medcl.archive.split import split
from medcl.cli import main
from medcl.tune.halving import Search
from tests.pretrain.recipe import level, small

VARY = ["--vary", "optimiser.learning_rate=0,0.003", "--vary", "data.window=2,50"]
FEW = ["--labels", "100%", "--repeats", "2", "--trials", "5", "--factor", "5", "--rounds", "1", "--jobs", "1"]


@pytest.fixture(scope="module")
def archive(ecg_manifest: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of which no file of the test patients is there."""
    folder = tmp_path_factory.mktemp("tune")
    table = ecg_manifest.table
    paths, parts = table["path"].to_pylist(), table["split"].to_pylist()
    hidden = [f"nowhere/{path}" if part == "test" else path for path, part in zip(paths, parts, strict=True)]
    ecg_manifest.with_column("path", pa.array(hidden)).write(folder / "m.parquet")
    (folder / "recipe.yaml").write_text(small(steps=4).as_yaml())
    return folder


def command(archive: Path, output: Path, *more: str) -> list[str]:
    words = ["tune", str(archive / "recipe.yaml"), "--manifest", str(archive / "m.parquet"), "--target", "diagnosis"]
    return [*words, "-o", str(output), *VARY, *FEW, *more]


@pytest.fixture(scope="module")
def made(archive: Path) -> Path:
    """A search that was stopped behind its first pretraining, and gone on with."""
    assert main(command(archive, archive / "out", "--budget", "0.001s")) == 0
    assert len(rows(archive / "out")) == 1
    assert main(command(archive, archive / "out")) == 0
    return archive / "out"


def rows(folder: Path) -> list[dict[str, str]]:
    """The table of a search, without what depends on the clock."""
    with (folder / "trials.csv").open() as file:
        return [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]


def test_the_table_has_every_trial_and_the_recipe_trains(made: Path, archive: Path, tmp_path: Path) -> None:
    found = rows(made)
    assert list(found[0]) == [
        *("setting", "round", "steps divided by", "optimiser.learning_rate", "inputs.signal.data.window", "score"),
        *("100%", "100% low", "100% high", "failed"),
    ]
    # The recipe as it is, and the four that the choices allow.
    assert [row["setting"] for row in found if row["steps divided by"] == "5"] == ["0", "1", "2", "3", "4"]
    assert found[0]["inputs.signal.data.window"] == "2.0"
    for row in found:
        # Windows of 50 s fit into no recording.
        assert bool(row["failed"]) == (row["inputs.signal.data.window"] == "50.0")
        assert bool(row["score"]) != bool(row["failed"])
    best = yaml.safe_load((made / "best.yaml").read_text())
    assert best["optimiser"]["steps"] == 4
    assert best["inputs"]["signal"]["data"]["window"] == 2.0
    assert "Score by setting" in (made / "report.html").read_text()
    words = ["pretrain", str(made / "best.yaml"), "--manifest", str(archive / "m.parquet"), "-o", str(tmp_path / "run")]
    assert main(words) == 0


def test_what_is_told(archive: Path, made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command(archive, made)) == 0
    told = capsys.readouterr().out
    assert "searched: optimiser.learning_rate: 0.0, 0.003; inputs.signal.data.window: 2.0, 50.0" in told
    assert f"tried: 5 settings in {len(rows(made))} pretrainings" in told
    assert "quarantined: 2 of 5 settings" in told
    assert f"recipe: {made / 'best.yaml'}" in told
    assert told.rstrip().splitlines()[-1].startswith(f"next: medcl pretrain {made / 'best.yaml'} --manifest")


def test_the_same_command_trains_nothing_again(archive: Path, made: Path) -> None:
    before = (made / "trials.csv").read_text(), (made / "best.yaml").read_text()
    assert main(command(archive, made)) == 0
    assert ((made / "trials.csv").read_text(), (made / "best.yaml").read_text()) == before


def test_a_good_setting_is_found_in_python(ecg_manifest: Manifest, tmp_path: Path) -> None:
    manifest = split(ecg_manifest, (0.5, 0.5, 0), stratify="diagnosis")
    found = medcl.tune(
        small(steps=60, objectives={"label": level("label:diagnosis")}, optimiser={"learning_rate": 0.0}),
        manifest,
        "diagnosis",
        tmp_path / "out",
        vary={"optimiser.learning_rate": [0.0, 0.003]},
        labels="100%",
        repeats=1,
        jobs=1,
        store=tmp_path / "store",
    )
    search: Search = found.value
    assert search.ended == "every setting was tried"
    assert search.best.settings == {"optimiser.learning_rate": 0.003}
    assert search.unchanged is not None
    assert search.best.score > search.unchanged.score
    assert "These patients chose the settings" in repr(found)
    # The result stands for the recipe that was found.
    assert medcl.recipes("show", found).value.optimiser.learning_rate == 0.003


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--vary", "optimiser.learnign_rate=1,2"], "--vary optimiser.learnign_rate: no setting .*learning_rate"),
        (["--vary", "batch.patients=2,many"], "--vary batch.patients: batch.patients: expected int"),
        (["--budget", "soon"], "--budget soon: a time, such as 90s"),
        (["--splits", "[train, val]"], "splits: train, val: a search trains on train"),
        (["--target", "diagnosys"], "did you mean 'diagnosis'"),
        (["--labels", "0"], "--labels"),
        (["--hardware.devices", "2"], "a search trains on one device"),
        (["--trials", "1"], "--trials 1: at least 2"),
    ],
)
def test_wrong_words_are_told(
    archive: Path, tmp_path: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(archive, tmp_path / "out", *words)) == 2
    assert re.search(said, capsys.readouterr().err)
    assert not (tmp_path / "out").exists()


def test_there_have_to_be_validation_patients(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = Manifest.read(archive / "m.parquet")
    parts = ["train" if one == "val" else one for one in manifest.table["split"].to_pylist()]
    manifest.with_column("split", pa.array(parts)).write(tmp_path / "m.parquet")
    words = command(archive, tmp_path / "out")
    words[words.index("--manifest") + 1] = str(tmp_path / "m.parquet")
    assert main(words) == 2
    assert "no readable record in the split val" in capsys.readouterr().err
