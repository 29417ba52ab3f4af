"""Records found by their embeddings: the nearest, kept beside the file, with later files added."""

from pathlib import Path

import faiss
import numpy as np
import pytest
from scipy.spatial import cKDTree

from medcl.cli import main
from medcl.errors import MedclError, UsageError
from medcl.explore.cache import folder_of
from medcl.explore.embeddings import Embeddings
from medcl.explore.index import EmbeddingIndex
from medcl.explore.neighbours import among, is_exact, nearest
from tests.explore.archives import embeddings_file

RNG = np.random.default_rng(0)
VECTORS = RNG.normal(size=(40, 8)).astype(np.float32)
UNIT = VECTORS / np.linalg.norm(VECTORS, axis=1, keepdims=True)
COLUMNS = {
    "patient": [number // 2 for number in range(40)],
    "split": ["train" if number < 30 else "test" for number in range(40)],
}


@pytest.fixture
def embeddings(tmp_path: Path) -> Embeddings:
    return embeddings_file(tmp_path / "e.parquet", VECTORS, COLUMNS)


def by_hand(query: int, allowed: np.ndarray) -> list[str]:
    cosine = UNIT @ UNIT[query]
    return [f"R{row}" for row in np.argsort(-cosine) if allowed[row]]


def test_the_nearest_are_those_of_the_largest_cosine(embeddings: Embeddings) -> None:
    index = EmbeddingIndex.open(embeddings)
    rows = np.arange(40)
    found = index.nearest(index.vector("R3"), 5, without_records=["R3"])
    assert [one.record_id for one in found] == by_hand(3, rows != 3)[:5]
    assert [one.rank for one in found] == [1, 2, 3, 4, 5]
    assert found[0].similarity == pytest.approx(float(UNIT[int(found[0].record_id[1:])] @ UNIT[3]), abs=1e-5)
    of_test = index.nearest(index.vector("R3"), 50, split="test", without_patients=[16])
    assert [one.record_id for one in of_test] == by_hand(3, (rows >= 30) & (rows // 2 != 16))
    again = EmbeddingIndex.open(Embeddings.read(embeddings.paths[0]))
    assert again.nearest(VECTORS[3], 5, without_records=["R3"]) == found


def test_an_index_of_many_finds_nearly_the_same(tmp_path: Path) -> None:
    centres = RNG.normal(size=(12, 16))
    vectors = (centres[np.arange(1200) % 12] + 0.3 * RNG.normal(size=(1200, 16))).astype(np.float16)
    index = EmbeddingIndex.open(embeddings_file(tmp_path / "e.parquet", vectors), exact=1000)
    assert not is_exact(index.saved.faiss)
    cosine = vectors.astype(np.float32) / np.linalg.norm(vectors.astype(np.float32), axis=1, keepdims=True)
    hits = 0
    for row in range(20):
        found = {one.record_id for one in index.nearest(vectors[row].astype(np.float32), 10)}
        hits += len(found & {f"R{other}" for other in np.argsort(-(cosine @ cosine[row]))[:10]})
    assert hits > 180
    more = embeddings_file(tmp_path / "more.parquet", vectors[:50], {"record_id": [f"N{row}" for row in range(50)]})
    grown, new = EmbeddingIndex.open(Embeddings.read(tmp_path / "e.parquet")).add(more)
    assert (new, len(grown)) == (50, 1250)
    assert "N7" in {one.record_id for one in grown.nearest(vectors[7].astype(np.float32), 2)}


def test_later_files_are_added_once_and_kept(embeddings: Embeddings, tmp_path: Path) -> None:
    names = {"record_id": ["R39", "N0", "N1"], "patient": [19, 90, 91]}
    more = embeddings_file(tmp_path / "more.parquet", np.stack([VECTORS[39], VECTORS[3], VECTORS[4]]), names)
    index, new = EmbeddingIndex.open(embeddings).add(more)
    assert (new, len(index)) == (2, 42)
    again = EmbeddingIndex.open(embeddings)
    assert again.add(more)[1] == 0
    first = again.nearest(VECTORS[3], 1, without_records=["R3"])[0]
    assert (first.record_id, first.path, first.row) == ("N0", more.paths[0].resolve(), 1)
    assert again.vector("N1") == pytest.approx(UNIT[4], abs=1e-6)
    more.paths[0].unlink()
    with pytest.raises(MedclError, match="it was added to the index; remove .*index to make a new one"):
        EmbeddingIndex.open(embeddings)


def test_an_index_of_another_content_or_a_torn_one_is_made_anew(embeddings: Embeddings) -> None:
    EmbeddingIndex.open(embeddings)
    embeddings_file(embeddings.paths[0], -VECTORS[:30])
    assert len(EmbeddingIndex.open(Embeddings.read(embeddings.paths[0]))) == 30
    next((folder_of(embeddings) / "index").glob("*.faiss")).write_bytes(b"torn")
    assert len(EmbeddingIndex.open(Embeddings.read(embeddings.paths[0]))) == 30


def test_what_cannot_be_found_is_told(embeddings: Embeddings, tmp_path: Path) -> None:
    index = EmbeddingIndex.open(embeddings)
    with pytest.raises(UsageError, match="no such record"):
        index.vector("R400")
    with pytest.raises(UsageError, match="no record in the split val"):
        index.nearest(VECTORS[0], 1, split="val")
    with pytest.raises(UsageError, match="-k 0"):
        index.nearest(VECTORS[0], 0)
    other = embeddings_file(tmp_path / "other.parquet", VECTORS[:, :4])
    with pytest.raises(UsageError, match="another dim"):
        index.add(other)


def test_the_command_finds_records_without_a_run(
    embeddings: Embeddings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(embeddings.paths[0])
    assert main(["retrieve", "--embeddings", path, "--record", "R3", "-k", "2", "--other-patients"]) == 0
    _, *lines, then = capsys.readouterr().out.splitlines()
    assert then.startswith("next: "), "a sheet"
    rows = np.arange(40)
    assert [line.split()[2] for line in lines] == by_hand(3, rows // 2 != 1)[:2]
    sheet = tmp_path / "sheet.png"
    assert main(["retrieve", "--embeddings", path, "--record", "R3", "-o", str(sheet)]) == 0
    assert sheet.read_bytes().startswith(b"\x89PNG")
    assert main(["retrieve", "--embeddings", path, "--text", "a heart"]) == 2
    assert "name the RUN" in capsys.readouterr().err
    assert main(["retrieve", "--embeddings", path, "--record", "R400"]) == 2
    assert main(["retrieve", "--embeddings", path, "--record", "R3", "-o", str(tmp_path / "sheet.html")]) == 2


def test_a_file_of_one_record_has_no_neighbour(tmp_path: Path) -> None:
    one = embeddings_file(tmp_path / "e.parquet", VECTORS[:1])
    assert EmbeddingIndex.open(one).nearest(VECTORS[0], 3, without_records=["R0"]) == []
    assert among(VECTORS[:1], 5).shape == (1, 0)


def test_neighbours_are_never_itself_even_among_equals() -> None:
    same = np.ones((30, 4), np.float32)
    near = among(same, 5)
    assert near.shape == (30, 5)
    assert not (near == np.arange(30)[:, None]).any()
    assert all(len(set(row)) == 5 for row in near.tolist())


@pytest.mark.parametrize("dim", [31, 48])
def test_of_many_nearly_all_neighbours_are_the_nearest(dim: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medcl.explore.neighbours._FEW", 10_000)
    rng = np.random.default_rng(0)
    centres, group = rng.normal(0, 2, (20, dim)), rng.integers(20, size=12_000)
    inside, along = rng.normal(size=(12_000, 4)), rng.normal(size=(20, 4, dim))
    vectors = (centres[group] + 0.3 * np.einsum("nk,nkd->nd", inside, along[group])).astype(np.float32)
    found, asked = among(vectors, 4), np.arange(0, 12_000, 12)
    assert not (found == np.arange(12_000)[:, None]).any()
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosine = unit[asked] @ unit.T
    cosine[np.arange(1000), asked] = -2
    truth = np.argsort(-cosine, axis=1)[:, :4]
    assert np.mean([len(set(a) & set(b)) / 4 for a, b in zip(found[asked], truth, strict=True)]) > 0.9


def test_the_exact_neighbours_of_few_are_the_same_on_one_core_and_on_several() -> None:
    points = np.random.default_rng(0).normal(size=(3000, 20)).astype(np.float32)
    points[1] = points[0]
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    distances, rows = nearest(points, 5)
    faiss.omp_set_num_threads(before)
    again = nearest(points, 5)
    assert np.array_equal(distances, again[0])
    assert np.array_equal(rows, again[1])
    tree = cKDTree(points.astype(np.float64)).query(points, 6)
    assert np.allclose(distances[2:], tree[0][2:, 1:], atol=1e-4)
    assert (rows[2:] == tree[1][2:, 1:]).mean() > 0.999
    assert rows[0, 0] == 1
    assert rows[1, 0] == 0
