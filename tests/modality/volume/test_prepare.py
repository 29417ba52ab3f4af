"""Preparation of volumes: when a store is made anew, and what becomes of those that cannot be prepared."""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pytest
from nibabel.freesurfer.mghformat import MGHImage

from medcl.commands.arguments import filled
from medcl.data.prepare import prepare
from medcl.data.store import open_store
from medcl.errors import MedclError, UsageError
from medcl.modality.volume.config import VolumeConfig
from tests.data.volume_archive import archive, labels, manifest_of, noise, save
from tests.modality.volume.formats.test_text_volumes import write_mha, write_nrrd

CONFIG = VolumeConfig(size=(16, 16, 16))
ZERO = np.zeros(3, dtype=np.int64)


def test_the_store_is_made_once_and_anew_for_other_settings(tmp_path: Path) -> None:
    manifest = archive(tmp_path / "a", 2)
    first = prepare(manifest, CONFIG, tmp_path / "store", jobs=1)
    stamp = (first.folder / "index.parquet").stat().st_mtime_ns
    again = prepare(manifest, replace(CONFIG, size=(8, 32, 8)), tmp_path / "store", jobs=1)
    assert again.folder == first.folder
    assert (again.folder / "index.parquet").stat().st_mtime_ns == stamp
    changed = [
        replace(CONFIG, size=(8, 8, 1)),
        replace(CONFIG, spacing=(1.0, 1.0, 1.0)),
        replace(CONFIG, percentiles=(0.0, 100.0)),
        replace(CONFIG, foreground=True),
    ]
    folders = {prepare(manifest, config, tmp_path / "store", jobs=1).folder for config in changed}
    assert len(folders | {first.folder}) == 5


def test_a_changed_volume_or_label_map_is_prepared_anew(tmp_path: Path) -> None:
    manifest = archive(tmp_path / "a", 1)
    first = prepare(manifest, CONFIG, tmp_path / "store", jobs=1)
    volume = tmp_path / "a" / "v0.nii.gz"
    os.utime(volume, ns=(0, volume.stat().st_mtime_ns + 1))
    manifest = manifest.with_column("mtime_ns", pa.array(manifest.column("mtime_ns") + 1))
    assert prepare(manifest, CONFIG, tmp_path / "store", jobs=1).folder != first.folder
    save(tmp_path / "a" / "m0.nii.gz", labels(seed=7))
    second = prepare(manifest, CONFIG, tmp_path / "store", jobs=1)
    assert second.folder != first.folder
    np.testing.assert_array_equal(second.read_mask("organs", 0, ZERO, second.shape[0]), labels(seed=7))


def test_the_store_is_the_same_for_any_number_of_processes(tmp_path: Path) -> None:
    manifest = archive(tmp_path / "a", 6)
    one = prepare(manifest, CONFIG, tmp_path / "one", jobs=1)
    two = prepare(manifest, CONFIG, tmp_path / "two", jobs=2)
    assert one.folder.name == two.folder.name
    files = sorted(path.name for path in one.folder.iterdir())
    assert files == sorted(path.name for path in two.folder.iterdir())
    assert all((one.folder / name).read_bytes() == (two.folder / name).read_bytes() for name in files)


def test_volumes_that_cannot_be_prepared_are_quarantined_and_the_rest_goes_on(tmp_path: Path) -> None:
    root = tmp_path / "a"
    for i in range(5):
        save(root / f"v{i}.nii.gz", noise(seed=i))
    save(root / "v5.nii.gz", noise((10, 10, 10, 2)))
    save(root / "v6.nii.gz", np.full((10, 10, 10), 7, dtype=np.int16))
    broken = noise((10, 10, 10)).astype(np.float32)
    broken[0, 0, 0] = np.nan
    save(root / "v7.nii.gz", broken)
    manifest = manifest_of(root)
    short = (root / "v0.nii.gz").read_bytes()
    (root / "v0.nii.gz").write_bytes(short[: len(short) // 2])
    (root / "v1.nii.gz").unlink()
    store = prepare(manifest, CONFIG, tmp_path / "store", jobs=2)
    assert list(store.record_ids) == ["r2", "r3", "r4"]
    reasons = store.quarantine
    assert reasons["r0"].startswith("changed since the scan: ")
    assert "not found" in reasons["r1"]
    assert str(root) not in reasons["r1"]
    assert reasons["r5"] == "2 channels, other volumes have 1"
    assert "both 7" in reasons["r6"]
    assert "not a number" in reasons["r7"]
    assert open_store(store.folder, "volume").quarantine == reasons


@pytest.mark.parametrize(("nan", "value"), [("zero", 0), ("minimum", 100)])
def test_voxels_that_are_no_number_are_filled_where_that_is_asked_for_and_counted(
    tmp_path: Path, nan: Literal["zero", "minimum"], value: float
) -> None:
    root = tmp_path / "a"
    whole = noise((10, 10, 10)).astype(np.float32) + 100
    data = np.pad(whole, ((1, 0), (0, 0), (0, 0)), constant_values=np.nan)
    whole[0, 0, 0] = data[1, 0, 0] = 100
    save(root / "v0.nii.gz", data)
    save(root / "v1.nii.gz", np.pad(whole, ((1, 0), (0, 0), (0, 0))))
    manifest = manifest_of(root)
    refused = prepare(manifest, CONFIG, tmp_path / "store", jobs=1)
    assert refused.quarantine == {
        "r0": "100 of 1100 voxels are not a number (NaN): data.nan=zero or data.nan=minimum fills them"
    }
    assert refused.filled == {}
    store = prepare(manifest, replace(CONFIG, nan=nan), tmp_path / "store", jobs=1)
    assert store.filled == open_store(store.folder, "volume").filled == {"r0": 100}
    read = store.read(0, ZERO, store.shape[0])[0]
    np.testing.assert_array_equal(read, np.where(np.isnan(data), value, data))
    assert filled(store.filled) == ["filled: 100 voxels that were not a number (data.nan), of 1 volumes: r0"]


def test_label_maps_that_cannot_be_used_leave_their_volume_usable(tmp_path: Path) -> None:
    root = tmp_path / "a"
    for i in range(6):
        save(root / f"v{i}.nii.gz", noise(seed=i))
    beyond = labels()
    beyond[3, 3, 3] = 9
    broken = labels().astype(np.float32)
    broken[0, 0, 0] = np.nan
    save(root / "m0.nii.gz", beyond)
    save(root / "m1.nii.gz", broken)
    save(root / "m2.nii.gz", labels((20, 24, 15)))
    save(root / "m3.nii.gz", labels(), np.diag([1.0, 1.0, 2.1, 1.0]))
    save(root / "m4.nii.gz", np.zeros_like(beyond))
    save(root / "m5.nii.gz", labels(seed=5))
    manifest = manifest_of(root, {f"v{i}.nii.gz": f"m{i}.nii.gz" for i in range(6)})
    store = prepare(manifest, CONFIG, tmp_path / "store", jobs=1)
    assert len(store) == 6
    assert store.has_mask("organs").tolist() == [False] * 5 + [True]
    reasons = store.mask_quarantine["organs"]
    for record_id, expected in zip(
        ["r0", "r1", "r2", "r3", "r4"], ["labels 9", "not a number", "15", "spacing", "empty"], strict=True
    ):
        assert expected in reasons[record_id]
    with pytest.raises(MedclError, match="labels 9"):
        store.read_mask("organs", 0, ZERO, store.shape[0])


def test_label_maps_may_be_in_another_format_than_their_volume(tmp_path: Path) -> None:
    root = tmp_path / "a"
    affine = np.diag([1.0, 1.0, 2.0, 1.0])
    names = {"v0.nii.gz": "m0.nrrd", "v1.nii.gz": "m1.mha", "v2.nii.gz": "m2.mgz", "v3.nii.gz": "m3.txt"}
    for i, name in enumerate(names):
        save(root / name, noise(seed=i))
    write_nrrd(root / "m0.nrrd", labels(seed=0), affine)
    write_mha(root / "m1.mha", labels(seed=1), affine)
    MGHImage(labels(seed=2), affine.astype(np.float32)).to_filename(root / "m2.mgz")
    (root / "m3.txt").write_text("no labels")
    store = prepare(manifest_of(root, names), CONFIG, tmp_path / "store", jobs=1)
    assert store.mask_quarantine["organs"] == {"r3": "no label map: NIfTI, NRRD, MetaImage and MGH are read as such"}
    for i in range(3):
        np.testing.assert_array_equal(store.read_mask("organs", i, ZERO, store.shape[i]), labels(seed=i))


def test_label_maps_follow_their_volume_to_another_grid(tmp_path: Path) -> None:
    root = tmp_path / "a"
    data = np.zeros((40, 40, 20), dtype=np.int16)
    data[20:32, 14:26, 6:14] = 900
    save(root / "v0.nii.gz", data + noise(data.shape) // 50)
    save(root / "m0.nii.gz", (data > 400).astype(np.uint8))
    config = replace(CONFIG, spacing=(1.5, 0.7, 1.0), foreground=True)
    store = prepare(manifest_of(root, {"v0.nii.gz": "m0.nii.gz"}), config, tmp_path / "store", jobs=1)
    assert (store.box_stop[0] - store.box_start[0]).tolist() == [30, 32, 18]
    volume = store.read(0, ZERO, store.shape[0])[0]
    mask = store.read_mask("organs", 0, ZERO, store.shape[0])
    assert 2 * ((volume > 450) & (mask == 1)).sum() / ((volume > 450).sum() + mask.sum()) > 0.95


def test_volumes_off_a_regular_grid_are_quarantined_unless_they_are_wanted(tmp_path: Path) -> None:
    for i in range(2):
        save(tmp_path / "a" / f"v{i}.nii.gz", noise(seed=i))
    flags = pa.array([["gantry tilt 13.6 degrees"], ["derived image"]])
    manifest = manifest_of(tmp_path / "a").with_column("flags", flags)
    store = prepare(manifest, CONFIG, tmp_path / "store", jobs=1)
    assert list(store.record_ids) == ["r1"]
    assert store.quarantine["r0"].startswith("gantry tilt 13.6 degrees: data.irregular=resample")
    kept = prepare(manifest, replace(CONFIG, irregular="keep"), tmp_path / "store", jobs=1)
    assert len(kept) == 2
    resampled = prepare(manifest, replace(CONFIG, irregular="resample"), tmp_path / "store", jobs=1)
    assert "only DICOM" in resampled.quarantine["r0"]


def test_a_volume_larger_than_memory_is_quarantined_with_what_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "a"
    save(root / "v0.nii.gz", noise((10, 10, 10)))
    save(root / "v1.nii.gz", noise((100, 100, 100)))
    # The memory of a small machine: 5 kB are enough for the first alone.
    monkeypatch.setattr("medcl.data.prepare.available", lambda: 5000)
    store = prepare(manifest_of(root), CONFIG, tmp_path / "store", jobs=2)
    assert list(store.record_ids) == ["r0"]
    assert store.quarantine["r1"].startswith("larger than memory: decoding it takes 4.0 MB")


def test_a_window_is_what_becomes_0_and_1_and_percentiles_are_the_volumes_own(tmp_path: Path) -> None:
    manifest = archive(tmp_path / "a", 2)
    store = prepare(manifest, CONFIG, tmp_path / "store", jobs=1)
    expected = np.percentile(noise(seed=1), [1, 99], method="inverted_cdf")
    assert np.abs([store.low[1], store.high[1]] - expected).max() <= 1
    with pytest.raises(UsageError, match=r"data\.window is in HU"):
        prepare(manifest, replace(CONFIG, window=(-100.0, 300.0)), tmp_path / "store")
    ct = manifest_of(tmp_path / "a", modality="ct")
    windowed = prepare(ct, replace(CONFIG, window=(-100.0, 300.0)), tmp_path / "store", jobs=1)
    assert (windowed.low == -100).all()
    assert (windowed.high == 300).all()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"size": (16, 16)}, "three numbers of voxels"),
        ({"size": (16, 1, 1)}, "at most one is 1"),
        ({"size": (16, 0, 8)}, "three numbers of voxels"),
        ({"spacing": (1.0, 0.0, None)}, "mm above 0"),
        ({"percentiles": (99.0, 1.0)}, "the lower first"),
    ],
)
def test_settings_that_cannot_be_are_refused(tmp_path: Path, settings: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        prepare(archive(tmp_path / "a", 1), replace(CONFIG, **settings), tmp_path / "store")


def test_an_archive_of_which_nothing_can_be_decoded_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    manifest = archive(tmp_path / "a", 2)
    for path in (tmp_path / "a").glob("v*"):
        path.unlink()
    with pytest.raises(MedclError, match="none of 2 volumes"):
        prepare(manifest, CONFIG, tmp_path / "store", jobs=1)
    assert not list((tmp_path / "store").iterdir())


def test_a_store_is_not_larger_than_asked_for(tmp_path: Path) -> None:
    with pytest.raises(MedclError, match=r"beyond the 1e-05 GB of data\.largest"):
        prepare(archive(tmp_path / "a", 2), replace(CONFIG, largest=1e-5), tmp_path / "store", jobs=1)
    assert not list((tmp_path / "store").iterdir())


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only a machine's administrator can mount a small file system")
    yield folder
    # Lazily: a test that fails keeps its files open in its traceback.
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize(("shape", "said"), [((150, 150, 150), "are needed"), ((100, 100, 100), "make room")])
def test_a_disk_that_is_too_small_is_a_clear_error(
    small_disk: Path, tmp_path: Path, shape: tuple[int, ...], said: str
) -> None:
    save(tmp_path / "a" / "v0.nii.gz", noise(shape))
    with pytest.raises(MedclError, match=said):
        prepare(manifest_of(tmp_path / "a"), CONFIG, small_disk / "store", jobs=1)
    assert not list((small_disk / "store").iterdir())
