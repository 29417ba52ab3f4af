"""`medcl pretrain` on several modalities: run folders, resuming to the bit, what is refused."""

import csv
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
import yaml
from safetensors.torch import load_file
from torch.nn import functional

from medcl import runs
from medcl.archive.manifest import Manifest
from medcl.cli import main
from medcl.errors import MedclError, UsageError
from medcl.modality.report.encoders.tokens import Tokenizer
from medcl.modality.spec import ImageCard, SignalCard, TextCard
from medcl.pretrain.check import check
from medcl.pretrain.reading import read
from medcl.pretrain.recipe import Recipe
from medcl.pretrain.run import Pretrained, pretrain
from tests.data.linked_archive import PATTERNS, manifest_of, picture_row, pictures_with_reports, pixels_of, report_row

from .multimodal_recipe import COPIES, IMAGE, PAIR, REPORT, SIGNAL, WORDS, mapping, small

ROOT, LIMIT = Path(__file__).parents[2], 300
EVERYTHING = {"pair": COPIES, "words": WORDS}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("joint")


@pytest.fixture(scope="module")
def archive(folder: Path) -> Manifest:
    manifest = pictures_with_reports(folder / "archive")
    manifest.write(folder / "archive.parquet")
    return manifest


@pytest.fixture(scope="module")
def three(ecg_manifest: Manifest, folder: Path) -> Manifest:
    """Recordings, with a picture of most patients and a report of all but one."""
    ecg = ecg_manifest.ok()
    recorded = dict(zip(ecg.column("patient").tolist(), ecg.column("split"), strict=True))
    (folder / "pictures").mkdir()
    rows: list[dict[str, Any]] = []
    for number, (patient, split) in enumerate(recorded.items()):
        levels = {"patient": patient, "split": split}
        if number % 4:
            row = picture_row(folder / "pictures", number, number % 4, **levels)
            rows.append({**row, "path": str(folder / "pictures" / row["path"])})
        if number != 1:
            rows.append(
                report_row(number, f"Sinus rhythm, {PATTERNS[number % 4]}. Patient group {number % 7}.", **levels)
            )
    more = manifest_of(rows, ecg.root)
    return replace(ecg, table=pa.concat_tables([ecg.table.select(more.table.column_names), more.table]))


def train(config: Recipe, manifest: Manifest, folder: Path, name: str, **options: Any) -> Pretrained:
    return pretrain(config, manifest, folder / "store", folder / name, **options)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / runs.WEIGHTS)


def same_weights(a: Path, b: Path) -> bool:
    first, second = weights(a), weights(b)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def curve(folder: Path) -> list[dict[str, float]]:
    with (folder / runs.METRICS).open() as lines:
        return [
            {name: float(value) for name, value in row.items() if name != "samples_per_second"}
            for row in csv.DictReader(lines)
        ]


def test_reports_find_their_pictures(archive: Manifest, folder: Path) -> None:
    optimiser = {"learning_rate": 3e-3, "average": "none"}
    wider = {**IMAGE, "encoder": {**IMAGE["encoder"], "widths": [8, 16, 16], "dim": 16}, "views": {}}
    inputs = {"image": wider, "report": REPORT}
    done = train(small(160, None, inputs, optimiser=optimiser, batch={"patients": 9}), archive, folder, "learned")
    assert done.finished
    assert "18 linked records" in str(done)
    run = runs.load_joint(folder / "learned")
    assert set(run.card.sides) == {"image", "report"}
    card = run.card.sides["report"]
    assert isinstance(card, TextCard)
    words = Tokenizer.from_json(card.tokenizer)
    texts = words([f"The picture shows {pattern} all over." for pattern in PATTERNS], 24)
    bright = np.stack([pixels_of(pattern) for pattern in range(len(PATTERNS))])
    large = torch.from_numpy(0.1 + 0.7 * bright[:, None]).float()
    pictures = functional.interpolate(large, (16, 16), mode="area")
    with torch.no_grad():
        z = run.encoder.project("image", run.encoder.encode("image", pictures)[1])
        t = run.encoder.project("report", run.encoder.encode("report", torch.from_numpy(texts).long())[1])
    assert (t @ z.T).argmax(dim=1).tolist() == [0, 1, 2, 3]
    seen = run.patients
    assert seen.among(np.arange(100, 109)).all()
    assert not seen.among(np.arange(109, 112)).any()


def test_six_steps_equal_three_a_stop_and_three_to_the_bit(archive: Manifest, folder: Path) -> None:
    config = small(6, EVERYTHING)
    train(config, archive, folder, "whole")
    assert not train(config, archive, folder, "halves", until=3).finished
    assert train(config, archive, folder, "halves", until=None, resume=True).finished
    assert same_weights(folder / "whole", folder / "halves")
    assert curve(folder / "whole") == curve(folder / "halves")
    assert {"pair", "words", "total"} < curve(folder / "whole")[0].keys()


def test_words_and_cells_alone_are_a_space_that_loads(archive: Manifest, folder: Path) -> None:
    train(small(1, {"words": WORDS}), archive, folder, "words")
    joint = runs.load_joint(folder / "words").encoder
    trained = weights(folder / "words")
    for name, value in joint.heads.state_dict().items():
        torch.testing.assert_close(value, trained[f"heads.{name}"], rtol=0, atol=0)
    assert joint.project("image", torch.ones(2, 8)).shape == (2, 8)


def test_two_workers_train_the_same_weights_as_none(archive: Manifest, folder: Path) -> None:
    for workers in (0, 2):
        config = small(steps=3, hardware={"workers": workers})
        train(config, archive, folder, f"workers{workers}")
    assert same_weights(folder / "workers0", folder / "workers2")


def test_a_batch_in_chunks_trains_as_one(archive: Manifest, folder: Path) -> None:
    for chunk in (0, 3):
        config = small(3, EVERYTHING, hardware={"chunk": chunk})
        train(config, archive, folder, f"chunk{chunk}")
    whole, chunks = weights(folder / "chunk0"), weights(folder / "chunk3")
    for name in whole:
        torch.testing.assert_close(whole[name], chunks[name], rtol=1e-3, atol=1e-4)


def test_two_devices_train_as_one(archive: Manifest, folder: Path) -> None:
    # Three patients: the two processes have batches of different size, and texts of different length.
    recipes = {
        "pairs": small(3, {"pair": PAIR, "words": WORDS}, batch={"patients": 3}),
        "copies": small(3, {"pair": COPIES}, batch={"patients": 3}),
        "both ways": small(3, {"pair": PAIR, "views": {"of": "image", "exclude": ["patient"]}}, batch={"patients": 3}),
    }
    calls = []
    for name, config in recipes.items():
        train(config, archive, folder, f"{name}-on1")
        (folder / f"{name}.yaml").write_text(config.as_yaml())
        words = ["pretrain", folder / f"{name}.yaml", "--manifest", folder / "archive.parquet"]
        calls.append([*map(str, [*words, "-o", folder / f"{name}-on2"]), "--hardware.devices", "2"])
    program = [sys.executable, "-m", "tests.pretrain.commands", json.dumps(calls)]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert done.returncode == 0, done.stderr
    for name in recipes:
        for alone, together in zip(curve(folder / f"{name}-on1"), curve(folder / f"{name}-on2"), strict=True):
            assert together == pytest.approx(alone, rel=2e-4)
        first, second = weights(folder / f"{name}-on1"), weights(folder / f"{name}-on2")
        for one in first:
            torch.testing.assert_close(first[one], second[one], rtol=1e-3, atol=1e-4)


def test_a_side_begins_with_another_run_and_may_be_locked(archive: Manifest, folder: Path) -> None:
    views = {"views": {"of": "image", "exclude": ["patient"]}}
    assert train(small(2, views, {"image": IMAGE}), archive, folder, "alone").finished
    loaded = runs.load(folder / "alone")
    assert isinstance(loaded.card, ImageCard), "as any encoder of images: without a head"
    optimiser = {"average": "none"}

    def begun(image: dict[str, Any], report: dict[str, Any], steps: int = 2) -> Recipe:
        inputs = {"image": {**IMAGE, **image}, "report": {**REPORT, **report}}
        return small(steps, inputs=inputs, optimiser=optimiser)

    train(begun({"init": str(folder / "alone"), "locked": True}, {}), archive, folder, "locked")
    joint = runs.load_joint(folder / "locked").encoder
    for name, value in loaded.encoder.state_dict().items():
        torch.testing.assert_close(joint.side("image").state_dict()[name], value, rtol=0, atol=0)
    # And a side of a multimodal run, with its tokenizer.
    train(begun({}, {"init": str(folder / "locked")}), archive, folder, "again")
    cards = [runs.load_joint(folder / name).card.sides["report"] for name in ("locked", "again")]
    assert cards[0] == cards[1]
    everyone = small(steps=1, splits=["train", "test"])
    train(everyone, archive, folder, "everyone")
    with pytest.raises(UsageError, match=r"inputs.image.init: .* was trained on patients who are not in this run"):
        train(begun({"init": str(folder / "everyone")}, {}), archive, folder, "leak")
    wider = {**IMAGE["encoder"], "widths": [4, 8, 16]}
    with pytest.raises(UsageError, match=r"inputs.image.encoder: differs from the network"):
        train(begun({"init": str(folder / "alone"), "encoder": wider}, {}), archive, folder, "wider")
    with pytest.raises(UsageError, match=r"inputs.report.init: .* has no encoder of report"):
        train(begun({}, {"init": str(folder / "alone")}), archive, folder, "foreign")


@pytest.mark.parametrize("loss", ["clip", "anchored", "symile"])
def test_three_modalities(loss: str, three: Manifest, folder: Path) -> None:
    inputs = {"image": IMAGE, "signal": SIGNAL, "report": REPORT}
    pairs = {"clip": ("image-signal", "image-report", "signal-report"), "anchored": ("image-report", "signal-report")}
    objectives = {
        name: {**PAIR, "between": name.split("-"), "head": PAIR["head"] if number == 0 else pairs[loss][0]}
        for number, name in enumerate(pairs.get(loss, ()))
    } or {"joint": {"between": list(inputs), "head": PAIR["head"]}}
    batch = {"patients": 6, "records": 1, "incomplete": loss != "clip"}
    done = train(small(3, objectives, inputs, batch=batch), three, folder, loss)
    expected = set(objectives)
    assert done.losses.keys() == expected | {"total"}
    cards = runs.load_joint(folder / loss).card.sides
    assert [type(card) for card in cards.values()] == [ImageCard, SignalCard, TextCard]
    config = yaml.safe_load((folder / loss / runs.CONFIG).read_text())["inputs"]
    assert config["signal"]["data"]["sampling_rate"] == 100
    # What lacks a picture is left out by `clip`, what lacks the report by `anchored` too; and it is said.
    assert ("recordings have no partner" in done.left_out) == (loss != "symile")


def test_records_without_partners_are_said_and_missing_kinds_refused(archive: Manifest, folder: Path) -> None:
    reports = np.flatnonzero(archive.kinds == "report")
    some = archive.select(np.setdiff1d(np.arange(len(archive)), reports[:2]))
    assert "left out: 2 images have no partner" in str(train(small(steps=1), some, folder, "fewer"))
    with pytest.raises(MedclError, match="no reports to train on: .* 18 images"):
        train(small(), archive.of_kind("image"), folder, "no-reports")
    with pytest.raises(MedclError, match="no images to train on: .* 18 reports"):
        train(small(), archive.of_kind("report"), folder, "no-pictures")


BOTH: dict[str, Any] = {"image": IMAGE, "report": REPORT}
WRONG: dict[str, dict[str, Any]] = {
    "inputs.report: no objective uses it": mapping({"views": {"of": "image"}}),
    "objectives: none is between the inputs image, report": mapping({"a": {"of": "image"}, "b": {"of": "report"}}),
    "inputs.image.locked: an encoder with random weights would never learn": mapping(
        inputs={**BOTH, "image": {**IMAGE, "locked": True}}
    ),
    "inputs.image.encoder.dims: 3": mapping(
        inputs={**BOTH, "image": {**IMAGE, "encoder": {**IMAGE["encoder"], "dims": 3}}}
    ),
    "no setting 'inputs.image.data.sise'; .*did you mean 'size'": mapping(
        inputs={**BOTH, "image": {"data": {"sise": 3}}}
    ),
    "inputs.picture.modality: 'picture' is none of image": mapping(inputs={"picture": {}, "report": REPORT}),
    "inputs.other.like: 'picture' is no other input": mapping(
        inputs={**BOTH, "other": {"modality": "image", "like": "picture"}}
    ),
    "batch: patients, records, samples and pool must be at least 1": mapping(batch={"patients": 0}),
    "objectives.pair.distillation: 1 is not from 0 to below 1": mapping({"pair": {**COPIES, "distillation": 1.0}}),
    "stages.0.objectives: 'paar' is none of pair; did you mean 'pair'": mapping(stages=[{"objectives": ["paar"]}]),
    "stages.0.freeze: 'picture' is none of image": mapping(stages=[{"freeze": ["picture"]}]),
    "stages: a list": mapping(stages=3),
    "kind of an objective: 'clipp' is none of contrast": mapping({"pair": {**PAIR, "kind": "clipp"}}),
    "no module|is not found: install": mapping({"pair": {"kind": "nowhere.losses:Mine"}}),
    "optimiser.steps: expected int, got 'many'|steps": mapping(optimiser={"steps": "many"}),
    "objectives holds no settings": {"inputs": BOTH},
    "no setting 'objective'; did you mean 'objectives'": {"inputs": BOTH, "objective": {}},
}


@pytest.mark.parametrize("said", WRONG)
def test_invalid_recipes_are_refused_before_anything_is_read(said: str) -> None:
    with pytest.raises(UsageError, match=said):
        check(read(WRONG[said]))


def test_the_commands_prepare_once_what_is_trained_on(
    archive: Manifest, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest, recipe = tmp_path / "archive.parquet", tmp_path / "recipe.yaml"
    archive.write(manifest)
    recipe.write_text(small(steps=2, objectives={"pair": PAIR, "words": WORDS}).as_yaml())
    words = [str(recipe), "--manifest", str(manifest)]
    assert main(["prepare", *words]) == 0
    told = capsys.readouterr().out
    assert "24 images" in told
    assert "24 reports" in told
    stores = sorted(path.name for path in manifest.with_suffix(".store").iterdir())
    more = ["--inputs.image.views.flip", "0.5", "--objectives.words.weight=1", "--config", str(recipe)]
    assert main(["pretrain", *words[1:], "-o", str(tmp_path / "run"), *more]) == 0
    assert sorted(path.name for path in manifest.with_suffix(".store").iterdir()) == stores
    # What was trained, with all that was overridden, is a recipe.
    assert main(["pretrain", str(tmp_path / "run" / runs.CONFIG), *words[1:], "-o", str(tmp_path / "two")]) == 0
    assert same_weights(tmp_path / "run", tmp_path / "two")


def test_reports_of_one_record_or_of_a_study_are_trained_on_alone(tmp_path: Path) -> None:
    whole = pictures_with_reports(tmp_path / "archive")
    rows = whole.table.to_pylist()
    of_studies = np.flatnonzero(whole.kinds == "report")[::2]  # every other one speaks of its study
    for row in of_studies:
        rows[row]["trial"] = None
    archive = replace(whole, table=pa.Table.from_pylist(rows, whole.table.schema))
    for reports, linked in (("all", 18), ("record", 9), ("study", 18)):
        done = train(small(1, inputs={**BOTH, "report": {**REPORT, "reports": reports}}), archive, tmp_path, reports)
        assert f"{linked} linked records" in str(done)
    with pytest.raises(MedclError, match="no reports to train on: .* 0 reports"):
        train(small(1, inputs={**BOTH, "report": {**REPORT, "reports": "study"}}), whole, tmp_path, "none")
