"""A run that continues another one: whom it trains on, what it begins with, whom it has seen, what it keeps."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file

from medcl import runs
from medcl.archive.manifest import Manifest
from medcl.cli import main
from medcl.errors import UsageError
from medcl.networks.encoder import pool
from medcl.pretrain.run import pretrain

from .recipe import level, small

OBJECTIVES = {"patient": level("patient")}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("prepared") / "ecg.store"


@pytest.fixture(scope="module")
def first(ecg_manifest: Manifest, store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on the patients of one site: half of those in the split."""
    folder = tmp_path_factory.mktemp("first") / "run"
    pretrain(small(2, OBJECTIVES), of_site(ecg_manifest, 0), store, folder)
    return folder


def trained_on(manifest: Manifest) -> Any:
    return np.unique(manifest.column("patient")[manifest.split_rows("train")])


def of_site(manifest: Manifest, number: int) -> Manifest:
    """Every second patient of the training split, the others in none."""
    out = trained_on(manifest)[1 - number :: 2]
    split = np.where(np.isin(manifest.column("patient"), out), "elsewhere", manifest.column("split"))
    return manifest.with_column("split", pa.array(split.tolist(), pa.string()))


def objectives_of(folder: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = torch.load(folder / runs.CHECKPOINT, weights_only=True)["average"]
    return {name: one for name, one in found.items() if ".objectives." in name}


@pytest.mark.parametrize("replay", [0.0, 0.5])
def test_new_patients_and_a_share_of_the_old_ones_are_trained_on(
    replay: float, first: Path, ecg_manifest: Manifest, store: Path, tmp_path: Path
) -> None:
    everyone, old = trained_on(ecg_manifest), trained_on(of_site(ecg_manifest, 0))
    recipe = small(2, OBJECTIVES, earlier={"run": str(first), "replay": replay})
    done = pretrain(recipe, ecg_manifest, store, tmp_path / "run")
    assert done.patients == len(everyone) - len(old) + round(replay * len(old))
    seen = runs.load(tmp_path / "run").patients
    assert seen.among(everyone).all()
    assert len(seen.hashes) == len(everyone)


def test_encoder_and_heads_begin_where_the_earlier_run_ended(
    first: Path, ecg_manifest: Manifest, store: Path, tmp_path: Path
) -> None:
    still = {"learning_rate": 1e-12, "weight_decay": 0.0}
    recipe = small(1, OBJECTIVES, earlier={"run": str(first)}, optimiser=still)
    pretrain(recipe, ecg_manifest, store, tmp_path / "run")
    before, after = load_file(first / runs.WEIGHTS), load_file(tmp_path / "run" / runs.WEIGHTS)
    for name, one in before.items():
        if "running" not in name and one.is_floating_point():
            torch.testing.assert_close(after[name], one, atol=1e-6, rtol=0)
    for name, one in objectives_of(first).items():
        torch.testing.assert_close(objectives_of(tmp_path / "run")[name], one, atol=1e-6, rtol=0)


def test_a_run_that_continues_resumes_to_the_bit(
    first: Path, ecg_manifest: Manifest, store: Path, tmp_path: Path
) -> None:
    keep = {"kind": "retention", "of": "signal"}
    recipe = small(4, {**OBJECTIVES, "keep": keep}, earlier={"run": str(first), "replay": 0.5})
    pretrain(recipe, ecg_manifest, store, tmp_path / "whole")
    pretrain(recipe, ecg_manifest, store, tmp_path / "parts", until=2)
    pretrain(recipe, ecg_manifest, store, tmp_path / "parts", resume=True)
    one, other = (load_file(tmp_path / name / runs.WEIGHTS) for name in ("whole", "parts"))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_the_command_takes_the_recipe_of_the_run(first: Path, ecg_manifest: Manifest, tmp_path: Path) -> None:
    ecg_manifest.write(tmp_path / "all.parquet")
    words = ["pretrain", "--continue", first, "--manifest", tmp_path / "all.parquet", "-o", tmp_path / "run"]
    assert main([*map(str, words), "--earlier.replay", "0.5", "--optimiser.steps", "1"]) == 0
    found = runs.load(tmp_path / "run").config
    assert found["earlier"] == {"run": str(first), "replay": 0.5}
    assert found["objectives"].keys() == OBJECTIVES.keys()
    assert main(["pretrain", "--continue", str(tmp_path), *map(str, words[3:])]) == 2


def test_nobody_new_is_refused(first: Path, ecg_manifest: Manifest, store: Path, tmp_path: Path) -> None:
    recipe = small(2, OBJECTIVES, earlier={"run": str(first)})
    with pytest.raises(UsageError, match="has seen all .* nobody new to train on"):
        pretrain(recipe, of_site(ecg_manifest, 0), store, tmp_path / "run")


def test_patients_of_another_salt_are_refused(first: Path, ecg_manifest: Manifest, store: Path, tmp_path: Path) -> None:
    other = Manifest(ecg_manifest.table, ecg_manifest.root, {**ecg_manifest.metadata, "salt": "another"})
    recipe = small(2, OBJECTIVES, earlier={"run": str(first)})
    with pytest.raises(UsageError, match="scan both with the same MEDCL_SALT"):
        pretrain(recipe, other, store, tmp_path / "run")


def test_retention_needs_an_earlier_run(ecg_manifest: Manifest, store: Path, tmp_path: Path) -> None:
    recipe = small(2, {"keep": {"kind": "retention", "of": "signal"}})
    with pytest.raises(UsageError, match="objectives.keep: retains what an earlier run has learned"):
        pretrain(recipe, ecg_manifest, store, tmp_path / "run")


def test_retention_is_the_cross_entropy_of_both_encoders_relations(first: Path) -> None:
    from medcl.pretrain.objectives.base import Parts
    from medcl.pretrain.objectives.retention import Retention
    from medcl.pretrain.passes import Seen, Step
    from medcl.pretrain.views import Wanted, draw_views

    recipe = small(2, {"keep": {"kind": "retention", "of": "signal", "temperature": 0.5}}, earlier={"run": str(first)})
    encoder = runs.load(first).encoder
    torch.manual_seed(0)
    for parameter in encoder.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    parts = Parts("keep", {"signal": encoder}, {"signal": (12, 200)}, recipe, {}, 2, 4, ("patient",))
    keep = Retention(recipe.objectives["keep"], parts).train()
    x = torch.randn(3, 12, 200)
    drawn = draw_views(x, None, Wanted(), torch.Generator().manual_seed(0), None)
    seen = Seen(drawn, 2, encoder, {"patient": torch.arange(3)})
    step = Step({("signal", Wanted().key): seen}, {}, {}, torch.Generator(), None)
    found = keep(step)[""]
    with torch.no_grad():
        z, w = (
            torch.nn.functional.normalize(pool(one, one(drawn.x), drawn.x).double(), dim=1)
            for one in (encoder, keep.teacher.network)
        )
    expected = 0.0
    for i in range(6):
        others = [j for j in range(6) if j != i]
        p, q = (torch.stack([u[i] @ u[j] / 0.5 for j in others]).softmax(0) for u in (z, w))
        expected -= float((q * p.log()).sum()) / 6
    assert float(found.detach()) == pytest.approx(expected, rel=1e-4)
    assert not any(one.requires_grad for one in keep.teacher.network.parameters())
    assert not keep.teacher.network.training
    # Those of the earlier run are not written with each checkpoint again.
    assert not keep.state_dict()
