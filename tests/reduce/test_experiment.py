"""The pretrainings of a reduction's experiment: who is tested, and what is trained on."""

from pathlib import Path

import numpy as np
import pytest

from medcl.archive.manifest import Manifest
from medcl.archive.schema import KEPT
from medcl.errors import UsageError
from medcl.reduce.config import ReduceConfig
from medcl.reduce.experiment import LEFT_OUT, divisions, subsets_of

from .redundant_volumes import PATIENTS, SLICES, archive


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return archive(tmp_path_factory.mktemp("volumes"))


def test_each_patient_is_tested_once_by_encoders_of_the_others(manifest: Manifest) -> None:
    folds = divisions(manifest, 3)
    tested = np.stack([fold.test for fold in folds])
    assert (tested.sum(axis=0) == 1).all(), "each patient is tested once"
    for fold in folds:
        assert ((fold.train + fold.validation + fold.test.astype(int)) == 1).all()
        assert fold.validation.any()
        assert set(fold.manifest.column("split")[fold.test]) == {"test"}
        assert set(fold.manifest.column("split")[~fold.test]) == {"train"}


def test_one_fold_takes_the_splits(manifest: Manifest) -> None:
    (fold,) = divisions(manifest, 1)
    assert fold.train.tolist() == [True, True, True, False, False, False]
    assert np.flatnonzero(fold.validation).tolist() == [3]
    with pytest.raises(UsageError, match="no readable record in the split val"):
        divisions(divisions(manifest, 3)[0].manifest, 1)
    with pytest.raises(UsageError, match="at least 1"):
        divisions(manifest, 0)


def test_the_random_subset_has_the_size_of_the_reduced_one_and_shares_its_store(
    manifest: Manifest, tmp_path: Path
) -> None:
    fold = divisions(manifest, 2)[0]
    found = subsets_of(fold, [ReduceConfig(threshold=0), ReduceConfig(by="every-n", threshold=3)], tmp_path, jobs=1)
    assert [one.name for one in found] == [
        "all",
        *(
            f"{chance}{by} (same {budget})"
            for by in ("hash 0", "every-n 3")
            for chance in ("", "as many at random as ")
            for budget in ("steps", "epochs")
        ),
    ]
    for one in found[1:]:
        kept = [row for row, own in enumerate(one.manifest.kept) if own is not None]
        assert sum(len(one.manifest.kept[row]) for row in kept) == one.units
        assert not fold.test[kept].any(), "nothing of the test is dropped"
        assert one.manifest.column("record_id").tolist() == manifest.column("record_id").tolist()
    assert found[1].units == (~fold.test).sum() * SLICES // 2
    assert found[1].manifest.table != found[3].manifest.table


def test_records_that_are_dropped_keep_their_row(manifest: Manifest, tmp_path: Path) -> None:
    config = ReduceConfig(by="every-n", threshold=2, unit="record", scope="archive")
    less = subsets_of(divisions(manifest, 2)[0], [config], tmp_path, jobs=1)[1]
    split = less.manifest.column("split")
    assert len(split) == PATIENTS
    assert (split == LEFT_OUT).sum() == less.of - less.units > 0
    assert not less.manifest.has(KEPT)
