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
from medcl.pretrain.config import HardwareConfig, OptimiserConfig
from medcl.pretrain.multimodal_config import MultimodalBatchConfig, MultimodalPretrainConfig
from safetensors.torch import load_file
from torch.nn import functional

from medcl import runs
from medcl.archive.manifest import Manifest
from medcl.cli import main
from medcl.errors import MedclError, UsageError
from medcl.modality.base import plain
from medcl.modality.report.encoders.tokens import Tokenizer
from medcl.modality.spatial.config import ImageViewsConfig
from medcl.modality.spec import ImageCard, SignalCard, TextCard
from medcl.pretrain.run import Pretrained, pretrain
from tests.data.linked_archive import PATTERNS, manifest_of, picture_row, pictures_with_reports, pixels_of, report_row

from .multimodal_recipe import IMAGE, REPORT, SIGNAL, small

ROOT, LIMIT = Path(__file__).parents[2], 300
EVERYTHING = {"local": 0.5, "queue": 12, "distillation": 0.3, "momentum": 0.9, "learn_temperature": True}


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


def train(config: MultimodalPretrainConfig, manifest: Manifest, folder: Path, name: str, **options: Any) -> Pretrained:
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
    optimiser = OptimiserConfig(steps=160, learning_rate=3e-3, average="none")
    whole = MultimodalBatchConfig(patients=9, records=2)
    wider = replace(IMAGE, encoder=replace(IMAGE.encoder, widths=(8, 16, 16), dim=16), views=ImageViewsConfig())
    done = train(small(optimiser=optimiser, batch=whole, image=wider), archive, folder, "learned")
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
    config = small(steps=6, joint=EVERYTHING)
    train(config, archive, folder, "whole")
    assert not train(config, archive, folder, "halves", until=3).finished
    assert train(config, archive, folder, "halves", until=None, resume=True).finished
    assert same_weights(folder / "whole", folder / "halves")
    assert curve(folder / "whole") == curve(folder / "halves")
    assert {"global", "local", "total"} < curve(folder / "whole")[0].keys()


def test_two_workers_train_the_same_weights_as_none(archive: Manifest, folder: Path) -> None:
    for workers in (0, 2):
        config = small(steps=3, hardware=HardwareConfig(accelerator="cpu", workers=workers))
        train(config, archive, folder, f"workers{workers}")
    assert same_weights(folder / "workers0", folder / "workers2")


def test_a_batch_in_chunks_trains_as_one(archive: Manifest, folder: Path) -> None:
    for chunk in (0, 3):
        config = small(steps=3, joint=EVERYTHING, hardware=HardwareConfig(accelerator="cpu", chunk=chunk))
        train(config, archive, folder, f"chunk{chunk}")
    whole, chunks = weights(folder / "chunk0"), weights(folder / "chunk3")
    for name in whole:
        torch.testing.assert_close(whole[name], chunks[name], rtol=1e-3, atol=1e-4)


def test_two_devices_train_as_one(archive: Manifest, folder: Path) -> None:
    # Three patients: the two processes have batches of different size, and texts of different length.
    batch = MultimodalBatchConfig(patients=3, records=2)
    recipes = {
        "pairs": small(steps=3, joint={"local": 0.5}, batch=batch),
        "copies": small(steps=3, joint={"queue": 12, "distillation": 0.3, "learn_temperature": True}, batch=batch),
    }
    calls = []
    for name, config in recipes.items():
        train(config, archive, folder, f"{name}-on1")
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(plain(config)))
        words = ["pretrain", "--config", folder / f"{name}.yaml", "--manifest", folder / "archive.parquet"]
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
    assert train(small(steps=2, method="simclr", report=None), archive, folder, "alone").finished
    loaded = runs.load(folder / "alone")
    assert isinstance(loaded.card, ImageCard), "as any encoder of pictures: without a head"
    locked = replace(IMAGE, init=str(folder / "alone"), locked=True)
    optimiser = OptimiserConfig(steps=2, average="none")
    train(small(image=locked, optimiser=optimiser), archive, folder, "locked")
    joint = runs.load_joint(folder / "locked").encoder
    for name, value in loaded.encoder.state_dict().items():
        torch.testing.assert_close(joint.side("image").state_dict()[name], value, rtol=0, atol=0)
    # And a side of a multimodal run, with its tokenizer.
    again = small(report=replace(REPORT, init=str(folder / "locked")), optimiser=optimiser)
    train(again, archive, folder, "again")
    cards = [runs.load_joint(folder / name).card.sides["report"] for name in ("locked", "again")]
    assert cards[0] == cards[1]
    everyone = small(steps=1, splits=("train", "test"))
    train(everyone, archive, folder, "everyone")
    with pytest.raises(UsageError, match="image.init: .* was trained on patients who are not in this run"):
        train(small(image=replace(IMAGE, init=str(folder / "everyone"))), archive, folder, "leak")
    wider = replace(IMAGE.encoder, widths=(4, 8, 16))
    with pytest.raises(UsageError, match="image.encoder: differs from the network"):
        train(small(image=replace(IMAGE, init=str(folder / "alone"), encoder=wider)), archive, folder, "wider")
    with pytest.raises(UsageError, match="report.init: .* has no encoder of report"):
        train(small(report=replace(REPORT, init=str(folder / "alone"))), archive, folder, "foreign")


@pytest.mark.parametrize("loss", ["clip", "anchored", "symile"])
def test_three_modalities(loss: str, three: Manifest, folder: Path) -> None:
    batch = MultimodalBatchConfig(patients=6, records=1)
    config = small(steps=3, method="multimodal", signal=SIGNAL, joint={"loss": loss}, batch=batch)
    done = train(config, three, folder, loss)
    expected = {
        "clip": {"image-signal", "image-report", "signal-report"},
        "anchored": {"image-report", "signal-report"},
        "symile": {"joint"},
    }[loss]
    assert done.losses.keys() == expected | {"total"}
    cards = runs.load_joint(folder / loss).card.sides
    assert [type(card) for card in cards.values()] == [ImageCard, SignalCard, TextCard]
    config = yaml.safe_load((folder / loss / runs.CONFIG).read_text())
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


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (small(report=None), "method convirt takes two of image, volume, signal, report; the recipe has image"),
        (small(signal=SIGNAL), "convirt takes two"),
        (small(method="multimodal", report=None), "method multimodal takes two or more"),
        (small(method="simclr"), "method simclr takes one of image, volume, signal; the recipe has image, report"),
        (small(method="simclr", image=None), "method simclr takes one of image, volume, signal; the recipe has report"),
        (small(method="simclr", report=None, joint={"queue": 8}), "method simclr has no queue"),
        (small(joint={"loss": "symile"}), "joint.loss: symile is one of method multimodal"),
        (small(method="multimodal", joint={"loss": "symile"}), "batch.records: symile takes 1"),
        (small(method="multimodal", joint={"loss": "anchored", "anchor": "signal"}), "joint.anchor: signal is not in"),
        (
            small(joint={"loss": "siglip", "queue": 8}),
            "joint.queue and joint.distillation: with clip and anchored only",
        ),
        (small(image=None, signal=SIGNAL, report=None), "convirt takes two"),
        (small(joint={"weight": 1.5}), "joint.weight: 1.5 is not from 0 to 1"),
        (small(joint={"temperature": 0.0}), "joint.temperature: 0 is not above 0"),
        (small(joint={"projection": 0}), "joint: projection and width must be at least 1"),
        (small(joint={"hidden": -1}), "hidden, queue and local not below 0"),
        (small(joint={"dropout": 1.0}), "joint.dropout: 1 is not from 0 to 0.99"),
        (small(batch=MultimodalBatchConfig(patients=1)), "batch: patients must be at least 2"),
        (small(image=replace(IMAGE, locked=True)), "image.locked: an encoder with random weights would never learn"),
        (small(image=replace(IMAGE, encoder=replace(IMAGE.encoder, dims=3))), "image.encoder.dims: 3"),
    ],
)
def test_invalid_recipes_are_refused_before_anything_is_read(
    config: MultimodalPretrainConfig, said: str, archive: Manifest, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=said):
        pretrain(config, archive, tmp_path / "store", tmp_path / "run")
    assert not list(tmp_path.iterdir())


def test_the_commands_prepare_once_what_is_trained_on(
    archive: Manifest, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest, recipe = tmp_path / "archive.parquet", tmp_path / "recipe.yaml"
    archive.write(manifest)
    recipe.write_text(yaml.safe_dump(plain(small(steps=2))))
    words = ["--config", str(recipe), "--manifest", str(manifest)]
    assert main(["prepare", *words]) == 0
    told = capsys.readouterr().out
    assert "24 images" in told
    assert "24 reports" in told
    stores = sorted(path.name for path in manifest.with_suffix(".store").iterdir())
    assert (
        main(["pretrain", *words, "-o", str(tmp_path / "run"), "--image.views.flip", "0.5", "--joint.local", "1"]) == 0
    )
    assert sorted(path.name for path in manifest.with_suffix(".store").iterdir()) == stores
    assert (
        main(["pretrain", "--config", str(tmp_path / "run" / "config.yaml"), *words[2:], "-o", str(tmp_path / "two")])
        == 0
    )
    assert same_weights(tmp_path / "run", tmp_path / "two")


def test_reports_of_one_record_or_of_a_study_are_trained_on_alone(tmp_path: Path) -> None:
    whole = pictures_with_reports(tmp_path / "archive")
    rows = whole.table.to_pylist()
    of_studies = np.flatnonzero(whole.kinds == "report")[::2]  # every other one speaks of its study
    for row in of_studies:
        rows[row]["trial"] = None
    archive = replace(whole, table=pa.Table.from_pylist(rows, whole.table.schema))
    for reports, linked in (("all", 18), ("record", 9), ("study", 18)):
        done = train(small(steps=1, report=replace(REPORT, reports=reports)), archive, tmp_path, reports)
        assert f"{linked} linked records" in str(done)
    with pytest.raises(MedclError, match="no reports to train on: .* 0 reports"):
        train(small(steps=1, report=replace(REPORT, reports="study")), whole, tmp_path, "none")
