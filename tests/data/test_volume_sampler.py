"""Which patches a batch holds."""

from itertools import chain
from pathlib import Path

import numpy as np
import pytest

from medcl.data.prepare import prepare
from medcl.data.sampler import Sampler
from medcl.errors import UsageError
from medcl.modality.volume.config import VolumeConfig
from medcl.modality.volume.samples import VolumePatches

from .volume_archive import archive


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six volumes of 20 x 24 x 16 voxels of three patients."""
    return tmp_path_factory.mktemp("volumes")


def patches_of(root: Path, *size: int) -> VolumePatches:
    manifest, config = archive(root / "a", 6), VolumeConfig(size=size)
    return VolumePatches(prepare(manifest, config, root / "store", jobs=1), manifest, config)


def test_an_epoch_visits_every_patient_with_as_many_volumes_and_patches_as_asked_for(root: Path) -> None:
    sampler = Sampler.drawing(patches_of(root, 8, 8, 8), patients=1, records=2, samples=3)
    batches = list(sampler.batches(0, len(sampler)))
    assert [len(batch) for batch in batches] == [6, 6, 6]
    assert sorted({patch[0] for patch in chain(*batches)}) == [0, 1, 2, 3, 4, 5]


def test_a_batch_is_a_pure_function_of_seed_and_step(root: Path) -> None:
    patches = patches_of(root, 8, 8, 8)
    settings = {"patients": 2, "records": 2, "samples": 3, "reuse": 2, "buffer": 2}
    every = list(Sampler.drawing(patches, seed=3, **settings).batches(0, 9))
    assert list(Sampler.drawing(patches, seed=3, **settings).batches(5, 9)) == every[5:]
    assert list(Sampler.drawing(patches, seed=4, **settings).batches(0, 9)) != every


@pytest.mark.parametrize("reuse", [1, 2])
def test_processes_share_the_batch_that_one_would_have(root: Path, reuse: int) -> None:
    patches = patches_of(root, 8, 8, 8)
    sampler = Sampler.drawing(patches, patients=3, records=2, samples=2, reuse=reuse)
    whole = list(sampler.batches(0, 4))
    shares = [list(sampler.batches(0, 4, rank=rank, world=2)) for rank in range(2)]
    assert [one + two for one, two in zip(*shares, strict=True)] == whole


def test_patches_lie_anywhere_inside_and_in_the_middle_where_the_volume_is_smaller(root: Path) -> None:
    sampler = Sampler.drawing(patches_of(root, 8, 30, 16), patients=3, records=2, samples=40)
    starts = np.array(list(chain(*sampler.batches(0, 3))))[:, 1:]
    assert set(starts[:, 0]) == set(range(13))
    assert set(starts[:, 1]) == {-3}
    assert set(starts[:, 2]) == {0}


@pytest.mark.parametrize("size", [(8, 8, 6), (8, 8, 1), (1, 8, 8)])
def test_patch_i_lies_in_partition_i(root: Path, size: tuple[int, ...]) -> None:
    patches = patches_of(root, *size)
    sampler = Sampler.drawing(patches, patients=3, records=2, samples=8, partitions=4)
    drawn = list(chain(*sampler.batches(0, 20)))
    centre = np.array([patch[1 + patches.across] for patch in drawn]) + size[patches.across] / 2
    extent = patches.shape[0, patches.across]
    assert (np.floor(centre / extent * 4) == np.arange(len(drawn)) % 8 % 4).all()
    # Everywhere in each partition, and as often.
    counts = np.unique(centre, return_counts=True)[1]
    assert len(counts) == extent
    assert counts.min() > 0.5 * counts.mean()
    position = np.concatenate([patches.__getitems__(drawn[:16])["position"].numpy()])
    np.testing.assert_allclose(position, centre[:16] / extent, rtol=1e-6)


def test_more_partitions_than_slices_are_as_near_as_can_be(root: Path) -> None:
    sampler = Sampler.drawing(patches_of(root, 8, 8, 1), patients=1, records=1, samples=40, partitions=40)
    (batch,) = sampler.batches(0, 1)
    places = [patch[3] for patch in batch]
    assert places == sorted(places)
    assert set(places) == set(range(16))


def test_slices_of_a_volume_are_different_ones(root: Path) -> None:
    sampler = Sampler.drawing(patches_of(root, 8, 8, 1), patients=1, records=1, samples=16)
    for batch in sampler.batches(0, 5):
        assert sorted(patch[3] for patch in batch) == list(range(16))


def test_volumes_come_again_with_other_patches_beside_other_patients(root: Path) -> None:
    manifest = archive(root / "many", 24)  # twelve patients of two volumes
    config = VolumeConfig(size=(8, 8, 8))
    patches = VolumePatches(prepare(manifest, config, root / "many.store", jobs=1), manifest, config)
    sampler = Sampler.drawing(patches, patients=2, records=2, samples=2, reuse=3, buffer=4)
    assert len(sampler) == 18
    batches = list(sampler.batches(0, 18))
    assert {len(batch) for batch in batches} == {8}
    assert len(set(chain(*batches))) == 18 * 8, "no patch twice"
    patient = patches.ids["patient"]
    beside = [tuple(sorted({int(patient[patch[0]]) for patch in batch})) for batch in batches]
    assert all(len(pair) == 2 for pair in beside)
    # The first four batches hold eight patients, who come three times, before the four others.
    for several in (beside[:12], beside[12:]):
        people = sorted(set(chain(*several)))
        assert all(list(chain(*several)).count(one) == 3 for one in people)
    assert not set(chain(*beside[:12])) & set(chain(*beside[12:]))
    assert len(set(beside[:12])) > 4, "patients meet others each time"


def test_nobody_comes_twice_in_a_batch_when_the_last_one_is_filled_up(root: Path) -> None:
    patches = patches_of(root, 8, 8, 8)
    sampler = Sampler.drawing(patches, patients=2, records=1, samples=1, reuse=4, buffer=8)
    for batch in sampler.batches(0, 5 * len(sampler)):
        assert len({int(patches.ids["patient"][patch[0]]) for patch in batch}) == 2


def test_sizes_that_cannot_be_are_refused(root: Path) -> None:
    patches = patches_of(root, 8, 8, 8)
    with pytest.raises(UsageError, match="patients, records and samples"):
        Sampler.drawing(patches, patients=0, records=1, samples=1)
    with pytest.raises(UsageError, match="partitions must be at least 1"):
        Sampler.drawing(patches, patients=1, records=1, samples=1, partitions=0)
    with pytest.raises(UsageError, match="devices share"):
        next(Sampler.drawing(patches, patients=1, records=1, samples=1).batches(0, 1, world=2))
