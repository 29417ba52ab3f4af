"""Near-duplicates across patients or splits."""

import shutil
from pathlib import Path

import nibabel
import numpy as np
import pyarrow as pa
import pytest

from medcl.archive.manifest import Manifest
from medcl.errors import MedclError, UsageError
from medcl.reduce.config import ReduceConfig
from medcl.reduce.leaks import find_leaks, write_leaks
from tests.browser import chromium, opened

from .volumes import archive

WHOLE_VOLUMES = ReduceConfig(unit="record", threshold=0.0)


def made(root: Path, patients: list[int | None], splits: list[str]) -> Manifest:
    """Four volumes, of which the first, the second and the last are one scan."""
    manifest = archive(root, [[1, 2, 3], [1, 2, 3], [7, 8, 9], [1, 2, 3]])
    manifest = manifest.with_column("patient", pa.array(patients, pa.int64()))
    return manifest.with_column("split", pa.array(splits, pa.string()))


def test_one_scan_under_two_patients_and_in_two_splits(tmp_path: Path) -> None:
    manifest = made(tmp_path, [0, 0, 1, 2], ["train", "train", "train", "test"])
    found = find_leaks(manifest, WHOLE_VOLUMES, tmp_path / "store", jobs=1)
    assert [(one.row, one.other, one.patients, one.splits) for one in found.leaks] == [
        (0, 3, True, True),
        (1, 3, True, True),
    ]
    assert "r0 and r3: other patients and splits" in str(found)


def test_a_patient_on_both_sides_and_patients_that_are_not_known(tmp_path: Path) -> None:
    manifest = made(tmp_path, [0, None, 1, 0], ["train", "train", "train", "test"])
    found = find_leaks(manifest, WHOLE_VOLUMES, tmp_path / "store", jobs=1)
    assert [(one.row, one.other, one.patients, one.splits) for one in found.leaks] == [
        (0, 3, False, True),
        (1, 3, False, True),
    ]


def test_the_page_is_whole_on_paper_and_says_sides_and_scale(tmp_path: Path) -> None:
    manifest = made(tmp_path, [0, 0, 1, 2], ["train"] * 4)
    write_leaks(tmp_path / "leaks.html", find_leaks(manifest, ReduceConfig(threshold=0.0), tmp_path / "store", jobs=1))
    html = (tmp_path / "leaks.html").read_text()
    assert 'loading="lazy"' not in html
    with chromium() as browser, opened(browser, tmp_path / "leaks.html", ready="figure") as page:
        page.emulate_media(media="print")
        images = page.locator("main img")
        assert images.count() == 4
        loaded = page.evaluate(
            "[...document.querySelectorAll('img')].map((one) => one.complete && one.naturalWidth > 0)"
        )
        assert all(loaded)
        assert page.locator(".framed b").all_inner_texts()[:2] == ["R", "L"]
        assert page.locator(".framed .scale").first.inner_text().endswith(" mm")


def test_slices_count_for_their_records(tmp_path: Path) -> None:
    manifest = made(tmp_path, [0, 0, 1, 2], ["train"] * 4)
    found = find_leaks(manifest, ReduceConfig(threshold=0.0), tmp_path / "store", jobs=1)
    assert [(one.row, one.other, one.units) for one in found.leaks] == [(0, 3, 3), (1, 3, 3)]
    assert all(one.piece == one.other_piece for one in found.leaks)


@pytest.mark.parametrize("by", ["ssim", "mutual-information"])
def test_a_strategy_without_a_search_finds_the_same(tmp_path: Path, by: str) -> None:
    manifest = made(tmp_path, [0, 0, 1, 2], ["train"] * 4)
    found = find_leaks(manifest, ReduceConfig(by=by), tmp_path / "store", jobs=1)
    assert {(0, 3), (1, 3)} <= {(one.row, one.other) for one in found.leaks}
    assert all(one.patients for one in found.leaks)


def test_an_archive_without_leaks_and_one_without_files(tmp_path: Path) -> None:
    manifest = made(tmp_path, [0, 0, 1, 0], ["train"] * 4)
    assert not find_leaks(manifest, WHOLE_VOLUMES, tmp_path / "store", jobs=1).leaks
    for path in tmp_path.glob("v*"):
        path.unlink()
    with pytest.raises(MedclError, match="none of 4 records"):
        find_leaks(manifest, WHOLE_VOLUMES, tmp_path / "another", jobs=1)


@pytest.mark.parametrize("by", ["entropy", "every-n"])
def test_what_compares_no_two_records_is_refused(tmp_path: Path, by: str) -> None:
    manifest = made(tmp_path, [0, 0, 1, 0], ["train"] * 4)
    with pytest.raises(UsageError, match="compares no two records"):
        find_leaks(manifest, ReduceConfig(by=by), tmp_path / "store", jobs=1)


def test_different_volumes_with_one_hash_are_no_leak(tmp_path: Path) -> None:
    """As registered brains are: one coarse shape, other contents."""
    root = tmp_path / "archive"
    manifest = made(root, [0, 1, 2, 3], ["train"] * 4)
    rng = np.random.default_rng(0)
    for number in range(4):
        path = root / manifest.column("path")[number]
        image = nibabel.load(path)
        ramp = np.indices(image.shape).sum(axis=0) * 50
        nibabel.Nifti1Image((ramp + rng.normal(0, 150, image.shape)).astype(np.int16), image.affine).to_filename(path)
    # What they were when they were scanned is of no concern here.
    for name in ("size", "mtime_ns"):
        manifest = manifest.with_column(name, pa.nulls(4, pa.int64()))
    config = ReduceConfig(unit="record", threshold=20.0)
    assert not find_leaks(manifest, config, tmp_path / "store", jobs=1).leaks
    shutil.copy(root / manifest.column("path")[0], root / manifest.column("path")[3])
    found = find_leaks(manifest, config, tmp_path / "another", jobs=1)
    assert [(one.row, one.other, one.measure) for one in found.leaks] == [(0, 3, 0.0)]
