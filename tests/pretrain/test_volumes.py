"""`medcl pretrain` on real volumes: every method trains, its run folder loads, and it resumes to the bit."""

import csv
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from medcl import runs
from medcl.archive.manifest import Manifest
from medcl.errors import UsageError
from medcl.modality.spatial.encoders.unet import UNet
from medcl.modality.volume.config import VolumeConfig
from medcl.pretrain.config import HardwareConfig
from medcl.pretrain.run import Pretrained, pretrain
from medcl.pretrain.volume_config import HierarchyConfig, VolumeBatchConfig, VolumePretrainConfig

from .volume_recipe import encoder, global_local, in_3d, local, small


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("prepared") / "mr.store"


def curve(folder: Path) -> list[dict[str, str]]:
    with (folder / runs.METRICS).open() as lines:
        return [
            {name: value for name, value in row.items() if name != "samples_per_second"}
            for row in csv.DictReader(lines)
        ]


RECIPES = {
    "both stages": small(),
    "across volumes": local(global_local(partitions=2), across=True),
    "joint": global_local(stages="joint"),
    "local with encoder": local(global_local(stages="local"), train_encoder=True),
    "G^R": global_local(stages="global", variant="random"),
    "G^D-": global_local(stages="global", variant="partition-negatives"),
    "PCL": global_local(stages="global", variant="positional"),
    "resnet": encoder(global_local(stages="global"), name="resnet", widths=(8, 8, 8, 8)),
    "dense map of another U-Net": local(
        encoder(global_local(stages="joint"), name="monai-unet", widths=(2, 4)), train_encoder=True
    ),
    "crops": in_3d(local(across=True)),
    "densecl": small(method="densecl"),
    "pixpro": encoder(small(method="pixpro"), stride=2),
    "hierarchy": small(method="hierarchy"),
    "densecl of crops": in_3d(small(method="densecl")),
    "pixpro of crops": in_3d(encoder(small(method="pixpro"), stride=2)),
}


@pytest.mark.parametrize("config", RECIPES.values(), ids=RECIPES)
def test_every_method_writes_a_run_that_loads(
    config: VolumePretrainConfig, mr_manifest: Manifest, store: Path, tmp_path: Path
) -> None:
    done = pretrain(config, mr_manifest, store, tmp_path / "run")
    assert done.finished
    rows = curve(tmp_path / "run")
    assert [int(row["step"]) for row in rows] == list(range(1, done.steps + 1))
    assert {*done.losses} <= {*rows[0]}
    run = runs.load_volumes(tmp_path / "run")
    assert run.card.modality == "mr"
    assert run.card.data["size"] == list(config.data.size)
    shape = [size for size in config.data.size if size > 1]
    assert run.encoder.embed(torch.randn(2, 1, *shape)).shape == (2, run.card.encoder.dim)
    seen = run.patients.among(mr_manifest.column("patient"))
    assert seen.tolist() == [split == "train" for split in mr_manifest.column("split")]


def test_a_run_folder_names_the_losses_of_both_stages(mr_manifest: Manifest, store: Path, tmp_path: Path) -> None:
    done = pretrain(small(), mr_manifest, store, tmp_path / "run")
    rows = curve(tmp_path / "run")
    assert list(rows[0]) == ["step", "stage", "learning_rate", "global", "local", "total"]
    assert [(row["stage"], bool(row["global"]), bool(row["local"])) for row in rows] == (
        [("global", True, False)] * 3 + [("local", False, True)] * 3
    )
    assert done.steps == 6


@pytest.mark.parametrize("stops", [(2,), (3,), (4,), (1, 3, 5)], ids=str)
def test_stops_within_and_between_stages_change_nothing(
    stops: tuple[int, ...], mr_manifest: Manifest, store: Path, tmp_path: Path
) -> None:
    whole = pretrain(small(), mr_manifest, store, tmp_path / "whole")
    for number, stop in enumerate(stops):
        part = pretrain(small(), mr_manifest, store, tmp_path / "parts", resume=number > 0, until=stop)
        assert part.steps == stop
        assert not part.finished
    last = pretrain(small(), mr_manifest, store, tmp_path / "parts", resume=True)
    assert last.steps == whole.steps
    assert curve(tmp_path / "parts") == curve(tmp_path / "whole")
    first, second = (load_file(tmp_path / name / runs.WEIGHTS) for name in ("whole", "parts"))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("method", ["densecl", "pixpro", "hierarchy"])
def test_a_stop_changes_nothing(method: str, mr_manifest: Manifest, store: Path, tmp_path: Path) -> None:
    config = small(steps=4, method=method)
    pretrain(config, mr_manifest, store, tmp_path / "whole")
    pretrain(config, mr_manifest, store, tmp_path / "parts", until=2)
    pretrain(config, mr_manifest, store, tmp_path / "parts", resume=True)
    assert curve(tmp_path / "parts") == curve(tmp_path / "whole")
    first, second = (load_file(tmp_path / name / runs.WEIGHTS) for name in ("whole", "parts"))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_trained_blocks_load_into_a_segmentation_network(mr_manifest: Manifest, store: Path, tmp_path: Path) -> None:
    pretrain(small(), mr_manifest, store, tmp_path / "run")
    run = runs.load_volumes(tmp_path / "run")
    whole = UNet(1, 3, widths=(2, 4, 4))
    found = whole.load_state_dict(run.encoder.network.state_dict(), strict=False)
    assert not found.unexpected_keys
    assert {name.split(".")[0] + "." + name.split(".")[1] for name in found.missing_keys} == {
        "decoder.1",
        "head.hidden",
        "head.output",
    }
    assert run.card.encoder.stride == 2


def test_the_local_stage_leaves_the_encoder_as_it_is(mr_manifest: Manifest, store: Path, tmp_path: Path) -> None:
    trained(global_local(stages="global"), mr_manifest, store, tmp_path / "global")
    trained(small(), mr_manifest, store, tmp_path / "both")
    trained(global_local(stages="local", init=str(tmp_path / "global")), mr_manifest, store, tmp_path / "local")
    alone, both, after = (
        runs.load_volumes(tmp_path / name).encoder.network.state_dict() for name in ("global", "both", "local")
    )
    assert not any(name.startswith("decoder") for name in alone)
    for name in alone:
        torch.testing.assert_close(alone[name], both[name], rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(alone[name], after[name], rtol=1e-5, atol=1e-6)
    assert any(name.startswith("decoder") for name in both)


def trained(config: VolumePretrainConfig, manifest: Manifest, store: Path, folder: Path) -> Pretrained:
    done = pretrain(config, manifest, store, folder)
    assert done.finished
    return done


def test_a_batch_in_chunks_trains_as_one(mr_manifest: Manifest, store: Path, tmp_path: Path) -> None:
    for chunk in (0, 5):
        config = encoder(global_local(stages="global"), norm="group")
        config = replace(config, hardware=HardwareConfig(accelerator="cpu", chunk=chunk))
        trained(config, mr_manifest, store, tmp_path / str(chunk))
    whole, chunks = (load_file(tmp_path / str(chunk) / runs.WEIGHTS) for chunk in (0, 5))
    for name in whole:
        torch.testing.assert_close(whole[name], chunks[name], rtol=1e-3, atol=1e-5)


def test_the_global_loss_falls(mr_manifest: Manifest, store: Path, tmp_path: Path) -> None:
    config = encoder(global_local(small(steps=40), stages="global"), widths=(4, 8, 8))
    config = replace(config, optimiser=replace(config.optimiser, learning_rate=5e-3))
    trained(config, mr_manifest, store, tmp_path / "run")
    losses = [float(row["total"]) for row in curve(tmp_path / "run")]
    assert sum(losses[-8:]) < 0.8 * sum(losses[:8])


def test_a_run_does_not_start_from_an_encoder_of_other_patients(
    mr_manifest: Manifest, store: Path, tmp_path: Path
) -> None:
    config = replace(global_local(stages="global"), splits=("train", "val"))
    trained(config, mr_manifest, store, tmp_path / "more")
    config = global_local(stages="local", init=str(tmp_path / "more"))
    with pytest.raises(UsageError, match="trained on patients who are not in this run"):
        pretrain(config, mr_manifest, store, tmp_path / "run")


WRONG = {
    "encoder.dims": small(data=VolumeConfig(size=(16, 16, 16))),
    "data.size": small(data=VolumeConfig(size=(18, 1, 16))),
    "regions": local(small(data=VolumeConfig(size=(8, 1, 8)))),
    "local.blocks": local(blocks=3),
    "local.negatives": local(negatives=13),
    "local.train_encoder": encoder(name="monai-unet", widths=(2, 4)),
    "global_local.init": global_local(stages="local"),
    "starts from random": global_local(init="somewhere"),
    "local_views": small(local_views=small().views),
    "at least two volumes": small(batch=VolumeBatchConfig(1, 1, 2)),
    "batch.samples": small(batch=VolumeBatchConfig(3, 1, 3)),
    "hardware.chunk": replace(global_local(stages="joint"), hardware=HardwareConfig(chunk=2)),
    "densecl cannot": small(method="densecl", hardware=HardwareConfig(chunk=2)),
    "hierarchy.levels: scanner": small(method="hierarchy", hierarchy=HierarchyConfig({"scanner": 1.0})),
    "global_local.partitions": global_local(partitions=0),
}


@pytest.mark.parametrize(("said", "config"), WRONG.items(), ids=WRONG)
def test_invalid_recipes_are_refused_before_there_is_a_folder(
    said: str, config: VolumePretrainConfig, mr_manifest: Manifest, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=said):
        pretrain(config, mr_manifest, tmp_path / "store", tmp_path / "run")
    assert not (tmp_path / "run").exists()
    # Which levels there are is known once the archive is; all else is refused before an hour of decoding.
    assert not (tmp_path / "store").exists() or "scanner" in said


def test_a_patch_larger_than_every_volume_trains_and_is_told(
    mr_manifest: Manifest, store: Path, tmp_path: Path
) -> None:
    done = pretrain(small(1, data=VolumeConfig(size=(64, 1, 64))), mr_manifest, store, tmp_path / "run")
    assert "larger than every volume along x, z" in str(done)
