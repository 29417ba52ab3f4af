"""`medcl pretrain` on real volumes: every method trains, its run folder loads, and it resumes to the bit."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from medcl import runs
from medcl.archive.manifest import Manifest
from medcl.errors import UsageError
from medcl.modality.spatial.encoders.unet import UNet
from medcl.pretrain.recipe import Recipe
from medcl.pretrain.run import Pretrained, pretrain

from .volume_recipe import CUBES, FROZEN, G_D, GLOBAL, HEAD, LOCAL, OWN, network, of, staged


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("prepared") / "mr.store"


def curve(folder: Path) -> list[dict[str, str]]:
    with (folder / runs.METRICS).open() as lines:
        return [
            {name: value for name, value in row.items() if name != "samples_per_second"}
            for row in csv.DictReader(lines)
        ]


DENSECL = {"kind": "densecl", "of": "volume", "queue": 16, "hidden": 8, "projection": 8}
PIXPRO = {"kind": "pixpro", "of": "volume", "hidden": 8, "projection": 8}
LEVELS = {
    level: {"of": "volume", "positives": level, "head": HEAD if level == "patient" else "patient", "weight": weight}
    for level, weight in {"patient": 0.5, "study": 0.25, "slice": 0.25}.items()
}
ACROSS = {"local": {"across": True}}
RECIPES = {
    "both stages": staged(),
    "across volumes": staged(objectives=ACROSS),
    "joint": of({"global": G_D, "local": {**LOCAL, "train_encoder": False}}),
    "local with encoder": of({"local": LOCAL}),
    "G^R": of({"global": GLOBAL}),
    "G^D-": of({"global": {**GLOBAL, **OWN, "exclude": ["partition"]}}),
    "PCL": of({"global": {**GLOBAL, "positives": "position"}}),
    "resnet": of({"global": G_D}, inputs=network(name="resnet", widths=[8, 8, 8, 8])),
    "dense map of another U-Net": of({"global": G_D, "local": LOCAL}, inputs=network(name="monai-unet", widths=[2, 4])),
    "crops": staged(objectives={"local": {"across": True, "blocks": 2}}, inputs=CUBES),
    "densecl": of({"densecl": DENSECL}),
    "pixpro": of({"pixpro": PIXPRO}, inputs=network(stride=2)),
    "hierarchy": of(LEVELS),
    "densecl of crops": of({"densecl": DENSECL}, inputs=CUBES),
    "pixpro of crops": of(
        {"pixpro": PIXPRO}, inputs={"volume": {**CUBES["volume"], "encoder": {"dims": 3, "stride": 2}}}
    ),
}


@pytest.mark.parametrize("config", RECIPES.values(), ids=RECIPES)
def test_every_method_writes_a_run_that_loads(
    config: Recipe, mr_manifest: Manifest, store: Path, tmp_path: Path
) -> None:
    done = pretrain(config, mr_manifest, store, tmp_path / "run")
    assert done.finished
    rows = curve(tmp_path / "run")
    assert [int(row["step"]) for row in rows] == list(range(1, done.steps + 1))
    assert {*done.losses} <= {*rows[0]}
    run = runs.load_volumes(tmp_path / "run")
    assert run.card.modality == "mr"
    size = config.inputs["volume"].data.size
    assert run.card.data["size"] == list(size)
    shape = [length for length in size if length > 1]
    assert run.encoder.embed(torch.randn(2, 1, *shape)).shape == (2, run.card.encoder.dim)
    seen = run.patients.among(mr_manifest.column("patient"))
    assert seen.tolist() == [split == "train" for split in mr_manifest.column("split")]


def test_a_run_folder_names_the_losses_of_both_stages(mr_manifest: Manifest, store: Path, tmp_path: Path) -> None:
    done = pretrain(staged(), mr_manifest, store, tmp_path / "run")
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
    whole = pretrain(staged(), mr_manifest, store, tmp_path / "whole")
    for number, stop in enumerate(stops):
        part = pretrain(staged(), mr_manifest, store, tmp_path / "parts", resume=number > 0, until=stop)
        assert part.steps == stop
        assert not part.finished
    last = pretrain(staged(), mr_manifest, store, tmp_path / "parts", resume=True)
    assert last.steps == whole.steps
    assert curve(tmp_path / "parts") == curve(tmp_path / "whole")
    first, second = (load_file(tmp_path / name / runs.WEIGHTS) for name in ("whole", "parts"))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("name", ["densecl", "pixpro", "hierarchy"])
def test_a_stop_changes_nothing(name: str, mr_manifest: Manifest, store: Path, tmp_path: Path) -> None:
    objectives = {"densecl": {"densecl": DENSECL}, "pixpro": {"pixpro": PIXPRO}, "hierarchy": LEVELS}
    config = of(objectives[name], optimiser={"steps": 4})
    pretrain(config, mr_manifest, store, tmp_path / "whole")
    pretrain(config, mr_manifest, store, tmp_path / "parts", until=2)
    pretrain(config, mr_manifest, store, tmp_path / "parts", resume=True)
    assert curve(tmp_path / "parts") == curve(tmp_path / "whole")
    first, second = (load_file(tmp_path / name / runs.WEIGHTS) for name in ("whole", "parts"))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_trained_blocks_load_into_a_segmentation_network(mr_manifest: Manifest, store: Path, tmp_path: Path) -> None:
    pretrain(staged(), mr_manifest, store, tmp_path / "run")
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
    trained(of({"global": G_D}), mr_manifest, store, tmp_path / "global")
    trained(staged(), mr_manifest, store, tmp_path / "both")
    local = of({"local": LOCAL}, stages=[FROZEN], inputs={"volume": {"init": str(tmp_path / "global")}})
    trained(local, mr_manifest, store, tmp_path / "local")
    alone, both, after = (
        runs.load_volumes(tmp_path / name).encoder.network.state_dict() for name in ("global", "both", "local")
    )
    assert not any(name.startswith("decoder") for name in alone)
    for name in alone:
        torch.testing.assert_close(alone[name], both[name], rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(alone[name], after[name], rtol=1e-5, atol=1e-6)
    assert any(name.startswith("decoder") for name in both)


def trained(config: Recipe, manifest: Manifest, store: Path, folder: Path) -> Pretrained:
    done = pretrain(config, manifest, store, folder)
    assert done.finished
    return done


def test_a_batch_in_chunks_trains_as_one(mr_manifest: Manifest, store: Path, tmp_path: Path) -> None:
    for chunk in (0, 5):
        config = of({"global": G_D}, inputs=network(norm="group"), hardware={"chunk": chunk})
        trained(config, mr_manifest, store, tmp_path / str(chunk))
    whole, chunks = (load_file(tmp_path / str(chunk) / runs.WEIGHTS) for chunk in (0, 5))
    for name in whole:
        torch.testing.assert_close(whole[name], chunks[name], rtol=1e-3, atol=1e-5)


def test_the_global_loss_falls(mr_manifest: Manifest, store: Path, tmp_path: Path) -> None:
    optimiser = {"steps": 40, "learning_rate": 5e-3}
    config = of({"global": G_D}, inputs=network(widths=[4, 8, 8]), optimiser=optimiser)
    trained(config, mr_manifest, store, tmp_path / "run")
    losses = [float(row["total"]) for row in curve(tmp_path / "run")]
    assert sum(losses[-8:]) < 0.8 * sum(losses[:8])


def test_a_run_does_not_start_from_an_encoder_of_other_patients(
    mr_manifest: Manifest, store: Path, tmp_path: Path
) -> None:
    trained(of({"global": G_D}, splits=["train", "val"]), mr_manifest, store, tmp_path / "more")
    config = of({"local": LOCAL}, stages=[FROZEN], inputs={"volume": {"init": str(tmp_path / "more")}})
    with pytest.raises(UsageError, match="trained on patients who are not in this run"):
        pretrain(config, mr_manifest, store, tmp_path / "run")


def data(*size: int) -> dict[str, Any]:
    return {"volume": {"data": {"size": list(size)}}}


WRONG: dict[str, Callable[[], Recipe]] = {
    "encoder.dims": lambda: of(
        {"global": GLOBAL}, inputs={"volume": {**data(16, 16, 16)["volume"], "encoder": {"dims": 2}}}
    ),
    "data.size": lambda: staged(inputs=data(18, 1, 16)),
    "regions": lambda: staged(inputs=data(8, 1, 8)),
    "has decoder blocks 1 to 2": lambda: staged(objectives={"local": {"blocks": 3}}),
    "objectives.local.negatives": lambda: staged(objectives={"local": {"negatives": 13}}),
    "inputs.volume.encoder.* no such part|has no such part": lambda: staged(
        stages=[{"freeze": ["volume.network.tail"]}]
    ),
    "would move voxels": lambda: of({"local": {**LOCAL, "views": ""}}),
    "more_views has no 'weak'": lambda: of({"local": {**LOCAL, "views": "weak"}}),
    "at least two volumes": lambda: of({"local": {**LOCAL, "across": True}}, batch={"patients": 1}),
    "batch.samples": lambda: staged(batch={"samples": 3}),
    "hardware.chunk: objectives.local": lambda: staged(hardware={"chunk": 2}),
    r"hardware.chunk: objectives.one \(densecl\)": lambda: of({"one": DENSECL}, hardware={"chunk": 2}),
    "no ids for scanner": lambda: of({"scanner": {**LEVELS["patient"], "positives": "scanner"}}),
    "objectives.local.parts": lambda: staged(objectives={"local": {"parts": 0}}),
    "objectives: none is trained at": lambda: of({"global": {**GLOBAL, "begin": 0.5}}),
}


@pytest.mark.parametrize("said", WRONG)
def test_invalid_recipes_are_refused_before_there_is_a_folder(said: str, mr_manifest: Manifest, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=said):
        pretrain(WRONG[said](), mr_manifest, tmp_path / "store", tmp_path / "run")
    assert not (tmp_path / "run").exists()
    # Which levels there are is known once the archive is; all else is refused before an hour of decoding.
    assert not (tmp_path / "store").exists() or "scanner" in said or "no such part" in said


def test_a_patch_larger_than_every_volume_trains_and_is_told(
    mr_manifest: Manifest, store: Path, tmp_path: Path
) -> None:
    done = pretrain(of({"global": GLOBAL}, inputs=data(64, 1, 64)), mr_manifest, store, tmp_path / "run")
    assert "larger than every volume along x, z" in str(done)
