"""The manifest as a file and as columns."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medcl.archive.manifest import Manifest, Target
from medcl.archive.schema import SCHEMA, SCHEMA_VERSION
from medcl.errors import MedclError, UsageError

LARGE = 2**62 + 1  # not a float64


def made() -> Manifest:
    table = pa.table(
        {
            "record_id": ["a", "b", "c", "d"],
            "patient": pa.array([LARGE, None, LARGE + 1, 3], type=pa.int64()),
            "status": ["ok", "zero length: no samples", "ok", "ok"],
            "split": ["train", None, "test", "train"],
            "diagnosis": pa.array([["MI", "CD"], None, [], ["CD"]], type=pa.list_(pa.string())),
            "sex": ["F", "M", None, "M"],
            "age": pa.array([61.0, None, 44.0, 7.0]),
        }
    )
    targets = [
        Target("diagnosis", "multilabel", ("CD", "MI")),
        Target("sex", "binary", ("M", "F")),
        Target("age", "regression"),
    ]
    return Manifest(table, Path("/archive"), {"salt": "0f"}).with_targets({one.name: one for one in targets})


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    manifest = made()
    manifest.write(tmp_path / "new" / "m.parquet")
    read = Manifest.read(tmp_path / "new" / "m.parquet")
    assert read.table.equals(manifest.table)
    assert (read.root, read.metadata, read.targets) == (manifest.root, manifest.metadata, manifest.targets)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["m.parquet"]


def test_codes_stay_integers_where_some_are_missing(tmp_path: Path) -> None:
    made().write(tmp_path / "m.parquet")
    patient = Manifest.read(tmp_path / "m.parquet").column("patient")
    assert patient.dtype == np.int64
    assert patient.tolist() == [LARGE, -1, LARGE + 1, 3]


def test_labels_are_numbers_with_a_mark_for_the_unlabelled() -> None:
    manifest = made()
    np.testing.assert_array_equal(manifest.labels("diagnosis"), [[1, 1], [np.nan] * 2, [0, 0], [1, 0]])
    assert manifest.labels("diagnosis").dtype == np.float32
    assert manifest.labels("sex").tolist() == [1, 0, -1, 0]
    np.testing.assert_array_equal(manifest.labels("age"), np.array([61, np.nan, 44, 7], dtype=np.float32))


def test_labels_do_not_depend_on_how_the_rows_are_stored() -> None:
    manifest = made()
    parts = replace(manifest, table=pa.concat_tables([manifest.table.slice(2), manifest.table.slice(0, 2)]))
    assert parts.table.column("diagnosis").num_chunks == 2
    for name in ("diagnosis", "sex", "age"):
        np.testing.assert_array_equal(parts.labels(name), manifest.labels(name)[[2, 3, 0, 1]])
        np.testing.assert_array_equal(manifest.select([3, 0]).labels(name), manifest.labels(name)[[3, 0]])


def test_rows_are_chosen_by_mask_number_status_and_split() -> None:
    manifest = made()
    assert manifest.ok().column("record_id").tolist() == ["a", "c", "d"]
    assert manifest.select(np.array([False, True, False, True])).column("record_id").tolist() == ["b", "d"]
    assert manifest.split_rows("train").tolist() == [0, 3]
    assert len(manifest.select([])) == 0
    assert manifest.select([]).labels("diagnosis").shape == (0, 2)
    with pytest.raises(UsageError, match="mask"):
        manifest.select(np.array([True]))


def test_a_column_is_replaced_where_it_stands_and_added_at_the_end() -> None:
    manifest = made().with_column("split", pa.array([None, None, None, "val"], type=pa.string()))
    assert manifest.table.column_names == made().table.column_names
    assert manifest.split_rows("val").tolist() == [3]
    assert manifest.with_column("new", pa.array([1, 2, 3, 4])).table.column_names[-1] == "new"


def test_names_that_are_not_there_are_answered_with_those_that_are() -> None:
    with pytest.raises(UsageError, match="no column 'sexe' in the manifest: it has record_id, patient"):
        made().column("sexe")
    with pytest.raises(UsageError, match="no target 'split' in the manifest: it has diagnosis, sex, age"):
        made().labels("split")


def test_a_class_that_the_target_does_not_have_is_an_error() -> None:
    manifest = made().with_column("sex", pa.array(["F", "X", None, "M"]))
    with pytest.raises(MedclError, match="target 'sex': 1 values are not one of its classes"):
        manifest.labels("sex")


def test_other_files_are_no_manifest(tmp_path: Path) -> None:
    (tmp_path / "text.parquet").write_text("record_id,path\n")
    pq.write_table(pa.table({"record_id": ["a"]}), tmp_path / "table.parquet")
    for name, reason in [("none", "no such manifest"), ("text", "is not a manifest"), ("table", "but not a manifest")]:
        with pytest.raises(UsageError, match=reason):
            Manifest.read(tmp_path / f"{name}.parquet")
    with pytest.raises(UsageError, match="is not a manifest"):
        Manifest.read(tmp_path)


def test_a_newer_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.parquet"
    made().write(path)
    table = pq.read_table(path)
    stored = table.schema.metadata[b"medcl"].replace(f'"version": {SCHEMA_VERSION}'.encode(), b'"version": 99')
    pq.write_table(table.replace_schema_metadata({b"medcl": stored}), path)
    with pytest.raises(UsageError, match=f"version 99, this medcl reads up to {SCHEMA_VERSION}"):
        Manifest.read(path)


def test_a_manifest_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "m.parquet"
    made().write(path)
    with pytest.raises(MedclError, match="cannot be written"):
        made().write(path / "below a file.parquet")
    assert len(Manifest.read(path)) == 4
    assert [one.name for one in tmp_path.iterdir()] == ["m.parquet"]


def test_no_id_column_is_a_float() -> None:
    assert {SCHEMA.field(name).type for name in ("patient", "session", "trial", "found_patient")} == {pa.int64()}


def test_kept_slices_are_written_and_read_and_an_older_manifest_keeps_everything(tmp_path: Path) -> None:
    path = tmp_path / "m.parquet"
    made().with_kept([[0, 3], None, [], None], 1).write(path)
    back = Manifest.read(path)
    assert [None if one is None else one.tolist() for one in back.kept] == [[0, 3], None, [], None]
    assert back.kept_axis == 1
    made().write(path)
    table = pq.read_table(path)
    stored = table.schema.metadata[b"medcl"].replace(f'"version": {SCHEMA_VERSION}'.encode(), b'"version": 3')
    pq.write_table(table.replace_schema_metadata({b"medcl": stored}), path)
    assert Manifest.read(path).kept == [None] * 4
