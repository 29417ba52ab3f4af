"""Distillation: the loss against loops, a run of each kind, and the quality that a quarter of the size keeps."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.nn import functional as F

from medcl import runs
from medcl.archive.manifest import Manifest
from medcl.cli import main
from medcl.embed.encoders import config_of, device, embed_records, prepared, samples_in
from medcl.errors import UsageError
from medcl.evaluate.multimodal_space import only
from medcl.phantom.shapes import KINDS
from medcl.pretrain.check import check
from medcl.pretrain.distil import STUDENT, distill, distillation
from medcl.pretrain.reading import read
from tests import toy
from tests.evaluate import multimodal_run

from .objectives.steps import BITS, Trained, batch_of, bits

QUEUED = {"kind": "distill", "of": "student", "teacher": "teacher", "queue": 5}


def expected(z: Tensor, own: Tensor, candidates: Tensor, teaching: float, temperature: float) -> float:
    """The mean cross-entropy of both softmaxes, one pair at a time."""
    total = 0.0
    for student, teacher in zip(z, own, strict=True):
        target = [math.exp((teacher @ one).item() / teaching) for one in candidates]
        said = [math.exp((student @ one).item() / temperature) for one in candidates]
        total -= sum(q / sum(target) * math.log(p / sum(said)) for q, p in zip(target, said, strict=True))
    return total / len(z)


def step(trained: Trained, x: Tensor) -> Tensor:
    batch = batch_of({"teacher": x, "student": x})
    batch["ids"]["row"] = batch["index"]
    return trained(batch)["one"]


def test_the_loss_is_that_of_loops_over_the_batch_and_the_queue() -> None:
    trained = Trained({"one": {**QUEUED, "teaching": 0.5}}, bits("teacher", "student"))
    first, second = torch.randn(2, 4, BITS).unbind()
    step(trained, first)
    loss = step(trained, second)
    objective: Any = trained.objectives["one"]
    seen, before = (F.normalize(trained.encoders["teacher"](x)[:, 0], dim=1) for x in (second, first))
    z = F.normalize(objective.head(trained.encoders["student"](second)[:, 0]), dim=1)
    assert loss.item() == pytest.approx(expected(z, seen, torch.cat([seen, before]), 0.5, 0.2), rel=1e-5)
    loss.backward()
    assert all(one.grad is None for one in trained.encoders["teacher"].parameters())
    assert objective.head.weight.grad.abs().sum() > 0


def test_one_sample_without_a_queue_has_nothing_to_learn() -> None:
    trained = Trained({"one": {**QUEUED, "queue": 0}}, bits("teacher", "student"))
    assert step(trained, torch.randn(1, BITS)).item() == pytest.approx(0, abs=1e-6)


def test_a_teacher_that_learns_is_refused() -> None:
    inputs = {"teacher": {"modality": "image"}, "student": {"modality": "image", "like": "teacher"}}
    with pytest.raises(UsageError, match=r"inputs\.teacher\.locked"):
        check(read({"inputs": inputs, "objectives": {"one": QUEUED}}))
    inputs = {"teacher": {"modality": "image", "locked": True, "init": "x"}, "student": {"modality": "image"}}
    with pytest.raises(UsageError, match=r"inputs\.student\.like: teacher"):
        check(read({"inputs": inputs, "objectives": {"one": QUEUED}}))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("distil")
    manifest = multimodal_run.archive(folder / "archive", patients=8)
    manifest.write(folder / "m.parquet")
    multimodal_run.trained(folder / "run", manifest, folder / "m.store", steps=2)
    return folder


def call(folder: Path, *words: str) -> int:
    return main(["distill", str(folder / "run"), "--manifest", str(folder / "m.parquet"), "--steps", "3", *words])


@pytest.mark.parametrize(
    ("side", "settings"), [("image", ["dim=8", "widths=[8,8,8,8]"]), ("report", ["dim=8", "hidden=32"])]
)
def test_a_side_of_a_run_becomes_a_run_of_its_own(
    folder: Path, side: str, settings: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    out = folder / side
    assert call(folder, "--side", side, "--encoder", *settings, "-o", str(out)) == 0
    assert "of the teacher (" in capsys.readouterr().out
    made, teacher = runs.load(out), runs.load(folder / "run", kinds=[side])
    assert made.encoder.config.dim == 8
    patients = Manifest.read(folder / "m.parquet").column("patient")
    assert (made.patients.among(patients) == teacher.patients.among(patients)).all()
    again = yaml.safe_load((out / "recipe.yaml").read_text())
    assert again["inputs"][STUDENT]["encoder"]["dim"] == 8
    words = ["--manifest", str(folder / "m.parquet"), "-o", str(folder / f"{side}.parquet"), "--jobs", "1"]
    assert main(["embed", str(out), *words]) == 0
    # What was distilled teaches in turn.
    assert distillation(out, {"dim": 4}).inputs["teacher"].encoder.dim == 8


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--side", "image", "-o", "x"], "--encoder: name what is smaller"),
        (["--encoder", "dim=8", "-o", "x"], "has encoders of image, report: choose one by --side"),
        (["--encoder", "dim=8", "--side", "imago", "-o", "x"], "--side 'imago' is none of image, report"),
        (["--encoder", "dim", "--side", "image", "-o", "x"], "--encoder dim: write NAME=VALUE"),
        (["--encoder", "dims=8", "--side", "image", "-o", "x"], "inputs.student.encoder"),
    ],
)
def test_what_cannot_be_distilled_is_refused(
    folder: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(folder, *words) == 2
    assert message in capsys.readouterr().err


def test_records_of_other_patients_are_refused(folder: Path, tmp_path: Path) -> None:
    """They would not be known as seen."""
    own = Manifest.read(folder / "m.parquet")
    some = own.select(np.flatnonzero(own.column("patient") != own.column("patient").min()))
    recipe = distillation(folder / "run", {"dim": 8}, "image", steps=2)
    with pytest.raises(UsageError, match="was trained on patients who are not in this run"):
        distill(recipe, some, tmp_path / "store", tmp_path / "out")


def probe(made: toy.Toy, encoder: Any, card: Any) -> float:
    """Mean balanced accuracy of linear probes of the findings on test patients."""
    images, config = made.manifest.of_kind("image"), config_of(card)
    parts = samples_in(prepared(images, config, made.store, 1), images, config)
    z = embed_records(encoder, parts, np.arange(len(images)), device(), title="images")
    train = images.column("split") == "train"
    found = []
    for kind in KINDS:
        y = images.labels(kind)
        fitted = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300, class_weight="balanced"))
        said = fitted.fit(z[train], y[train]).predict(z[~train])
        found.append(balanced_accuracy_score(y[~train], said))
    return float(np.mean(found))


@pytest.mark.acceptance
def test_a_quarter_of_the_size_keeps_the_quality(tmp_path: Path) -> None:
    """Of what training gave the large encoder, the small one takes over at least half; two seeds."""
    made = toy.written(tmp_path / "toy", 120)
    small = {"widths": [8, 8, 8, 16], "dim": 32}
    rows = []
    for seed in range(2):
        folder = toy.trained(made, toy.Arm(), tmp_path / f"teacher{seed}", steps=100, seed=seed)
        teacher = only(runs.load(folder), "image")
        recipe = distillation(folder, small, "image", steps=100)
        student = runs.load(distill(recipe, made.manifest, made.store, tmp_path / f"student{seed}").run.folder)
        torch.manual_seed(seed)
        encoders = [teacher.encoder, student.encoder, student.card.build().eval()]
        sizes = [sum(one.numel() for one in encoder.parameters()) for encoder in encoders]
        assert sizes[1] < 0.25 * sizes[0]
        rows.append(
            [
                probe(made, encoder, card)
                for encoder, card in zip(encoders, (teacher.card, student.card, student.card), strict=True)
            ]
        )
    large, kept, random = np.mean(rows, axis=0)
    assert kept > 0.95 * large, rows
    assert kept - random > 0.5 * (large - random) > 0, rows
