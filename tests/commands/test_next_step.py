"""Each command says what to type next, and what it says can be typed."""

import shlex
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from medcl import documents
from medcl.api import COMMANDS
from medcl.archive.manifest import Manifest
from medcl.cli import main
from medcl.commands.next_step import after_pretrain
from medcl.commands.parsers import parse
from medcl.modality import WINGS, wing
from tests.evaluate import multimodal_run
from tests.modality.signal.formats.write_signals import TWELVE
from tests.modality.written import waves, write_edf, write_wfdb

RECIPE = """
inputs:
  image: {modality: image, data: {size: [16, 16]}, encoder: {name: resnet, widths: [8, 8, 8, 8], dim: 8, norm: group}}
objectives: {pair: {of: image, positives: item}}
batch: {patients: 4}
optimiser: {steps: 2}
"""


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


@pytest.fixture(scope="module")
def joint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on images with reports, its manifest and its embeddings."""
    folder = tmp_path_factory.mktemp("joint run")
    manifest = multimodal_run.archive(folder / "archive", patients=12)
    manifest.write(folder / "m.parquet")
    patient = manifest.column("patient")
    sites = manifest.with_column("site", pa.array(["ab"[one % 2] for one in patient]))
    sites.with_column("split", pa.array(["train"] * len(patient))).write(folder / "sites.parquet")
    multimodal_run.trained(folder / "run", manifest, folder / "m.store", steps=1)
    words = ["embed", str(folder / "run"), "--manifest", str(folder / "m.parquet"), "--jobs", "1"]
    assert main([*words, "-o", str(folder / "e.parquet")]) == 0
    measured = ["evaluate", *words[1:], "--bootstrap", "0", "--images", "0"]
    assert main(measured) == 0
    return folder


FORMS = [
    "phantom new --ecg-patients 0 --eeg-subjects 0 --mr-patients 1",
    "recipes",
    "recipes show image_simclr",
    "recipes copy image_simclr",
    "recipes check one.yaml --manifest m.parquet",
    "prepare one.yaml --manifest m.parquet --jobs 1",
    "pretrain one.yaml --manifest m.parquet -o stopped --optimiser.steps 2 --until 1",
    "tune one.yaml --manifest m.parquet --target pattern --vary optimiser.learning_rate=0.01,0.02 -o tuned --rounds 1 "
    "--trials 2 --factor 3 --labels 100% --repeats 1 --jobs 1",
    "split m.parquet -o split.parquet --fractions 0.5 0.25 0.25",
    "embed run --input archive/15.png -o one.parquet --side image --jobs 1",
    "explore e.parquet --projection pca --thumbnails none",
    "evaluate run --manifest m.parquet --bootstrap 20 --images 0 --jobs 1",
    "compare run",
    "compare run --markdown",
    "compare run -o compared",
    "retrieve run --manifest m.parquet --text stripes --jobs 1",
    "retrieve run --manifest m.parquet --text stripes -o found.html --jobs 1",
    "retrieve --embeddings e.parquet --record image-0",
    "retrieve --embeddings e.parquet --record image-0 --kind image -o found.png",
    "differences run --manifest sites.parquet --first site=a --phrases phrases.txt --split train --jobs 1",
    "distill run --manifest m.parquet --side image --encoder dim=4 --steps 2 -o small",
    "export run --to hub --side image -o hub",
    "export run --to torch --side image -o torch",
    "reduce m.parquet --by hash -o reduced.parquet --jobs 1",
    "reduce m.parquet --by hash --report redundant.html --jobs 1",
    "reduce m.parquet --leaks --jobs 1",
    "reduce m.parquet --leaks --report leaks.html --jobs 1",
    "condense m.parquet --target pattern --steps 2 --size 16 16 --networks 1 --jobs 1 -o few",
]
"""Forms of every command but those of the first test."""


@pytest.mark.parametrize("words", FORMS)
def test_every_form_ends_with_what_comes_next(
    words: str, joint: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(joint)
    (joint / "one.yaml").write_text(RECIPE)
    (joint / "phrases.txt").write_text("stripes\n")
    assert main(shlex.split(words)) == 0
    told = capsys.readouterr()
    document = "show" in words or "--markdown" in words
    assert ("next: " in told.out) is not document, "a document holds nothing else"
    last = (told.err if document else told.out).rstrip().splitlines()[-1]
    assert last.startswith("next: ")
    line = last.removeprefix("next: ")
    if line.startswith("medcl "):
        name, *rest = shlex.split(line)[1:]
        known = {"MANIFEST": "m.parquet", "NAME": "image_simclr", "RECIPE": "image_simclr"}
        parse(COMMANDS[name], [known.get(word, word) for word in rest])


def test_every_command_is_walked() -> None:
    first = {"scan", "finetune", "predict"}
    assert {form.split()[0] for form in FORMS} | first == set(COMMANDS)


def test_a_mixed_archive_begins_with_what_it_has_most_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, patients in (("ecg", 2), ("mr", 8)):
        counts = {f"--{kind}-{who}": "0" for kind, who in (("ecg", "patients"), ("eeg", "subjects"))}
        words = [word for pair in (counts | {f"--{name}-patients": str(patients)}).items() for word in pair]
        assert main(["phantom", str(tmp_path / "archive" / name), *words]) == 0
    words = ["--patient-per-record", "-o", str(tmp_path / "m.parquet")]
    assert main(["scan", str(tmp_path / "archive"), *words]) == 0
    assert next_of(capsys)[2] == "volume_simclr"


def test_every_wing_begins_with_a_shipped_recipe() -> None:
    shipped = documents.shipped("recipe")
    for name in WINGS:
        found = wing(name).first_recipes
        assert found[""] in shipped
        assert set(found.values()) <= set(shipped)


def test_recordings_begin_with_the_recipe_that_they_have_enough_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = {"twelve": "ecg_patient", "two": "ecg_comet", "one": "eeg_identity", "several": "eeg_state"}
    for patient in range(2):
        for name, leads in (("twelve", TWELVE), ("two", ("I", "II"))):
            digital = np.arange(12 * 500).reshape(12, 500)[: len(leads)]
            write_wfdb(tmp_path / name / f"p{patient}", "r", digital, leads=leads)
        for name, count in (("one", 1), ("several", 2)):
            for number in range(count):
                write_edf(tmp_path / name / f"p{patient}" / f"r{number}.edf", waves())
    for name, recipe in expected.items():
        words = ["scan", str(tmp_path / name), "--id-pattern", "(?P<patient>p[0-9])/", "--jobs", "1"]
        assert main([*words, "-o", str(tmp_path / f"{name}.parquet")]) == 0
        assert next_of(capsys)[2] == recipe


def test_a_run_on_reports_alone_is_evaluated_since_reports_have_no_labels(joint: Path) -> None:
    manifest = Manifest.read(joint / "m.parquet")
    assert after_pretrain(Path("r"), ["report"], manifest, "m.parquet", True) == "medcl evaluate r --manifest m.parquet"
    both = after_pretrain(Path("r"), ["image", "report"], manifest, "m.parquet", True)
    assert both == "medcl finetune r --manifest m.parquet --target pattern"
