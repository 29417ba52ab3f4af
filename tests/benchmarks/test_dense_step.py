"""What a step of each dense objective costs beside that of the global one, on slices and on volumes."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from medcl.pretrain.plan import Plan
from medcl.pretrain.reading import read

ROUNDS, MOST = 4, 1.3
SIZES = {2: (1, 64, 64), 3: (1, 24, 24, 24)}
GLOBAL = {"of": "scan", "temperature": 0.1}
DENSE: dict[str, dict[str, Any]] = {
    "obow": {"kind": "obow", "of": "scan"},
    "segments": {"kind": "segments", "of": "scan"},
    "cell-distillation": {"kind": "cell-distillation", "of": "scan", "teacher": "teacher"},
}


def model_of(dims: int, objective: dict[str, Any]) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    modality = {2: "image", 3: "volume"}[dims]
    encoder = {"name": "unet", "dims": dims, "dim": 64, "widths": [16, 32, 64], "stride": 4}
    views = {"crop_side": [0.6, 0.9], "contrast": [0.7, 1.3]}
    own: dict[str, Any] = {
        "modality": modality,
        "data": {"size": list(SIZES[dims][1:])},
        "views": views,
        "encoder": encoder,
    }
    inputs: dict[str, Any] = {"scan": own}
    if "teacher" in objective:
        inputs["teacher"] = {"modality": modality, "like": "scan", "locked": True, "encoder": encoder}
    content = {"inputs": inputs, "objectives": {"own": objective}, "batch": {"patients": 8, "records": 1}}
    samples = {"x": rng.standard_normal((8, *SIZES[dims]), dtype=np.float32), "ids": {"patient": np.arange(8)}}
    plan = Plan.of(read(content), {"scan": samples}, Path())
    model = plan.model(plan.recipe.trained[0], None)
    (numbers,) = plan.source.sampler(1, 0).batches(0, 1)
    return model, plan.source.dataset.__getitems__(numbers)


def seconds(model: Any, batch: Any) -> float:
    """Of the processor, forward and backward."""
    begun = time.process_time()
    losses = model(batch, torch.Generator().manual_seed(0))
    torch.stack(list(losses.values())).sum().backward()
    return time.process_time() - begun


@pytest.mark.benchmark
@pytest.mark.parametrize("dims", SIZES)
def test_a_step_of_a_dense_objective_is_little_more_than_a_global_one(dims: int) -> None:
    models = {name: model_of(dims, one) for name, one in {"global": GLOBAL, **DENSE}.items()}
    # In turn, so that whatever else the machine does slows down all of them.
    times = [{name: seconds(*one) for name, one in models.items()} for _ in range(ROUNDS + 1)][1:]
    best = {name: min(row[name] for row in times) for name in models}
    for name in DENSE:
        print(f"\n{name}, {dims}-D: {1000 * best[name]:.0f} ms, {best[name] / best['global']:.2f} of the global one")
    assert all(best[name] < MOST * best["global"] for name in DENSE), best
