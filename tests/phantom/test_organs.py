import csv
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from medcl.archive.manifest import Manifest
from medcl.cli import main
from medcl.phantom.organ_archive import write_organs
from medcl.phantom.organs import CONTRASTS, ORGANS, PLANES

SMALL = (24, 20, 12)
PATIENTS = 16


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "organs" / "labels.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("organs")
    write_organs(folder, PATIENTS, seed=3, shape=SMALL)
    return folder


def volumes(folder: Path) -> list[tuple[dict[str, str], np.ndarray, np.ndarray, np.ndarray]]:
    """Row of the table, voxels, labels and affine of each volume, on axes of RAS+."""
    found = []
    for row in table(folder):
        image, mask = (
            nib.as_closest_canonical(nib.load(folder / place / f"{row['record']}.nii.gz"))
            for place in ("organs", "masks/organs")
        )
        np.testing.assert_array_equal(image.affine, mask.affine)
        found.append((row, image.get_fdata(), np.asarray(mask.dataobj), image.affine))
    return found


def test_the_same_seed_writes_the_same_bytes_and_fewer_patients_the_same_ones(archive: Path, tmp_path: Path) -> None:
    written = write_organs(tmp_path, 3, seed=3, shape=SMALL)
    few = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*.nii.gz")}
    assert len(few) == 2 * written.volumes == 2 * len(table(tmp_path))
    assert all((archive / path).read_bytes() == data for path, data in few.items())
    write_organs(tmp_path / "other", 1, seed=4, shape=SMALL)
    assert not {path.read_bytes() for path in (tmp_path / "other").rglob("*.nii.gz")} & set(few.values())


def test_volumes_come_of_three_scanners_in_two_planes(archive: Path) -> None:
    found = volumes(archive)
    assert {row["scanner"] for row, *_ in found} == set(CONTRASTS)
    for row, image, *_ in found:
        stored = nib.load(archive / "organs" / f"{row['record']}.nii.gz")
        assert "".join(nib.aff2axcodes(stored.affine)) == PLANES[row["plane"]]
        assert image.shape == (SMALL if row["plane"] == "axial" else (24, 13, 18))


def test_every_organ_is_in_every_volume_and_varies(archive: Path) -> None:
    sizes = np.array(
        [
            [(labels == number).sum() * abs(np.linalg.det(affine[:3, :3])) / 1000 for number in range(1, 8)]
            for _, _, labels, affine in volumes(archive)
        ]
    )
    assert (sizes > 5).all()
    assert sizes[:, 0].min() > 300
    assert ((sizes.std(axis=0) / sizes.mean(axis=0)) > 0.05).all()


def test_a_scanner_has_a_contrast_of_its_own(archive: Path) -> None:
    """What is bright on one scanner is dark on another: no threshold finds an organ everywhere."""
    higher = {}
    for row, image, labels, _ in volumes(archive):
        medians = [np.median(image[labels == 1 + ORGANS.index(name)]) for name in ("stomach", "liver", "aorta")]
        higher.setdefault(row["scanner"], []).append(np.argsort(medians).tolist())
    stated = {
        model: np.argsort([tissues[name][0] for name in ("stomach", "liver", "aorta")]).tolist()
        for model, tissues in CONTRASTS.items()
    }
    assert len({tuple(order) for order in stated.values()}) > 1
    for model, orders in higher.items():
        assert np.mean([order == stated[model] for order in orders]) > 0.7


def test_the_command_writes_what_its_next_line_scans(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["phantom", str(tmp_path / "a"), "--ecg-patients", "0", "--eeg-subjects", "0", "--organ-patients", "4"]
    assert main(words) == 0
    told = capsys.readouterr().out
    assert "volumes of the abdomen of 4 patients" in told
    line = next(one for one in told.splitlines() if one.startswith("next: medcl scan"))
    assert main([*line.split()[2:-1], str(tmp_path / "organs.parquet")]) == 0
    manifest = Manifest.read(tmp_path / "organs.parquet")
    assert manifest.masks["mask"].classes == ("background", *ORGANS)
    assert len(manifest.ok()) == len(table(tmp_path / "a"))
    assert "scanner" in manifest.targets
