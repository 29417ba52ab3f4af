"""Classifying volumes: every voxel is looked at, and labels of a table are predicted as those of recordings are."""

from pathlib import Path

import numpy as np
import pytest

from medcl.archive.manifest import Manifest
from medcl.data.prepare import prepare
from medcl.evaluate.config import EvaluateConfig, FinetuneConfig
from medcl.evaluate.finetune import finetune
from medcl.modality.spatial.config import ImageEncoderConfig
from medcl.modality.volume.config import VolumeConfig
from medcl.modality.volume.samples import VolumePatches
from medcl.modality.volume.tiles import VolumeTiles
from tests.evaluate.segment_archive import NETWORK, SLICES, write_heads, write_run


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("heads")
    write_heads(folder, 16, (0.5, 0.25, 0.25))
    return folder


@pytest.mark.parametrize(
    ("size", "tiles"), [((16, 16, 1), 8), ((20, 1, 4), 32), ((16, 16, 8), 1), ((10, 16, 5), 4), ((32, 32, 32), 1)]
)
def test_tiles_cover_every_voxel(heads: Path, size: tuple[int, int, int], tiles: int) -> None:
    manifest, config = Manifest.read(heads / "mr.parquet").select([0, 1]), VolumeConfig(size=size)
    patches = VolumePatches(prepare(manifest, config, heads / "store", jobs=1), manifest, config)
    of = VolumeTiles(patches)
    for number in range(2):
        chosen = of.samples_of(number)
        assert len(chosen) == tiles
        batch = of.__getitems__(chosen.tolist())
        assert set(batch["index"].tolist()) == {number}
        # No voxel of the volume is missing among the values of its tiles.
        assert set(np.unique(patches.volume(number))) <= set(np.unique(batch["x"]))


@pytest.mark.parametrize(
    ("network", "data"),
    [(NETWORK, SLICES), (ImageEncoderConfig("unet", dims=3, widths=(2, 4), dim=4), VolumeConfig(size=(10, 10, 8)))],
)
def test_labels_of_volumes_are_predicted_by_every_protocol(
    heads: Path, tmp_path: Path, network: ImageEncoderConfig, data: VolumeConfig
) -> None:
    manifest = Manifest.read(heads / "mr.parquet")
    run = write_run(tmp_path / "run", manifest, network=network, data=data)
    tuning = FinetuneConfig(steps=2, batch=4, evaluate_every=2)
    config = EvaluateConfig("lesion", labels=["100%"], repeats=1, bootstrap=10, finetune=tuning, jobs=1)
    results = finetune([run], manifest, config, heads / "store", tmp_path / "out")
    assert {score.protocol for score in results.scores} == {"probe", "knn", "finetune"}
    assert all(np.isfinite(score.metrics["auroc"]) for score in results.scores)
