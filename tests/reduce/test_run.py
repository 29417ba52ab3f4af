"""From a manifest to a smaller one."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from medcl.archive.manifest import Manifest
from medcl.data.prepare import prepare
from medcl.errors import MedclError, UsageError
from medcl.modality.volume.config import VolumeConfig
from medcl.modality.volume.samples import VolumePatches
from medcl.reduce.config import ReduceConfig
from medcl.reduce.run import DROPPED_SCHEMA, reduce_manifest

from ..data.image_archive import write_archive
from ..data.report_archive import manifest as reports
from ..data.volume_archive import manifest_of, noise, save
from .volumes import archive, blobs, volume


def kept_of(manifest: Manifest) -> list[list[int] | None]:
    return [None if one is None else one.tolist() for one in manifest.kept]


def test_of_equal_slices_the_first_is_kept_and_what_goes_says_for_what(tmp_path: Path) -> None:
    manifest = archive(tmp_path, [[1, 1, 2, 2, 1], [3, 4]])
    reduced = reduce_manifest(manifest, ReduceConfig(threshold=0.0), tmp_path / "store", jobs=1)
    assert kept_of(reduced.manifest) == [[0, 2], None]
    assert reduced.dropped.schema == DROPPED_SCHEMA
    rows = [tuple(row.values()) for row in reduced.dropped.select(DROPPED_SCHEMA.names[:5]).to_pylist()]
    assert rows == [("r0", 1, "r0", 0, 0.0), ("r0", 3, "r0", 2, 0.0), ("r0", 4, "r0", 0, 0.0)]
    assert "4 of 7" in str(reduced)


def test_the_result_goes_into_pretraining_and_the_same_for_any_number_of_processes(tmp_path: Path) -> None:
    manifest = archive(tmp_path, [[1, 1, 2], [3, 4, 4], [5, 5, 5], [6, 6, 7], [8, 9, 1]])
    one = reduce_manifest(manifest, ReduceConfig(), tmp_path / "one", jobs=1)
    two = reduce_manifest(manifest, ReduceConfig(), tmp_path / "two", jobs=2)
    assert one.manifest.table.equals(two.manifest.table)
    assert one.dropped.equals(two.dropped)
    one.manifest.write(tmp_path / "reduced.parquet")
    back, config = Manifest.read(tmp_path / "reduced.parquet"), VolumeConfig(size=(8, 8, 1))
    patches = VolumePatches(prepare(back, config, tmp_path / "prepared", jobs=1), back, config)
    assert [None if k is None else k.tolist() for k in patches.kept] == [[0, 2], [0, 1], [0], [0, 2], None]


def test_a_wider_scope_compares_volumes_and_drops_records_of_which_nothing_is_left(tmp_path: Path) -> None:
    manifest = archive(tmp_path, [[1, 2], [2, 1], [1, 3]])
    config = ReduceConfig(threshold=0.0, scope="patient")
    reduced = reduce_manifest(manifest, config, tmp_path / "store", jobs=1)
    assert reduced.manifest.column("record_id").tolist() == ["r0", "r2"]
    everywhere = reduce_manifest(manifest, replace(config, scope="archive"), tmp_path / "store", jobs=1)
    assert kept_of(everywhere.manifest) == [None, [1]]
    assert everywhere.dropped["duplicate_of"].to_pylist() == ["r0", "r0", "r0"]


def test_whole_volumes_of_a_patient(tmp_path: Path) -> None:
    manifest = archive(tmp_path, [[1, 2, 3], [1, 2, 3], [1, 2, 3]])
    reduced = reduce_manifest(manifest, ReduceConfig(unit="record", threshold=0.0), tmp_path / "store", jobs=1)
    assert reduced.manifest.column("record_id").tolist() == ["r0", "r2"]
    assert reduced.dropped["slice"].to_pylist() == [None]


def test_a_second_threshold_opens_no_file_and_an_interrupted_run_goes_on(tmp_path: Path) -> None:
    manifest, store = archive(tmp_path, [[1, 1], [2, 3], [4, 4]]), tmp_path / "store"
    first = manifest.select([0, 1])
    reduce_manifest(first, ReduceConfig(), store, jobs=1)
    for name in ("v0.nii.gz", "v1.nii.gz"):
        os.remove(tmp_path / name)
    reduced = reduce_manifest(manifest, ReduceConfig(threshold=2.0), store, jobs=1)
    assert kept_of(reduced.manifest) == [[0], None, [0]]
    assert not reduced.quarantine


def test_damaged_and_vanished_files_are_told_and_the_others_reduced(tmp_path: Path) -> None:
    manifest = archive(tmp_path, [[1, 1], [2, 2], [3, 3]])
    os.remove(tmp_path / "v0.nii.gz")
    (tmp_path / "v1.nii.gz").write_bytes(b"nothing of use")
    reduced = reduce_manifest(manifest, ReduceConfig(), tmp_path / "store", jobs=1)
    assert set(reduced.quarantine) == {"r0", "r1"}
    assert [status == "ok" for status in reduced.manifest.column("status")] == [False, False, True]
    assert kept_of(reduced.manifest) == [None, None, [0]]
    assert str(tmp_path) not in " ".join(reduced.quarantine.values())


def test_a_manifest_whose_files_have_all_gone_is_an_error_that_says_so(tmp_path: Path) -> None:
    manifest = archive(tmp_path, [[1, 1], [2, 2]])
    for path in tmp_path.glob("v*"):
        path.unlink()
    with pytest.raises(MedclError, match="none of 2 records can be compared.*scan the archive again"):
        reduce_manifest(manifest, ReduceConfig(), tmp_path / "store", jobs=1)


def test_a_file_with_another_number_of_slices_than_when_it_was_scanned(tmp_path: Path) -> None:
    manifest = archive(tmp_path, [[1, 1], [2, 2]])
    save(tmp_path / "v0.nii.gz", volume([1, 2, 3]))
    reduced = reduce_manifest(manifest, ReduceConfig(), tmp_path / "store", jobs=1)
    assert reduced.quarantine["r0"].startswith("changed since the scan: ")


def test_one_slice_mixed_sizes_and_an_archive_of_equal_and_constant_images(tmp_path: Path) -> None:
    save(tmp_path / "v0.nii.gz", volume([1]))
    save(tmp_path / "v1.nii.gz", volume([2, 2], (30, 20)))
    save(tmp_path / "v2.nii.gz", np.zeros((8, 9, 5), dtype=np.int16))
    save(tmp_path / "v3.nii.gz", np.full((8, 9, 5), 7, dtype=np.int16))
    manifest = manifest_of(tmp_path, patients=1)
    reduced = reduce_manifest(manifest, ReduceConfig(), tmp_path / "store", jobs=1)
    assert kept_of(reduced.manifest) == [None, [0], [0], [0]]
    everywhere = reduce_manifest(manifest, ReduceConfig(scope="archive"), tmp_path / "store", jobs=1)
    assert len(everywhere.manifest) == 3, "the two constant volumes are one"


@pytest.mark.parametrize("rule", ["k-centre", "balanced"])
def test_a_share_of_each_group_is_kept(tmp_path: Path, rule: str) -> None:
    save(tmp_path / "v0.nii.gz", noise((20, 20, 10), 0))
    save(tmp_path / "v1.nii.gz", noise((20, 20, 4), 1))
    config = ReduceConfig(keep=0.2, rule=rule)  # type: ignore[arg-type]
    reduced = reduce_manifest(manifest_of(tmp_path), config, tmp_path / "store", jobs=1)
    assert [len(one or []) for one in kept_of(reduced.manifest)] == [2, 1]
    assert reduced.dropped["threshold"].null_count == len(reduced.dropped)


@pytest.mark.parametrize("by", ["every-n", "entropy", "ssim", "mutual-information"])
def test_other_strategies(tmp_path: Path, by: str) -> None:
    manifest = archive(tmp_path, [[1, 1, 1, 1, 1, 1], [2, 3, 4, 5, 6, 7]])
    reduced = reduce_manifest(manifest, ReduceConfig(by=by), tmp_path / "store", jobs=1)
    assert sum(6 if one is None else len(one) for one in kept_of(reduced.manifest)) == int(
        reduced.selections[0].keep.sum()
    )
    again = reduce_manifest(manifest, ReduceConfig(by=by, keep=0.5), tmp_path / "store", jobs=1)
    assert [len(one or []) for one in kept_of(again.manifest)] == [3, 3]


def test_the_knee_of_the_curve(tmp_path: Path) -> None:
    manifest = archive(tmp_path, [[1, 1, 2, 2], [3, 4, 3, 4]])
    reduced = reduce_manifest(manifest, ReduceConfig(threshold="auto"), tmp_path / "store", jobs=1)
    assert kept_of(reduced.manifest) == [[0, 2], [0, 1]]
    assert reduced.selections[0].threshold is not None


def test_a_reduction_goes_on_from_an_earlier_one(tmp_path: Path) -> None:
    manifest = archive(tmp_path, [[1, 1, 2, 3, 4, 5]])
    first = reduce_manifest(manifest, ReduceConfig(threshold=0.0), tmp_path / "store", jobs=1).manifest
    second = reduce_manifest(first, ReduceConfig(by="every-n"), tmp_path / "store", jobs=1).manifest
    assert set(kept_of(second)[0] or []) < {0, 2, 3, 4, 5}
    assert [one["by"].split("-")[0] for one in second.metadata["reduced"]] == ["hash", "every"]


def test_other_splits_and_other_kinds_are_kept_and_this_is_said(tmp_path: Path) -> None:
    images = write_archive(tmp_path, {"a": blobs(1).astype(np.uint8), "b": blobs(1).astype(np.uint8)}, others=True)
    images = images.with_column("patient", pa.array([1] * len(images), pa.int64()))
    reduced = reduce_manifest(images, ReduceConfig(by="ssim"), tmp_path / "store", jobs=1)
    assert sorted(reduced.manifest.kinds.tolist()) == ["image", "report", "signal", "signal"]
    assert any(what.startswith("recordings") for what in reduced.untouched)
    split = images.with_column("split", pa.array(["train" if k != "image" else "test" for k in images.kinds]))
    with pytest.raises(UsageError, match="--by ssim compares"):
        reduce_manifest(split, ReduceConfig(by="ssim"), tmp_path / "store", jobs=1)


def test_reports_of_a_patient_with_the_same_text(tmp_path: Path) -> None:
    manifest = reports(["clear lungs", "clear lungs", "a nodule"], tmp_path)
    manifest = manifest.with_column("patient", pa.array([1, 1, 1], pa.int64()))
    reduced = reduce_manifest(manifest, ReduceConfig(by="exact-text"), tmp_path / "store", jobs=1)
    assert reduced.manifest.column("record_id").tolist() == ["r0", "r2"]


def test_no_strategy_of_this_name_and_no_such_threshold(tmp_path: Path) -> None:
    manifest = archive(tmp_path, [[1, 1]])
    with pytest.raises(UsageError, match="strategy magic: one of hash"):
        reduce_manifest(manifest, ReduceConfig(by="magic"), tmp_path / "store")
    with pytest.raises(UsageError, match="threshold 65"):
        reduce_manifest(manifest, ReduceConfig(threshold=65.0), tmp_path / "store")
    with pytest.raises(UsageError, match="--by minhash compares reports"):
        reduce_manifest(manifest, ReduceConfig(by="minhash"), tmp_path / "store")
