"""What a reduced manifest lets a sampler draw."""

from itertools import chain
from pathlib import Path

import numpy as np
import pytest

from medcl.archive.manifest import Manifest
from medcl.data.prepare import prepare
from medcl.data.sampler import Sampler
from medcl.errors import MedclError, UsageError
from medcl.modality.volume.config import VolumeConfig
from medcl.modality.volume.samples import VolumePatches, starts
from medcl.modality.volume.tiles import PatchDraws
from tests.data.volume_archive import archive, manifest_of, save

SLICES = VolumeConfig(size=(8, 8, 1))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four volumes of 20 x 24 x 16 voxels, 1 x 1 x 2 mm."""
    return tmp_path_factory.mktemp("volumes")


def patches_of(root: Path, manifest: Manifest, config: VolumeConfig) -> VolumePatches:
    return VolumePatches(prepare(manifest, config, root / "store", jobs=1), manifest, config)


def drawn_from(patches: VolumePatches, partitions: int = 1, samples: int = 8) -> dict[int, set[int]]:
    sampler = Sampler.drawing(patches, patients=2, records=2, samples=samples, partitions=partitions)
    found: dict[int, set[int]] = {number: set() for number in range(len(patches))}
    for patch in chain(*sampler.batches(0, 20)):
        found[patch[0]].add(patch[3])
    return found


def test_only_kept_slices_are_drawn_and_all_of_them(root: Path) -> None:
    manifest = archive(root / "a").with_kept([[1, 5, 6, 15], None, [3], None], 2)
    patches = patches_of(root, manifest, SLICES)
    assert drawn_from(patches) == {0: {1, 5, 6, 15}, 1: set(range(16)), 2: {3}, 3: set(range(16))}
    side, rng = PatchDraws(patches), np.random.default_rng(0)
    assert {side.draw(0, rng)[3] for _ in range(60)} == {1, 5, 6, 15}


def test_a_reduced_manifest_finds_the_store_of_the_whole_one(root: Path) -> None:
    manifest = archive(root / "a")
    whole = prepare(manifest, SLICES, root / "store", jobs=1)
    reduced = manifest.with_kept([[0], None, None, None], 2)
    assert prepare(reduced, SLICES, root / "store", jobs=1).folder == whole.folder


def test_partitions_have_their_own_kept_slices_and_the_nearest_where_there_are_none(root: Path) -> None:
    manifest = archive(root / "a").with_kept([[0, 1, 9, 15], None, None, None], 2)
    patches = patches_of(root, manifest, SLICES)
    sampler = Sampler.drawing(patches, patients=2, records=2, samples=4, partitions=4)
    places = [[] for _ in range(4)]
    for batch in sampler.batches(0, 20):
        for i, patch in enumerate(batch):
            if patch[0] == 0:
                places[i % 4].append(patch[3])
    # The parts are slices 0-3, 4-7, 8-11 and 12-15; 9 is nearer to 7 than 1 is to 4.
    assert [set(one) for one in places] == [{0, 1}, {9}, {9}, {15}]


def test_kept_slices_are_found_again_after_resampling(root: Path) -> None:
    manifest = archive(root / "a").with_kept([[0, 8, 15], None, None, None], 2)
    finer = VolumeConfig(size=(8, 8, 1), spacing=(None, None, 1.0))
    assert drawn_from(patches_of(root, manifest, finer))[0] == {0, 16, 30}


def test_a_volume_of_which_only_empty_slices_are_kept_is_left_out(root: Path, tmp_path: Path) -> None:
    for i in range(2):
        voxels = np.zeros((20, 24, 30), dtype=np.int16)
        voxels[4:16, 4:16, 20:24] = 500 + np.arange(12, dtype=np.int16)[:, None, None]
        save(tmp_path / f"v{i}.nii.gz", voxels)
    config = VolumeConfig(size=(8, 8, 1), foreground=True)
    manifest = manifest_of(tmp_path).with_kept([[0, 1], [0, 21]], 2)
    patches = patches_of(tmp_path, manifest, config)
    assert patches.rows.tolist() == [1]
    low = patches.store.box_start[patches.records[0]][2]
    assert patches.kept[0].tolist() == [21 - low]
    with pytest.raises(MedclError, match="there is no volume"):
        patches_of(tmp_path, manifest.with_kept([[0], [0]], 2), config)


@pytest.mark.parametrize("size", [(8, 8, 8), (1, 8, 8)])
def test_other_patches_of_a_reduced_manifest_are_refused_with_what_to_do(root: Path, size: tuple[int, ...]) -> None:
    manifest = archive(root / "a").with_kept([[1], None, None, None], 2)
    with pytest.raises(UsageError, match="reduced to slices across z.*--unit record"):
        patches_of(root, manifest, VolumeConfig(size=size))


def test_a_manifest_of_whole_volumes_alone_is_taken_by_any_patches(root: Path) -> None:
    manifest = archive(root / "a").with_kept([None] * 4, 2)
    assert patches_of(root, manifest, VolumeConfig(size=(8, 8, 8))).kept == [None] * 4


def test_starts_of_a_range() -> None:
    kept = np.array([2, 3, 9])
    assert starts(None, 1, 3).tolist() == [1, 2, 3]
    assert starts(kept, 3, 9).tolist() == [3, 9]
    assert starts(kept, 4, 8).tolist() == [3, 9]
    assert starts(kept, 10, 12).tolist() == [9]
