"""Reducing by embedding: of a run, of a random network, of a folder of transformers."""

from pathlib import Path

import numpy as np
import pytest
import torch

from medcl.archive.manifest import Manifest
from medcl.errors import MedclError, UnreadableError, UsageError
from medcl.modality.spatial.config import ImageEncoderConfig
from medcl.modality.volume.config import VolumeConfig
from medcl.reduce import embedding
from medcl.reduce.config import ReduceConfig
from medcl.reduce.encoders import RandomEncoder, VisionEncoder
from medcl.reduce.run import reduce_manifest
from medcl.reduce.units import families_of, units_of
from tests.data import linked_archive, volume_archive
from tests.embed import archives

SHAPE = (20, 24, 16)


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Noise; the slices 4 and 5 of the first volume are the same."""
    root = tmp_path_factory.mktemp("mr")
    for i in range(2):
        data = volume_archive.noise(SHAPE, i)
        data[:, :, 5] = data[:, :, 4]
        volume_archive.save(root / f"v{i}.nii.gz", data)
    return volume_archive.manifest_of(root)


def made(
    manifest: Manifest, config: ReduceConfig, store: Path, kind: str = "volume"
) -> tuple[embedding.Embedding, dict]:  # type: ignore[type-arg]
    strategy = embedding.strategy_of(config, manifest)
    (family,) = (one for one in families_of(config) if one.kind == kind)
    units = units_of(manifest, family, np.ones(len(manifest), dtype=bool), config.axis)
    found = strategy.described(manifest, units, store, axis=config.axis, jobs=1)
    return strategy, dict(found.of)


def test_every_slice_has_the_vector_of_the_run_and_copies_have_cosine_one(volumes: Manifest, tmp_path: Path) -> None:
    run = archives.save(tmp_path / "run", archives.volumes(VolumeConfig(size=(20, 24, 1))))
    config = ReduceConfig(by="embedding", run=str(run))
    strategy, found = made(volumes, config, tmp_path / "store")
    assert {row: one.shape for row, one in found.items()} == {0: (16, 4), 1: (16, 4)}
    cosine = strategy.compare(found[0], found[0])
    np.testing.assert_array_equal(np.diag(cosine), 1)
    assert cosine[4, 5] == 1
    pairs = {
        (a, b)
        for p in strategy.search(found[0], found[0], 1.0)
        for a, b in zip(*map(list, (p.first, p.second)), strict=True)
    }
    assert {(4, 5), (5, 4)} <= pairs
    # GroupSelection under the weights: a reduced manifest has the same signatures.
    _, again = made(volumes.with_kept([[1, 2], None], 2), config, tmp_path / "store")
    np.testing.assert_array_equal(again[0], found[0])


def test_slices_of_a_cut_volume_have_the_nearest_that_was_prepared(tmp_path: Path) -> None:
    data = np.zeros(SHAPE, dtype=np.int16)
    data[6:14, 6:18, 5:11] = volume_archive.noise((8, 12, 6)) + 500
    volume_archive.save(tmp_path / "a" / "v0.nii.gz", data)
    manifest = volume_archive.manifest_of(tmp_path / "a")
    cut = VolumeConfig(size=(20, 24, 1), foreground=True, spacing=(1.0, 1.0, 2.0))
    run = archives.save(tmp_path / "run", archives.volumes(cut))
    _, found = made(manifest, ReduceConfig(by="embedding", run=str(run)), tmp_path / "store")
    assert found[0].shape == (16, 4)


def test_runs_of_whole_volumes_and_of_pictures(volumes: Manifest, tmp_path: Path) -> None:
    network = ImageEncoderConfig("unet", dims=3, widths=(2, 4), dim=4, norm="group")
    run = archives.save(tmp_path / "solid", archives.volumes(VolumeConfig(size=(16, 16, 8)), network))
    config = ReduceConfig(by="embedding", run=str(run), unit="record")
    strategy, found = made(volumes, config, tmp_path / "store")
    assert strategy.dims == ("record",)
    assert found[0].shape == (1, 4)
    images = linked_archive.pictures_with_reports(tmp_path / "a", patients=2)
    (tmp_path / "a" / "1.png").write_bytes(b"no image")
    run = archives.save(tmp_path / "run", archives.joint(images))
    _, found = made(images, ReduceConfig(by="embedding", run=str(run)), tmp_path / "s", kind="image")
    assert len(found) == 3
    _, found = made(images, ReduceConfig(by="embedding", run=str(run)), tmp_path / "s", kind="report")
    assert {one.shape for one in found.values()} == {(1, 8)}


def test_a_random_encoder_depends_on_its_seed_alone() -> None:
    rng = np.random.default_rng(0)
    pieces = [rng.integers(0, 900, (1, 30 + i, 40)).astype(np.int16) for i in range(3)]
    torch.manual_seed(1)
    one = RandomEncoder(3).signatures(pieces)
    assert torch.initial_seed() == 1
    np.testing.assert_allclose(one, RandomEncoder(3).signatures(pieces[:1] + pieces[1:]), atol=1e-6)
    np.testing.assert_allclose(one[2:], RandomEncoder(3).signatures(pieces[2:]), atol=1e-6)
    assert np.abs(one - RandomEncoder(4).signatures(pieces)).max() > 0.01
    constant = RandomEncoder(0).signatures([np.full((1, 9, 9), 7), np.full((1, 5, 6), 3)])
    assert RandomEncoder(0).compare(constant, constant)[0, 1] == 1
    for shape in ((2, 500), (1, 12, 10, 8), (3, 20, 20)):
        assert RandomEncoder(0).signatures([rng.normal(size=shape)]).shape == (1, 128)
    with pytest.raises(UnreadableError, match="not finite"):
        RandomEncoder(0).signatures([np.full((1, 9, 9), np.nan)])


def test_a_random_encoder_reads_the_original_files(volumes: Manifest, tmp_path: Path) -> None:
    strategy, found = made(volumes, ReduceConfig(by="embedding", encoder="random"), tmp_path / "store")
    assert strategy.compare(found[0], found[0])[4, 5] == 1
    assert found[0].shape == (16, 128)


def test_a_vision_model_of_transformers(volumes: Manifest, tmp_path: Path) -> None:
    from transformers import BertConfig, BertModel, ViTConfig, ViTModel

    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    ViTModel(ViTConfig(**sizes, image_size=32, patch_size=16)).save_pretrained(tmp_path / "vit")
    config = ReduceConfig(by="embedding", encoder=str(tmp_path / "vit"))
    strategy, found = made(volumes, config, tmp_path / "store")
    assert found[0].shape == (16, 16)
    assert strategy.compare(found[0], found[0])[4, 5] == 1
    assert strategy.signatures([np.zeros((1, 9, 9, 4))]).shape == (1, 16)
    BertModel(BertConfig(**sizes, vocab_size=30)).save_pretrained(tmp_path / "bert")
    with pytest.raises(UsageError, match="type bert takes no images"):
        VisionEncoder(tmp_path / "bert").signatures([np.zeros((1, 9, 9))])
    with pytest.raises(MedclError, match="nothing is fetched from the network"):
        embedding.strategy_of(ReduceConfig(by="embedding", encoder="google/vit-base-patch16-224"), volumes)


@pytest.mark.parametrize("stored", [b"[" * 100_000, b"\xff", b"[1]", b'{"image_mean": "x"}', b'{"image_std": 1}'])
def test_a_vision_model_that_does_not_say_what_it_wants_is_refused(tmp_path: Path, stored: bytes) -> None:
    from transformers import ViTConfig, ViTModel

    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    ViTModel(ViTConfig(**sizes, image_size=32, patch_size=16)).save_pretrained(tmp_path / "vit")
    (tmp_path / "vit" / "preprocessor_config.json").write_bytes(stored)
    with pytest.raises(MedclError, match="preprocessor_config.json: "):
        VisionEncoder(tmp_path / "vit").signatures([np.zeros((1, 9, 9))])


def test_bad_input_is_named(volumes: Manifest, tmp_path: Path) -> None:
    images = archives.save(tmp_path / "images", archives.pictures())
    with pytest.raises(UsageError, match="embeds images; the manifest holds volumes"):
        embedding.strategy_of(ReduceConfig(by="embedding", run=str(images)), volumes)
    with pytest.raises(UsageError, match="needs an encoder"):
        embedding.strategy_of(ReduceConfig(by="embedding"), volumes)
    run = archives.save(tmp_path / "run", archives.volumes(VolumeConfig(size=(20, 24, 1))))
    with pytest.raises(UsageError, match="slices across z, not x"):
        made(volumes, ReduceConfig(by="embedding", run=str(run), axis=0), tmp_path / "s")
    broken = archives.save(tmp_path / "broken", archives.volumes(VolumeConfig(size=(20, 24, 1))), broken=True)
    with pytest.raises(MedclError, match="record r0: its embedding is not a number"):
        made(volumes, ReduceConfig(by="embedding", run=str(broken)), tmp_path / "s")
    config = ReduceConfig(by="embedding", run=str(run))
    with pytest.raises(UsageError, match="leave --cluster out"):
        reduce_manifest(volumes, config, tmp_path / "s", cluster="tcp://127.0.0.1:1")
