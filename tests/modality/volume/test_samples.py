"""Patches and their sampler: scaled, padded, placed, and the same however they are read."""

from pathlib import Path

import numpy as np
import pytest
import torch

from medcl.data.loader import loader
from medcl.data.prepare import prepare
from medcl.data.sampler import Sampler
from medcl.errors import MedclError
from medcl.modality.volume.config import VolumeConfig
from medcl.modality.volume.samples import VolumePatches
from tests.data.volume_archive import archive, labels, manifest_of, noise, save


def patches_of(tmp_path: Path, config: VolumeConfig, count: int = 4, mask: str | None = None) -> VolumePatches:
    manifest = archive(tmp_path / "a", count)
    return VolumePatches(prepare(manifest, config, tmp_path / "store", jobs=1), manifest, config, mask=mask)


def scaled(patches: VolumePatches, number: int) -> np.ndarray:
    low, high = patches.store.low[number], patches.store.high[number]
    return ((noise(seed=number) - low) / (high - low)).astype(np.float32)


def test_a_patch_is_scaled_and_what_lies_outside_is_0(tmp_path: Path) -> None:
    patches = patches_of(tmp_path, VolumeConfig(size=(8, 30, 6)), mask="organs")
    batch = patches.__getitems__([(2, -3, -3, 12), (1, 4, 0, 3), (0, 40, 0, 0)])
    x, y = batch["x"].numpy(), batch["y"].numpy()
    assert x.shape == (3, 1, 8, 30, 6)
    assert y.shape == (3, 8, 30, 6)
    np.testing.assert_allclose(x[0, 0, 3:, 3:27, :4], scaled(patches, 2)[:5, :, 12:], atol=1e-6)
    np.testing.assert_array_equal(y[0, 3:, 3:27, :4], labels(seed=2)[:5, :, 12:])
    outside = np.ones((8, 30, 6), dtype=bool)
    outside[3:, 3:27, :4] = False
    assert not x[0, 0][outside].any()
    assert not y[0][outside].any()
    np.testing.assert_allclose(x[1, 0, :, :24], scaled(patches, 1)[4:12, :, 3:9], atol=1e-6)
    assert not x[2].any()
    np.testing.assert_allclose(batch["position"].numpy(), [15 / 16, 6 / 16, 3 / 16])
    assert batch["index"].tolist() == [2, 1, 0]
    assert batch["ids"]["patient"].tolist() == [1, 0, 0]
    assert batch["ids"]["volume"].tolist() == [102, 101, 100]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_are_pictures_of_the_two_other_axes(tmp_path: Path, axis: int) -> None:
    size = [12, 12, 12]
    size[axis] = 1
    patches = patches_of(tmp_path, VolumeConfig(size=tuple(size)), mask="organs")
    assert patches.axis == axis
    start = [2, 2, 2]
    batch = patches.__getitems__([(1, *start), (1, *start), (3, *start)])
    box = tuple(slice(2, 2 + voxels) for voxels in size)
    assert batch["x"].shape == (3, 1, 12, 12)
    np.testing.assert_allclose(batch["x"][0, 0], scaled(patches, 1)[box].squeeze(axis), atol=1e-6)
    np.testing.assert_array_equal(batch["y"][0], labels(seed=1)[box].squeeze(axis))
    one, same, other = batch["ids"]["slice"].tolist()
    assert one == same != other
    np.testing.assert_allclose(batch["position"][0], 2.5 / patches.shape[1, axis])


def test_a_window_is_clipped_and_percentiles_are_not(tmp_path: Path) -> None:
    assert float(patches_of(tmp_path, VolumeConfig()).volume(0).max()) > 1
    manifest = manifest_of(tmp_path / "a", modality="ct")
    config = VolumeConfig(window=(100.0, 500.0))
    patches = VolumePatches(prepare(manifest, config, tmp_path / "store", jobs=1), manifest, config)
    expected = np.clip((noise(seed=3).astype(float) - 100) / 400, 0, 1)
    np.testing.assert_allclose(patches.volume(3)[0], expected, atol=1e-6)


def test_whole_volumes_come_for_inference(tmp_path: Path) -> None:
    patches = patches_of(tmp_path, VolumeConfig(), mask="organs")
    np.testing.assert_allclose(patches.volume(1)[0], scaled(patches, 1), atol=1e-6)
    np.testing.assert_array_equal(patches.labels(1), labels(seed=1))


def test_volumes_without_the_label_map_are_left_out(tmp_path: Path) -> None:
    root = tmp_path / "a"
    for i in range(3):
        save(root / f"v{i}.nii.gz", noise(seed=i))
    save(root / "m1.nii.gz", labels())
    manifest = manifest_of(root, {"v1.nii.gz": "m1.nii.gz"})
    store = prepare(manifest, VolumeConfig(), tmp_path / "store", jobs=1)
    assert VolumePatches(store, manifest, VolumeConfig(), mask="organs").rows.tolist() == [1]
    assert VolumePatches(store, manifest.select([2, 0]), VolumeConfig()).records.tolist() == [2, 0]
    with pytest.raises(MedclError, match="no volume with a label map"):
        VolumePatches(store, manifest.select([0]), VolumeConfig(), mask="organs")


@pytest.mark.parametrize("size", [(12, 12, 12), (12, 12, 1)])
def test_batches_are_the_same_for_any_number_of_workers(tmp_path: Path, size: tuple[int, ...]) -> None:
    patches = patches_of(tmp_path, VolumeConfig(size=size), mask="organs")
    sampler = Sampler.drawing(patches, patients=2, records=2, samples=3, seed=5)
    first, second = (list(loader(patches, sampler, 2, 6, workers)) for workers in (0, 2))
    assert len(first) == 4
    for one, two in zip(first, second, strict=True):
        assert one.keys() == two.keys()
        for name in ("x", "y", "index", "position"):
            assert torch.equal(one[name], two[name])
        assert all(torch.equal(one["ids"][level], two["ids"][level]) for level in one["ids"])
