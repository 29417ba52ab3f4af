"""Maps: the same for the same seed, new points among their like, and plain words where there is nothing to draw."""

import sys
from pathlib import Path

import numpy as np
import pytest

from medcl.embed.vectors import principal_axes
from medcl.errors import UsageError
from medcl.explore.cache import folder_of, projection_of
from medcl.explore.project import METHODS, project
from tests.explore.archives import embeddings_file

RNG = np.random.default_rng(0)
GROUP = np.arange(60) % 3
VECTORS = (6 * np.eye(3, 12)[GROUP] + RNG.normal(size=(60, 12))).astype(np.float32)
MAPS = ("pca", "tsne")


def nearest_group(xy: np.ndarray, others: np.ndarray) -> np.ndarray:
    return GROUP[((xy[:, None] - others) ** 2).sum(-1).argmin(1)]


@pytest.mark.parametrize("method", MAPS)
def test_the_map_depends_on_the_seed_alone_and_takes_new_points(method: str) -> None:
    known = project(VECTORS, method, seed=3)
    assert np.array_equal(known.xy, project(VECTORS, method, seed=3).xy)
    assert known.xy.dtype == np.float32
    new = (6 * np.eye(3, 12)[:3] + RNG.normal(size=(3, 12))).astype(np.float32)
    assert nearest_group(known.transform(new), known.xy).tolist() == [0, 1, 2]
    with pytest.raises(UsageError, match="12"):
        known.transform(new[:, :5])


@pytest.mark.parametrize("method", MAPS)
def test_of_many_points_a_sample_is_fitted_and_the_note_says_so(method: str) -> None:
    whole = project(VECTORS, method, seed=1, most=45)
    if method == "pca":  # one pass over all takes no sample
        assert len(whole.fitted) == 60
        return
    assert len(whole.fitted) == 45
    assert "45 of 60 embeddings, drawn at random (seed 1)" in whole.note
    others = np.setdiff1d(np.arange(60), whole.fitted)
    among = whole.xy[whole.fitted]
    found = GROUP[whole.fitted][((whole.xy[others][:, None] - among) ** 2).sum(-1).argmin(1)]
    assert (found == GROUP[others]).all()


def test_the_axes_are_those_of_a_singular_value_decomposition() -> None:
    unit = VECTORS / np.linalg.norm(VECTORS, axis=1, keepdims=True)
    centred = unit - unit.mean(0)
    _, values, right = np.linalg.svd(centred.astype(np.float64), full_matrices=False)
    axes = principal_axes(VECTORS.astype(np.float16), 2)
    assert np.allclose(np.abs((axes.directions * right[:2].T).sum(0)), 1, atol=1e-3)
    assert np.allclose(axes.variance, values[:2] ** 2 / 60, rtol=1e-2)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_records_have_components_and_no_t_sne(count: int) -> None:
    assert np.isfinite(project(VECTORS[:count], "pca").xy).all()
    if count == 3:
        with pytest.raises(UsageError, match="needs four embeddings or more, these are 3: take pca"):
            project(VECTORS[:3], "tsne")


def test_the_perplexity_of_few_records_is_what_they_allow() -> None:
    few = project(VECTORS[:7], "tsne")
    assert np.isfinite(few.xy).all()
    assert "perplexity 2" in few.note


@pytest.mark.parametrize("method", MAPS)
def test_vectors_that_are_all_the_same_are_one_point(method: str) -> None:
    same = project(np.ones((5, 4), np.float32), method)
    assert not same.xy.any()
    assert "collapsed" in same.note
    assert not same.transform(np.ones((2, 4), np.float32)).any()


def test_what_cannot_be_projected_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = VECTORS.copy()
    broken[7, 2] = np.nan
    with pytest.raises(UsageError, match="row 7 holds NaN"):
        project(broken, "pca")
    with pytest.raises(UsageError, match=", ".join(METHODS)):
        project(VECTORS, "mds")  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(UsageError, match="pip install umap-learn"):
        project(VECTORS, "umap")


def test_a_map_is_computed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    embeddings = embeddings_file(tmp_path / "e.parquet", VECTORS[:20])
    first = projection_of(embeddings, "tsne", seed=2)
    kept = list(folder_of(embeddings).iterdir())
    assert len(kept) == 1
    stamp = kept[0].stat().st_mtime_ns
    again = projection_of(embeddings, "tsne", seed=2)
    assert np.array_equal(first.xy, again.xy)
    assert again.note == first.note
    assert np.allclose(first.transform(VECTORS[:2]), again.transform(VECTORS[:2]), atol=1e-4)
    assert kept[0].stat().st_mtime_ns == stamp
    other = embeddings_file(tmp_path / "e.parquet", VECTORS[20:40])
    assert not np.array_equal(projection_of(other, "tsne", seed=2).xy, first.xy)
    kept[0].write_bytes(b"torn")
    back = embeddings_file(tmp_path / "e.parquet", VECTORS[:20])
    assert projection_of(back, "tsne", seed=2).note == first.note
