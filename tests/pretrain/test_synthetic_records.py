"""Synthetic records beside real ones (AdaInf): how often each is drawn, and when they help."""

import csv
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import medcl
from medcl import runs
from medcl.archive.build import build_manifest
from medcl.archive.config import ScanRequest
from medcl.archive.manifest import Manifest
from medcl.cli import main
from medcl.errors import UsageError
from medcl.phantom.radiograph import PNG, write_radiographs
from medcl.pretrain.check import check
from medcl.pretrain.forecast import forecast
from medcl.pretrain.plan import Plan
from medcl.pretrain.reading import read

from .objectives.stripes import SIDE, Images, striped

REAL, SYNTHETIC, TIMES = 3, 9, 3
SMALL: dict[str, Any] = {
    "inputs": {"image": {"data": {"size": [16, 16], "colour": False}, "encoder": {"name": "unet", "widths": [4, 8]}}},
    "objectives": {"views": {"of": "image", "exclude": ["patient"], "head": {"hidden": 8, "dim": 8}}},
    "batch": {"patients": 4, "repeat": "origin=real", "times": TIMES},
    "optimiser": {"steps": 4},
    "hardware": {"accelerator": "cpu"},
}


@pytest.fixture(scope="module")
def manifest_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Radiographs of a hospital, and those of `medcl phantom`, whose patients have the same names."""
    folder = tmp_path_factory.mktemp("both")
    rows = []
    for seed, (origin, patients) in enumerate({"real": REAL, "synthetic": SYNTHETIC}.items()):
        write_radiographs(folder / "made" / origin, patients, seed, shape=(20, 20, 12))
        place = folder / "archive" / origin
        place.parent.mkdir(exist_ok=True)
        (folder / "made" / origin / PNG).rename(place)
        with (place / "labels.csv").open(newline="") as file:
            rows += [[f"{origin}/{row['record']}", origin] for row in csv.DictReader(file)]
        (place / "labels.csv").unlink()
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["record", "origin"], *rows])
    build_manifest(
        ScanRequest(
            folder=folder / "archive",
            output=folder / "both.parquet",
            labels=folder / "labels.csv",
            record_column="record",
            target_columns=("origin",),
            id_pattern=r"(?P<patient>\w+/P\d+)/",
            modality="xray",
            fractions=(1, 0, 0),
            jobs=1,
        )
    )
    return folder / "both.parquet"


def test_an_epoch_has_real_patients_several_times(manifest_path: Path) -> None:
    manifest = Manifest.read(manifest_path)
    plan = Plan.of(read(SMALL), manifest, manifest_path.with_suffix(".store"))
    count = len(plan.source.sampler(1, 0))
    batches = list(plan.source.batches(1, 0, 0, count, 0, 0, 1))
    origin = dict(zip(manifest.column("patient").tolist(), manifest.column("origin").tolist(), strict=True))
    drawn = [origin[code] for batch in batches for code in batch["ids"]["patient"].tolist()]
    assert len(set(origin)) == REAL + SYNTHETIC
    assert all(len(set(batch["ids"]["patient"].tolist())) == len(batch["index"]) for batch in batches)
    # Six patients a turn in two batches of four, which the first two of the turn fill up.
    assert count == 2 * TIMES
    assert len(drawn) == 8 * TIMES
    assert drawn.count("real") >= REAL * TIMES
    assert drawn.count("synthetic") < SYNTHETIC + 2 * TIMES


def test_what_is_looked_at_comes_once_and_needs_no_real_patient(manifest_path: Path) -> None:
    manifest = Manifest.read(manifest_path)
    patient = manifest.column("patient")
    looked_at = np.unique(patient[manifest.column("origin") == "synthetic"])[:4]
    split = pa.array(np.where(np.isin(patient, looked_at), "val", "train"))
    recipe = read({**SMALL, "monitor": {"every": 2}})
    plan = Plan.of(recipe, manifest.with_column("split", split), manifest_path.with_suffix(".store"))
    assert plan.held is not None
    batches = list(plan.held.source.batches(1, 0, 0, 2, 0, 0, 1))
    assert all(sorted(set(batch["ids"]["patient"].tolist())) == sorted(looked_at.tolist()) for batch in batches)


def test_the_shipped_recipe_trains_on_both(manifest_path: Path, tmp_path: Path) -> None:
    words = ["pretrain", "adainf", "--manifest", manifest_path, "-o", tmp_path / "run", "--optimiser.steps", 3]
    words += ["--encoder.widths", "[4,8,8,8]", "--encoder.dim", 8, "--batch.times", 2, "--hardware.accelerator", "cpu"]
    assert main([*map(str, words)]) == 0
    recipe = runs.load(tmp_path / "run").config
    assert (recipe["batch"]["repeat"], recipe["batch"]["times"]) == ("origin=real", 2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"repeat": "real"}, "batch.repeat: 'real' is not COLUMN=VALUE"),
        ({"times": 0}, "batch.times: 0 is not at least 1"),
        ({"reuse": 2}, "batch.repeat is set with batch.reuse"),
    ],
)
def test_what_is_no_repetition_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check(read({**SMALL, "batch": {**SMALL["batch"], **changes}}))


@pytest.mark.parametrize(
    ("repeat", "message"),
    [
        ("orign=real", "did you mean 'origin'"),
        ("origin=reel", "'reel' is none of real, synthetic; did you mean 'real'"),
    ],
)
def test_a_column_or_value_that_is_not_there_is_refused(manifest_path: Path, repeat: str, message: str) -> None:
    recipe = read({**SMALL, "batch": {**SMALL["batch"], "repeat": repeat}})
    manifest = Manifest.read(manifest_path)
    with pytest.raises(UsageError, match=message):
        Plan.of(recipe, manifest, manifest_path.with_suffix(".store"))
    assert re.search(message, str(forecast(recipe, manifest).problems[0]))


FEW, MANY = 100, 1000


def generated(x: Images, count: int, rng: np.random.Generator) -> Images:
    """What a bad generator makes of some images: blurred until the stripes are gone, and noise."""
    blurred = gaussian_filter(x[rng.integers(len(x), size=count)], (0, 0, 3, 3))
    found: Images = (blurred + rng.normal(0, 0.08, blurred.shape)).astype(np.float32)
    return found


def views(strength: float) -> dict[str, Any]:
    """Random changes; half as strong ones are half as far from none."""
    return {
        "crop_side": [1 - 0.6 * strength, 1.0],
        "crop_ratio": [1 - 0.25 * strength, 1 + 0.33 * strength],
        "rotation": 10 * strength,
        "contrast": [1 - 0.6 * strength, 1 + 0.6 * strength],
        "brightness": 0.4 * strength,
        "noise": 0.05 * strength,
    }


def accuracy(x: Images, origin: NDArray[Any], repeat: str, strength: float, seed: int, folder: Path) -> float:
    """Of a linear probe of the directions of new images, after a pretraining on these."""
    recipe = {
        "inputs": {
            "image": {
                "data": {"size": [SIDE, SIDE], "colour": False},
                "views": views(strength),
                "encoder": {"name": "unet", "widths": [8, 16, 32], "dim": 32, "stride": 4, "norm": "batch"},
            }
        },
        "objectives": {"views": {"of": "image", "temperature": 0.2, "head": {"hidden": 64, "dim": 32}}},
        "batch": {"patients": 48, "repeat": repeat},
        "optimiser": {"steps": 150, "learning_rate": 3e-3},
        "hardware": {"accelerator": "cpu"},
        "seed": seed,
    }
    medcl.pretrain(recipe, samples={"image": {"x": x, "ids": {"origin": origin}}}, output=folder)
    test, angle = striped(1200, np.random.default_rng(100 + seed))
    with torch.inference_mode():
        z = runs.load(folder).encoder.embed(torch.from_numpy(test)).numpy()
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
    return float(probe.fit(z[:400], angle[:400]).score(z[400:], angle[400:]))


@pytest.mark.acceptance
def test_repetition_and_weaker_views_make_up_for_what_a_bad_generator_spoils(tmp_path: Path) -> None:
    origin = np.array(["real"] * FEW + ["synthetic"] * MANY)
    found = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        x, _ = striped(FEW, rng)
        both = np.concatenate([x, generated(x, MANY, rng)])
        arms = [(x, origin[:FEW], "", 1.0), (both, origin, "", 1.0), (both, origin, "origin=real", 0.5)]
        found.append([accuracy(*arm, seed, tmp_path / f"{seed}-{number}") for number, arm in enumerate(arms)])
    alone, inflated, adapted = np.mean(found, axis=0)
    assert inflated < alone - 0.1
    assert adapted > inflated + 0.15
    assert adapted > alone
