"""What is far from the training data: groups that have drifted, records that are unusual."""

from pathlib import Path

import numpy as np
import pytest

from medcl.archive.manifest import Manifest
from medcl.cli import main
from medcl.errors import UsageError
from medcl.explore.outliers import distances, drift, write_unusual, write_unusual_of
from medcl.explore.page import Categories
from tests.explore.embedded import write

RNG = np.random.default_rng(0)
PATIENTS = np.repeat(np.arange(60), 2)
BASE = RNG.normal(size=(60, 6))[PATIENTS] + 0.2 * RNG.normal(size=(120, 6)) + 3
SPLIT = Categories(np.where(PATIENTS < 40, 0, np.where(PATIENTS < 50, 1, 2)), ("train", "same", "other"))
TRAINING = SPLIT.codes == 0


def test_the_distance_is_the_mean_to_the_nearest_of_other_patients() -> None:
    found = distances(BASE, TRAINING, PATIENTS, k=3)
    unit = BASE / np.linalg.norm(BASE, axis=1, keepdims=True)
    for row in (0, 5, 119):
        others = TRAINING & (PATIENTS[row] != PATIENTS)
        slow = np.sort(1 - unit[others] @ unit[row])[:3].mean()
        assert found.values[row] == pytest.approx(slow, abs=1e-5)
    assert (found.values[TRAINING] <= found.margin + 1e-9).mean() == pytest.approx(0.95, abs=0.02)


def test_a_group_that_has_moved_is_told_from_one_that_has_not() -> None:
    moved = BASE.copy()
    moved[SPLIT.codes == 2] *= [-1, 1, 1, 1, 1, 1]
    same, other = drift(distances(moved, TRAINING, PATIENTS), SPLIT, PATIENTS)
    assert (same.name, other.name) == ("same", "other")
    assert same.low < 0.5 < same.high
    assert other.low > 0.7
    assert other.beyond > 0.5


def test_embeddings_that_are_all_the_same_have_not_drifted() -> None:
    found = distances(np.ones((120, 4)), TRAINING, PATIENTS)
    assert all(one.auroc == 0.5 and one.beyond == 0 for one in drift(found, SPLIT, PATIENTS))


def test_the_most_unusual_records_are_a_picture(ecg_manifest: Manifest, tmp_path: Path) -> None:
    manifest = ecg_manifest.ok()
    count = len(manifest)
    vectors = RNG.normal(size=(count, 4)) * 0.1 + 1
    vectors[4] = -vectors[4]
    found = distances(vectors, np.arange(count) != 4, np.arange(count))
    rows = write_unusual(found, manifest, manifest.column("record_id"), tmp_path / "unusual.png", count=3)
    assert len(rows) == 3
    assert rows[0] == 4
    assert (tmp_path / "unusual.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(UsageError, match=r"a contact sheet is a \.png"):
        write_unusual(found, manifest, manifest.column("record_id"), tmp_path / "unusual.html")
    with pytest.raises(UsageError, match="the manifest has no record"):
        write_unusual(found, manifest.select([0]), manifest.column("record_id"), tmp_path / "unusual.png")


def test_a_file_of_embeddings_has_its_unusual_records(ecg_manifest: Manifest, tmp_path: Path) -> None:
    manifest = ecg_manifest.ok()
    vectors = (RNG.normal(size=(len(manifest), 4)) * 0.1 + 1).astype(np.float32)
    vectors[2] = -vectors[2]
    embeddings = write(manifest, vectors, tmp_path / "e.parquet")
    rows = write_unusual_of(embeddings, vectors, manifest, tmp_path / "unusual.png", count=2)
    assert rows[0] == 2
    assert (tmp_path / "unusual.png").exists()


def test_without_training_embeddings_nothing_has_drifted() -> None:
    with pytest.raises(UsageError, match="no training embeddings"):
        distances(BASE, np.zeros(120, bool), PATIENTS)
    alone = distances(BASE, TRAINING & (PATIENTS == 0), np.where(PATIENTS == 0, 0, PATIENTS))
    assert np.isnan(alone.values[:2]).all()


def test_the_command_writes_the_sheet_of_unusual_records(
    ecg_manifest: Manifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = ecg_manifest.ok().select(np.arange(12))
    write(manifest, RNG.normal(size=(12, 4)).astype(np.float32), tmp_path / "e.parquet")
    sheet = tmp_path / "unusual.png"
    words = ["explore", str(tmp_path / "e.parquet"), "--projection", "pca", "--thumbnails", "none"]
    assert main([*words, "--unusual", str(sheet)]) == 0
    assert sheet.exists()
    assert "the most unusual records" in capsys.readouterr().out
