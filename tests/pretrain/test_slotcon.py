"""SlotCon on slices and on volumes: a few steps of the whole way, and its gradients."""

import csv
from pathlib import Path
from typing import Any

import pytest
import torch

import medcl
from medcl.archive.manifest import Manifest
from medcl.errors import UsageError
from medcl.pretrain.plan import Plan
from medcl.pretrain.reading import read
from medcl.pretrain.recipe import StageConfig
from medcl.pretrain.trainer import step_seed


def recipe(*, dims: int = 2, steps: int = 12, **changes: Any) -> dict[str, Any]:
    size = [16, 1, 16] if dims == 2 else [16, 16, 8]
    views = {"crop_side": [0.6, 0.9], "flip": 0.5, "rotation": 10.0, "contrast": [0.7, 1.3], "brightness": 0.3}
    encoder = {"name": "unet", "dims": dims, "widths": [4, 8, 8], "stride": 2, "dim": 8}
    objective = {"kind": "slotcon", "of": "volume", "prototypes": 8, "hidden": 16, "projection": 8, **changes}
    return {
        "inputs": {"volume": {"data": {"size": size}, "views": views, "encoder": encoder}},
        "objectives": {"cells": objective},
        "batch": {"patients": 4, "records": 1, "samples": 2},
        "optimiser": {"steps": steps, "learning_rate": 0.01, "average": "none"},
        "hardware": {"accelerator": "cpu"},
    }


@pytest.mark.parametrize("dims", [2, 3])
def test_a_few_steps_have_a_finite_and_falling_loss(mr_manifest_path: Path, tmp_path: Path, dims: int) -> None:
    medcl.pretrain(recipe(dims=dims), mr_manifest_path, tmp_path / "run")
    with (tmp_path / "run" / "metrics.csv").open() as file:
        losses = torch.tensor([float(row["cells"]) for row in csv.DictReader(file)])
    assert len(losses) == 12
    assert losses.isfinite().all()
    assert losses[-4:].mean() < 0.9 * losses[:4].mean()


def test_gradients_reach_encoder_predictor_and_prototypes_and_not_the_second_networks(
    mr_manifest: Manifest, tmp_path: Path
) -> None:
    made = Plan.of(read(recipe()), mr_manifest.ok(), tmp_path / "store")
    stage = made.recipe.trained[0]
    assert isinstance(stage, StageConfig)
    torch.manual_seed(0)
    model = made.model(stage, None)
    objective: Any = model.objectives["cells"]
    batch = next(iter(made.source.batches(1, 0, 0, 1, 0, 0, 1)))
    before = [one.clone() for one in objective.cell_keys.parameters()]
    with torch.no_grad():
        objective.cells.layers[0].weight.add_(1.0)
    model(batch, torch.Generator().manual_seed(step_seed(0, 0)))["cells"].backward()
    for part in (model.encoders["volume"], objective.cells, objective.predictor, objective.prototypes):
        assert all(one.grad is not None and one.grad.any() for one in part.parameters())
    for part in (model.teachers["volume"], objective.cell_keys, objective.prototype_keys):
        assert all(one.grad is None for one in part.parameters())
    # They follow by one hundredth, and the centre by a tenth.
    torch.testing.assert_close(next(objective.cell_keys.parameters()), before[0] + 0.01)
    assert objective.centre.any()
    assert objective.follows > 0.99
    objective.taken.fill_(stage.steps)
    assert objective.follows == 1.0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"momentum": 1.5}, r"cells\.momentum: 1\.5 is not from 0 to 1"),
        ({"teacher": 0.0}, r"cells\.teacher: 0 is not above 0"),
        ({"prototypes": 1}, r"cells\.prototypes: 1; two or more"),
    ],
)
def test_settings_out_of_their_range_are_refused(
    mr_manifest_path: Path, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        medcl.pretrain(recipe(**changes), mr_manifest_path, tmp_path / "run")
    assert not (tmp_path / "run").exists()
