"""A baseline that learns its features of labels: of the labelled records of each fraction, and kept with a model."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from medcl import runs
from medcl.archive.build import build_manifest
from medcl.archive.config import ScanRequest
from medcl.archive.manifest import Manifest
from medcl.errors import UsageError
from medcl.evaluate.config import EvaluateConfig
from medcl.evaluate.finetune import finetune
from medcl.evaluate.models import load
from medcl.evaluate.prediction import predict
from medcl.modality.signal.config import SignalEncoderConfig, Stated
from medcl.modality.spec import SignalCard
from medcl.seen import SeenPatients

CHANNELS, RATE = ("C3", "Cz", "C4"), 100.0
CONFIG = EvaluateConfig(
    target="hand",
    labels=["25%", "100%"],
    unit="record",
    protocols=["probe"],
    baselines=["csp"],
    scratch=False,
    repeats=2,
    bootstrap=20,
    save_models="all",
    jobs=1,
)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Ten persons with eight trials, in which C3 or C4 has less power; each person's amplifier has its own gain."""
    folder, rng = tmp_path_factory.mktemp("hands"), np.random.default_rng(0)
    rows = ["record,patient,hand,age"]
    for person in range(10):
        gain = np.exp(rng.normal(size=(3, 1)))
        for trial in range(8):
            power = np.array([[0.6], [1.0], [1.4]])[:: 1 if trial % 2 else -1]
            place = folder / "a" / f"p{person}" / f"t{trial}.npy"
            place.parent.mkdir(parents=True, exist_ok=True)
            np.save(place, (10 * gain * power * rng.normal(size=(3, 200))).astype(np.float32))
            rows.append(f"p{person}/t{trial}.npy,p{person},{'left' if trial % 2 else 'right'},{30 + person}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    build_manifest(
        ScanRequest(
            folder=folder / "a",
            output=folder / "m.parquet",
            labels=folder / "labels.csv",
            record_column="record",
            patient_column="patient",
            target_columns=("hand", "age:regression"),
            fractions=(0.6, 0.2, 0.2),
            stated=Stated(RATE, CHANNELS, "uV"),
            modality="eeg",
            jobs=1,
        )
    )
    return Manifest.read(folder / "m.parquet")


@pytest.fixture(scope="module")
def run(manifest: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "run"
    encoder = SignalEncoderConfig("shallow", dim=4, hidden=4, stride=8, kernel=5, pooling="mean")
    card = SignalCard(encoder, CHANNELS, RATE, 1.0, "none", align="patient")
    patients = np.unique(manifest.column("patient")[manifest.split_rows("train")])
    runs.start(folder, {"method": "eeg_state"}, SeenPatients.of(patients.tolist(), manifest.metadata["salt"]))
    torch.manual_seed(0)
    runs.save_encoder(folder, card.build(), card)
    return folder


def test_patterns_are_measured_and_a_kept_model_predicts_what_was_reported(
    run: Path, manifest: Manifest, tmp_path: Path
) -> None:
    results = finetune([run], manifest, CONFIG, tmp_path / "s", tmp_path / "out")
    scores = {(one.label, one.repeat): one.metrics["auroc"] for one in results.scores if one.arm == "csp"}
    assert len(scores) == 4
    assert min(value for (label, _), value in scores.items() if label == "100%") >= 0.9
    assert any("Euclidean alignment" in note for note in results.notes)
    model = load(tmp_path / "out" / "models" / "csp-probe-repeat-1")
    table = predict(model, manifest, tmp_path / "s").table.to_pylist()
    hands = dict(zip(manifest.column("record_id").tolist(), map(str, manifest.column("hand")), strict=True))
    tested = [(hands[one["record_id"]], one["probability_right"]) for one in table if one["split"] == "test"]
    right, left = ([score for hand, score in tested if hand == side] for side in ("right", "left"))
    assert np.mean([a > b for a in right for b in left]) == pytest.approx(scores["100%", 0], abs=1e-6)


def test_it_takes_classes(run: Path, manifest: Manifest, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="takes a target of classes"):
        finetune([run], manifest, replace(CONFIG, target="age"), tmp_path / "s", tmp_path / "age")
    with pytest.raises(UsageError, match="takes a target of classes"):
        finetune([run], manifest, replace(CONFIG, pooling="attention"), tmp_path / "s", tmp_path / "attention")
