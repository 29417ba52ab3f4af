"""Three lines in a notebook."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import medcl
from medcl.errors import MedclError, UsageError
from tests.explore.archives import embeddings_file

RNG = np.random.default_rng(1)
VECTORS = RNG.normal(size=(24, 8)).astype(np.float32)
COLUMNS = {
    "diagnosis": [["normal", "infarct", None][number % 3] for number in range(24)],
    "age": [None if number == 5 else 40.0 + number for number in range(24)],
    "finding": [[["a"], ["b"], ["a", "b"]][number % 3] for number in range(24)],
}
TARGETS = {
    "diagnosis": {"kind": "binary", "classes": ["normal", "infarct"]},
    "age": {"kind": "regression", "classes": []},
    "finding": {"kind": "multilabel", "classes": ["a", "b"]},
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return embeddings_file(tmp_path / "e.parquet", VECTORS, COLUMNS, TARGETS).paths[0]


def test_read_project_plot(path: Path) -> None:
    e = medcl.Embeddings.read(str(path))
    projection = e.project("pca")
    figure = e.plot(color="diagnosis")
    assert {trace.type for trace in figure.data} == {"scattergl"}
    assert [trace.name for trace in figure.data] == ["missing", "normal", "infarct"]
    drawn = {text: (x, y) for trace in figure.data for text, x, y in zip(trace.text, trace.x, trace.y, strict=True)}
    assert np.allclose([drawn[f"R{row}"] for row in range(24)], projection.xy)
    assert "PCA" in figure.layout.title.text


def test_numbers_have_a_scale_and_classes_of_several_their_own_column(path: Path) -> None:
    e = medcl.Embeddings.read(path)
    e.project("pca")
    missing, known = e.plot(color="age").data
    assert len(missing.x) == 1
    assert np.array_equal(known.marker.color, [40.0 + number for number in range(24) if number != 5])
    assert {trace.name for trace in e.plot(color="finding: a").data} == {"no", "yes"}
    assert {trace.name for trace in e.plot(color="finding").data} == {"a", "b", "a + b"}
    with pytest.raises(UsageError, match="column 'record_id' cannot colour points"):
        e.plot(color="record_id")


def test_a_column_that_is_not_there_is_told_before_the_map_is_made(path: Path) -> None:
    with pytest.raises(UsageError, match="no column 'sit' in the embeddings: they have .*diagnosis"):
        medcl.Embeddings.read(path).plot(color="sit")
    assert not path.with_name("e.parquet.explore").exists()


def test_vectors_that_are_no_numbers_are_named_by_their_record(tmp_path: Path) -> None:
    broken = VECTORS.copy()
    broken[3, 0] = np.inf
    embeddings_file(tmp_path / "e.parquet", broken)
    with pytest.raises(MedclError, match="1 of 24 embeddings hold NaN or infinity, the first .* record R3"):
        medcl.Embeddings.read(tmp_path / "e.parquet").project("pca")


def test_one_record_is_one_point(tmp_path: Path) -> None:
    embeddings_file(tmp_path / "e.parquet", VECTORS[:1])
    e = medcl.Embeddings.read(tmp_path / "e.parquet")
    assert e.project("pca").xy.tolist() == [[0.0, 0.0]]
    assert len(e.plot().data) == 1


def test_importing_medcl_waits_for_nothing() -> None:
    code = "import sys, medcl; print([one for one in ('torch', 'plotly', 'faiss', 'pyarrow') if one in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
