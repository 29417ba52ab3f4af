"""Reducing to what is wanted: by a few records, by terms of reports."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from medcl.archive.manifest import Manifest
from medcl.embed.encoders import sides_of
from medcl.embed.texts import embed_texts
from medcl.errors import MedclError, UsageError
from medcl.reduce.config import ReduceConfig
from medcl.reduce.run import Reduced, reduce_manifest
from medcl.reduce.selection import at_least
from medcl.reduce.wanted import strategy_of
from tests.data import linked_archive, volume_archive
from tests.embed import archives

SHAPE = (20, 24, 8)


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    root = tmp_path_factory.mktemp("mr")
    for number in range(3):
        volume_archive.save(root / f"v{number}.nii.gz", volume_archive.noise(SHAPE, number))
    return volume_archive.manifest_of(root)


def reduced(manifest: Manifest, store: Path, **settings: object) -> Reduced:
    return reduce_manifest(manifest, ReduceConfig(by="wanted", **settings), store, jobs=1)  # type: ignore[arg-type]


def test_slices_of_wanted_records_are_kept_and_others_by_how_near_they_are(volumes: Manifest, tmp_path: Path) -> None:
    volumes.select(np.array([1])).write(tmp_path / "wanted.parquet")
    wanted = {"wanted": str(tmp_path / "wanted.parquet"), "encoder": "random", "scope": "archive"}
    found = reduced(volumes, tmp_path / "store", threshold=0.999999, **wanted)
    (selection,) = found.selections
    assert set(selection.units.row[selection.keep]) == {1}
    assert selection.keep.sum() == SHAPE[2]
    assert (selection.duplicate_of[~selection.keep] == -1).all()
    half = reduced(volumes, tmp_path / "store", keep=0.5, **wanted).selections[0]
    assert half.keep.sum() == 12
    assert half.keep[selection.keep].all()
    score = selection.measure[~selection.keep]
    assert score.max() <= 0.999999
    dropped = {
        (row, piece) for row, piece in zip(half.units.row[~half.keep], half.units.piece[~half.keep], strict=True)
    }
    order = [(selection.units.row[i], selection.units.piece[i]) for i in np.argsort(-selection.measure, kind="stable")]
    assert dropped == set([one for one in order if one[0] != 1][4:])
    assert found.terms == {"wanted": (8, 24)}


def test_terms_are_read_by_the_run_and_each_tells_what_is_kept(tmp_path: Path) -> None:
    manifest = linked_archive.pictures_with_reports(tmp_path / "archive", 6)
    run = archives.save(tmp_path / "run", archives.joint(manifest))
    (tmp_path / "terms.txt").write_text("circle\n\n  square \ncircle\n")
    config = ReduceConfig(by="wanted", run=str(run), wanted=str(tmp_path / "terms.txt"))
    strategy = strategy_of(config, manifest, tmp_path / "store")
    assert strategy.terms == ("circle", "square")
    (side,) = sides_of(run, "report")
    expected = F.normalize(embed_texts(side.network, side.card, ["circle", "square"]), dim=1)
    torch.testing.assert_close(torch.from_numpy(strategy.wanted), expected)
    found = reduced(manifest, tmp_path / "store", run=str(run), wanted=config.wanted, keep=0.5, scope="archive")
    assert len(found.selections) == 2, "pictures and reports"
    assert sum(every for _, every in found.terms.values()) == sum(len(one.units) for one in found.selections)
    assert sum(kept for kept, _ in found.terms.values()) == sum(int(one.keep.sum()) for one in found.selections)
    assert "that are nearest to it" in str(found)


def test_where_nothing_is_near_a_least_share_is_kept() -> None:
    class Score:
        measure = "score"

    scores = np.array([[0.1], [0.3], [0.2], [0.05]], np.float32)
    assert at_least(scores, 0.25, Score(), 0.55).keep.tolist() == [False, True, False, False]  # type: ignore[arg-type]
    scores[3] = 0.6
    assert at_least(scores, 0.5, Score(), 0.55).keep.tolist() == [False, True, False, True]  # type: ignore[arg-type]
    assert at_least(scores, 0.25, Score(), 0.15).keep.tolist() == [False, True, True, True]  # type: ignore[arg-type]


def test_what_is_missing_is_said(volumes: Manifest, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--by wanted needs --wanted FILE"):
        reduced(volumes, tmp_path, encoder="random")
    with pytest.raises(UsageError, match="--wanted is for --by wanted, not for hash"):
        ReduceConfig(wanted="terms.txt")
    (tmp_path / "terms.txt").write_text("nodule\n")
    with pytest.raises(UsageError, match="needs --run RUN, a run that was trained on reports"):
        reduced(volumes, tmp_path, encoder="random", wanted=str(tmp_path / "terms.txt"))
    (tmp_path / "none.txt").write_text("\n")
    with pytest.raises(UsageError, match="holds no term"):
        reduced(volumes, tmp_path, encoder="random", wanted=str(tmp_path / "none.txt"))
    with pytest.raises(MedclError, match="the file of terms"):
        reduced(volumes, tmp_path, encoder="random", wanted=str(tmp_path / "no.txt"))
