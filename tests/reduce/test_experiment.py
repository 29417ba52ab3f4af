"""The experiment of a reduction: every arm with its controls, on patients that no encoder has seen, and resumable."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from medcl.archive.manifest import Manifest, Masks
from medcl.archive.schema import KEPT
from medcl.cli import main
from medcl.errors import UsageError
from medcl.reduce.config import ReduceConfig
from medcl.reduce.experiment_arms import LEFT_OUT, arms_of, folds_of, trained_on
from medcl.reduce.experiment_results import ArmResult, ExperimentResults
from medcl.reduce.units import WHOLE, Family, Units
from tests.data.volume_archive import manifest_of, save

PATIENTS, SLICES = 6, 12
RECIPE = """
method: global-local
data: {size: [16, 16, 1], percentiles: [0, 100]}
batch: {patients: 3, volumes: 1, samples: 2}
encoder: {name: unet, dims: 2, widths: [4, 8], norm: batch}
global_local: {stages: global, variant: random, hidden: 8, projection: 8}
optimiser: {steps: 4, average: none}
hardware: {accelerator: cpu}
"""


def archive(folder: Path) -> Manifest:
    """A volume a patient: the first slices blank, then pairs of equal slices; every other pair has a bright lesion."""
    for patient in range(PATIENTS):
        rng = np.random.default_rng(patient)
        data = np.zeros((16, 16, SLICES), dtype=np.int16)
        mask = np.zeros(data.shape, dtype=np.uint8)
        for pair in range(1, SLICES // 2):
            plane = rng.integers(50, 150, (16, 16))
            if pair % 2:
                plane[4:9, 4:9] += 300
                mask[4:9, 4:9, 2 * pair : 2 * pair + 2] = 1
            data[..., 2 * pair : 2 * pair + 2] = plane[..., None]
        save(folder / f"v{patient}.nii.gz", data)
        save(folder / f"m{patient}.nii.gz", mask)
    manifest = manifest_of(folder, patients=1)
    paths = pa.array([f"m{patient}.nii.gz" for patient in range(PATIENTS)])
    manifest = manifest.with_column("split", pa.array(["train", "train", "train", "val", "test", "test"]))
    with_masks = manifest.with_masks(Masks("lesion", ("background", "lesion")), paths)
    return Manifest(with_masks.table, with_masks.root, {**with_masks.metadata, "salt": "test"})


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
    results = ExperimentResults.read(made[0] / "out" / "results.json")
    arms = {(one.how, one.budget) for one in results.cells}
    assert arms == {
        ("all", ""),
        ("random weights", ""),
        *((how, budget) for how in ("reduced", "random") for budget in ("steps", "epochs")),
    }
    assert len(results.cells) == 6
    for one in results.cells:
        assert 0 <= one.scores["auroc"] <= 1
        if one.how in ("reduced", "random"):
            # Of each of three patients at most every other slice, and one of the blank ones, is kept.
            assert one.units == 3 * SLICES // 2
            assert one.of == 3 * SLICES
            assert one.steps == {"steps": 4, "epochs": 2}[one.budget]
    page = (made[0] / "out" / "report.html").read_text()
    assert "as many as hash 0" in page
    assert "same epochs" in page
    assert results.metric == "auroc"
    assert results.what == "slices"


def test_no_encoder_has_seen_the_patients_of_its_test(made: tuple[Path, list[str]]) -> None:
    folder, _ = made
    for run in (folder / "out" / "fold-0" / "seed-0").iterdir():
        assert "splits:\n- train" in (run / "recipe.yaml").read_text()
    manifest = Manifest.read(folder / "m.parquet")
    folds = folds_of(manifest, 3)
    tested = np.stack([fold.test for fold in folds])
    assert (tested.sum(axis=0) == 1).all(), "each patient is tested once"
    with pytest.raises(UsageError, match="no readable record in the split val"):
        folds_of(folds[0].manifest, 1)
    for fold in folds:
        assert ((fold.fit + fold.validation + fold.test.astype(int)) == 1).all()
        assert fold.validation.any()
        assert set(fold.manifest.column("split")[fold.test]) == {"test"}


def test_the_same_command_takes_what_is_finished(made: tuple[Path, list[str]]) -> None:
    folder, command = made
    before = (folder / "out" / "results.json").read_text()
    weights = {path: path.stat().st_mtime_ns for path in (folder / "out").rglob("encoder.safetensors")}
    lost = folder / "out" / "fold-0" / "seed-0" / "hash-0_random_epochs" / "evaluated.json"
    known = json.loads(lost.read_text())
    del known["crc32"]
    lost.write_text(json.dumps({**known, "scores": {}}))
    assert main(command) == 0
    assert (folder / "out" / "results.json").read_text() == before
    assert {path: path.stat().st_mtime_ns for path in (folder / "out").rglob("encoder.safetensors")} == weights


def test_another_recipe_needs_another_folder(
    made: tuple[Path, list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(RECIPE.replace("steps: 4", "steps: 5"))
    assert main([*made[1][:-1], str(other)]) == 2
    assert "choose another folder" in capsys.readouterr().err


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


def test_the_random_subset_has_the_size_of_the_reduced_one_and_shares_its_store(made: tuple[Path, list[str]]) -> None:
    manifest = Manifest.read(made[0] / "m.parquet")
    fold = folds_of(manifest, 2)[0]
    configs = [ReduceConfig(threshold=0), ReduceConfig(by="every-n", threshold=3)]
    arms = arms_of(fold, configs, made[0] / "m.store", 1, None)
    assert [one.how for one in arms] == ["all", *["reduced", "reduced", "random", "random"] * 2]
    for one in arms[1:]:
        kept = [row for row, own in enumerate(one.manifest.kept) if own is not None]
        assert sum(len(one.manifest.kept[row]) for row in kept) == one.units
        assert not fold.test[kept].any(), "nothing of the test is dropped"
        assert len(one.manifest) == len(manifest)
    assert arms[1].manifest.table != arms[3].manifest.table


def test_records_that_are_dropped_keep_their_row(ecg_manifest: Manifest) -> None:
    n = len(ecg_manifest)
    units = Units(Family("signal", "record", "patient"), np.arange(n), np.full(n, WHOLE), np.zeros(n, dtype=np.int64))
    less = trained_on(ecg_manifest, [units], [np.arange(n) % 2 == 0], 2)
    assert (less.column("split")[1::2] == LEFT_OUT).all()
    assert (less.column("split")[::2] == ecg_manifest.column("split")[::2]).all()
    assert not less.has(KEPT)


def test_intervals_are_over_seeds_and_paired_with_training_on_all() -> None:
    values = {("", "all"): [(0.70, 0.80), (0.72, 0.82)], ("hash", "reduced"): [(0.75, 0.85), (0.77, 0.87)]}
    cells = tuple(
        ArmResult(
            "hash" * (how == "reduced"), how, "epochs" * (how == "reduced"), fold, seed, 5, 10, 2, 3.0, {"auroc": one}
        )
        for (by, how), seeds in values.items()
        for seed, folds in enumerate(seeds)
        for fold, one in enumerate(folds)
    )
    results = ExperimentResults("lesion", "auroc", "slices", "global-local", 6, cells)
    whole, reduced = results.rows()
    assert whole.quality.mean == pytest.approx(0.76)
    assert whole.quality.n == 2
    assert whole.gap is None
    assert reduced.gap is not None
    assert reduced.gap.mean == pytest.approx(0.05)
    assert reduced.gap.low == pytest.approx(0.05)
    assert reduced.folds == pytest.approx((0.76, 0.86))
    assert reduced.control is None, "there is no arm by chance"
    assert "50% of the units" in results.headline
    with pytest.raises(UsageError, match="at least 1"):
        folds_of(Manifest.read, 0)  # type: ignore[arg-type]
