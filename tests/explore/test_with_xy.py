"""The map as columns of the file: other viewers draw it, and nothing else of the file changes."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from medcl.embed.vectors import vectors_of
from medcl.errors import UsageError
from medcl.explore.cache import content_key
from medcl.explore.embeddings import Embeddings, write_xy
from tests.explore.archives import embeddings_file

VECTORS = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)


def test_x_and_y_come_behind_all_that_was_there(tmp_path: Path) -> None:
    embeddings = embeddings_file(tmp_path / "e.parquet", VECTORS)
    before, key = pq.read_table(tmp_path / "e.parquet"), content_key(embeddings, vectors_of(embeddings))
    write_xy(embeddings, np.zeros((9, 2), np.float32))
    xy = embeddings.project("pca").xy
    write_xy(embeddings, xy)
    after = pq.read_table(tmp_path / "e.parquet")
    assert after.column_names == [*before.column_names, "x", "y"]
    assert after.select(before.column_names).equals(before, check_metadata=True)
    assert np.allclose(np.stack([after["x"], after["y"]], axis=1), xy)
    again = Embeddings.read(tmp_path / "e.parquet")
    # What was computed from the file still holds.
    assert content_key(again, vectors_of(again)) == key


def test_a_label_is_not_written_over(tmp_path: Path) -> None:
    targets = {"x": {"kind": "regression", "classes": []}}
    embeddings = embeddings_file(tmp_path / "e.parquet", VECTORS, {"x": [1.0] * 9}, targets)
    with pytest.raises(UsageError, match="the label 'x' would be lost"):
        write_xy(embeddings, np.zeros((9, 2), np.float32))
    with pytest.raises(UsageError, match=r"for 9 embeddings"):
        write_xy(embeddings, np.zeros((8, 2), np.float32))
