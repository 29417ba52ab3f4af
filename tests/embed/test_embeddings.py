"""The file of embeddings as people read it: lazily, by other programs, and never those of two runs as one."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import medcl
from medcl.archive.manifest import Manifest
from medcl.embed import embeddings
from medcl.embed.apply import embed_manifest
from medcl.embed.config import EmbedConfig
from medcl.embed.metadata import EmbeddingsMetadata
from medcl.errors import UsageError
from tests.data import linked_archive
from tests.embed import archives

ONE = EmbedConfig(jobs=1)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return linked_archive.pictures_with_reports(tmp_path_factory.mktemp("pictures"), patients=4).of_kind("image")


@pytest.fixture(scope="module")
def path(manifest: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("embedded")
    run = archives.save(folder / "run", archives.pictures())
    return embed_manifest(run, manifest, ONE, folder / "store", folder / "e.parquet").path


def test_reads_lazily_and_in_order(path: Path, manifest: Manifest) -> None:
    found = medcl.Embeddings.read(path)
    assert (len(found), found.dim) == (8, 4)
    assert set(manifest.table.column_names) < set(found.columns)
    assert "embedding" not in found.table().column_names
    assert found.table(["patient", "split"]).num_columns == 2
    batches = list(found.batches(["record_id", "embedding"], size=3))
    assert [len(batch) for batch in batches] == [3, 3, 2]
    values = np.concatenate([np.array(batch["embedding"].to_pylist()) for batch in batches])
    np.testing.assert_array_equal(found.vectors(), values.astype(np.float32))
    assert not found.vectors().flags.writeable
    assert found.about.archive == manifest.metadata


def test_many_vectors_are_mapped_from_a_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = medcl.Embeddings.read(path)
    usual = found.vectors()
    monkeypatch.setattr(embeddings, "_IN_MEMORY", 0)
    for _ in range(2):
        mapped = found.vectors()
        assert isinstance(mapped, np.memmap)
        np.testing.assert_array_equal(mapped, usual)
    assert len(list(path.parent.glob(".*vectors*"))) == 1


def test_other_programs_read_vectors_of_one_length(path: Path) -> None:
    table = pq.read_table(path)
    assert table.schema.field("embedding").type == pa.list_(pa.float32(), 4)
    assert table["embedding"].null_count == 0


def test_a_manifest_that_no_longer_matches_is_refused(path: Path, manifest: Manifest) -> None:
    found = medcl.Embeddings.read(path)
    found.check(manifest.with_column("diagnosis", pa.array(["x"] * len(manifest))))
    with pytest.raises(UsageError, match="other records"):
        found.check(manifest.select([0, 1]))
    with pytest.raises(UsageError, match="have changed"):
        found.check(manifest.with_column("checksum", pa.array(["new"] * len(manifest))))


def test_two_runs_are_never_read_as_one(path: Path, manifest: Manifest, tmp_path: Path) -> None:
    other = archives.save(tmp_path / "other", archives.pictures(), seed=1)
    second = embed_manifest(other, manifest, ONE, path.parent / "store", tmp_path / "second.parquet").path
    assert len(medcl.Embeddings.read(path, path)) == 16
    with pytest.raises(UsageError, match=r"second\.parquet: its embeddings are of another run"):
        medcl.Embeddings.read(path, second)
    # As someone puts them together with another program, which keeps the first file's metadata.
    first = pq.read_table(path)
    mixed = pa.concat_tables([first, pq.read_table(second).replace_schema_metadata(first.schema.metadata)])
    for statistics in (True, False):
        pq.write_table(mixed, tmp_path / "mixed.parquet", write_statistics=statistics)
        with pytest.raises(UsageError, match="embeddings of 2 different runs"):
            medcl.Embeddings.read(tmp_path / "mixed.parquet")


def test_bad_files_are_named(path: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such embeddings"):
        medcl.Embeddings.read(tmp_path / "none.parquet")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "a.parquet")
    with pytest.raises(UsageError, match="holds no embeddings"):
        medcl.Embeddings.read(tmp_path / "a.parquet")
    (tmp_path / "text.parquet").write_text("text")
    with pytest.raises(UsageError, match="holds no embeddings"):
        medcl.Embeddings.read(tmp_path / "text.parquet")
    with pytest.raises(UsageError, match="no column 'age'"):
        medcl.Embeddings.read(path).table(["age"])
    about = EmbeddingsMetadata.of(pq.read_schema(path), path)
    newer = {b"medcl": about.into(pq.read_schema(path)).metadata[b"medcl"].replace(b'"version": 1', b'"version": 9')}
    pq.write_table(pq.read_table(path).replace_schema_metadata(newer), tmp_path / "newer.parquet")
    with pytest.raises(UsageError, match="version 9"):
        medcl.Embeddings.read(tmp_path / "newer.parquet")
