"""An encoder where scikit-learn expects a transformer."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline

import medcl
from medcl.archive.manifest import Manifest
from medcl.errors import MedclError, UsageError
from tests.data import linked_archive
from tests.embed import archives


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archive")
    linked_archive.pictures_with_reports(folder / "a", patients=12).write(folder / "m.parquet")
    (folder / "a" / "3.png").write_bytes(b"no picture")
    return folder / "m.parquet"


@pytest.fixture(scope="module")
def run(path: Path) -> Path:
    return archives.save(path.parent / "run", archives.pictures())


def pictures(path: Path) -> Manifest:
    found = Manifest.read(path).of_kind("image")
    return found.select(found.column("record_id") != "image-3")


def test_works_in_a_pipeline_with_groups_of_patients(path: Path, run: Path) -> None:
    manifest = pictures(path)
    ids = manifest.column("record_id")
    bright = np.array([int(one.split("-")[1]) % 4 == 3 for one in ids])
    pipeline = make_pipeline(medcl.Embedder(run, path), LogisticRegression(C=100))
    for x in (ids, ids[:, None]):
        scores = cross_val_score(pipeline, x, bright, groups=manifest.column("patient"), cv=GroupKFold(3))
        assert np.isfinite(scores).all()
    fitted = pipeline.fit(ids, bright)
    assert list(fitted[:1].get_feature_names_out())[:2] == ["embedder0", "embedder1"]
    assert len(list(path.with_suffix(".store").glob("embeddings-*.parquet"))) == 1, "embedded once"


def test_records_come_in_the_order_asked_for(path: Path, run: Path, tmp_path: Path) -> None:
    manifest = pictures(path)
    embedder = clone(medcl.Embedder(run, path)).fit(None)
    ids = manifest.column("record_id")
    vectors = embedder.transform(manifest)
    assert vectors.shape == (len(manifest), 4)
    np.testing.assert_array_equal(embedder.transform(ids[[5, 0, 5]]), vectors[[5, 0, 5]])
    rows = np.flatnonzero(np.isin(Manifest.read(path).column("record_id"), ids))
    np.testing.assert_array_equal(embedder.transform(rows), vectors)
    alone = medcl.Embedder(run, store=tmp_path).fit_transform(manifest)
    np.testing.assert_allclose(alone, vectors, atol=1e-5)


def test_bad_input_is_named(path: Path, run: Path) -> None:
    embedder = medcl.Embedder(run, path).fit(None)
    with pytest.raises(UsageError, match="not of the manifest, such as 'nobody'"):
        embedder.transform(["nobody"])
    with pytest.raises(MedclError, match="must be left out; the first, image-3: "):
        embedder.transform(["image-3"])
    with pytest.raises(MedclError, match="no encoder of its kind"):
        embedder.transform(["report-0"])
    with pytest.raises(UsageError, match="make the Embedder with manifest="):
        medcl.Embedder(run).fit(None).transform(["image-1"])
    with pytest.raises(UsageError, match="named by record_id or row"):
        embedder.transform(np.zeros((2, 3)))
    with pytest.raises(UsageError, match="no encoder of kind 'volume'"):
        medcl.Embedder(run, path, kind="volume").fit(None)
