"""Statistics of the values of voxels."""

from pathlib import Path

import numpy as np
import pytest
import torch

from medcl.data.prepare import prepare
from medcl.modality import wing
from medcl.modality.volume.baselines import BINS, PERCENTILES, voxels
from medcl.modality.volume.config import VolumeConfig
from medcl.modality.volume.samples import VolumePatches
from medcl.modality.volume.tiles import VolumeTiles
from tests.evaluate.segment_archive import write_heads

WIDTH = 2 + len(PERCENTILES) + BINS


def test_statistics_are_those_of_numpy() -> None:
    x = torch.randn(3, 2, 5, 6, 7, generator=torch.Generator().manual_seed(0))
    found = voxels(x).reshape(3, 2, WIDTH)
    flat = x.flatten(2).double().numpy()
    np.testing.assert_allclose(found[:, :, 0], flat.mean(axis=2), atol=1e-6)
    np.testing.assert_allclose(found[:, :, 1], flat.std(axis=2), atol=1e-6)
    expected = np.moveaxis(np.percentile(flat, PERCENTILES, axis=2), 0, 2)
    np.testing.assert_allclose(found[:, :, 2 : 2 + len(PERCENTILES)], expected, atol=1e-6)
    counted, _ = np.histogram(np.clip(flat[1, 1], 0, 1), bins=BINS, range=(0, 1))
    np.testing.assert_allclose(found[1, 1, -BINS:] * flat.shape[2], counted, atol=1e-6)


def test_the_place_of_a_value_does_not_matter_and_its_size_does() -> None:
    x = torch.rand(1, 1, 8, 8)
    np.testing.assert_allclose(voxels(x), voxels(x.flip(2)), atol=1e-6)
    assert np.abs(voxels(x) - voxels(x / 2)).max() > 0.1
    assert np.isfinite(voxels(torch.full((1, 1, 4, 4), 1e30))).all()


@pytest.mark.parametrize("size", [(16, 16, 1), (10, 10, 8)])
def test_a_volume_has_the_mean_of_its_patches(tmp_path: Path, size: tuple[int, int, int]) -> None:
    manifest, config = write_heads(tmp_path).select([0, 1, 2]), VolumeConfig(size=size)
    tiles = VolumeTiles(VolumePatches(prepare(manifest, config, tmp_path / "s", jobs=1), manifest, config))
    own = wing("volume").baselines(config)["voxels"]
    rows = np.array([2, 0])
    found = own.transform(tiles, rows, own.fit(tiles, rows))
    for place, row in enumerate(rows.tolist()):
        every = voxels(tiles.read(tiles.samples_of(row)))
        np.testing.assert_allclose(found[place], every.mean(axis=0), atol=1e-9)
