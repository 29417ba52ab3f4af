"""What a second objective on the same views costs beside the first, where the encoder dominates a step."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from medcl.pretrain.plan import Plan
from medcl.pretrain.reading import read

ROUNDS, MOST = 5, 1.15
SIGNAL: dict[str, Any] = {
    "views": {"jitter": 0.05},
    "encoder": {"name": "resnet", "dim": 128, "hidden": 64, "depth": 3, "stride": 8, "dropout": 0.0},
}
VIEWS = {"of": "signal", "positives": "item", "temperature": 0.2}
SECOND = {
    "a level": {"of": "signal", "positives": "patient", "temperature": 0.2, "head": "views"},
    "another loss": {"of": "signal", "positives": "trial", "loss": "decoupled", "head": {"dim": 64}},
    "labels, weighted": {"of": "signal", "positives": {"label:group": 0.5, "patient": 0.5}},
}


def model_of(objectives: dict[str, Any]) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    ids = {"patient": np.arange(64) // 4, "trial": np.arange(64) // 2, "group": np.arange(64) // 4 % 3}
    recipe = read({"inputs": {"signal": SIGNAL}, "objectives": objectives, "batch": {"patients": 16, "records": 2}})
    samples = {"x": rng.standard_normal((64, 12, 500), dtype=np.float32), "ids": ids, "sampling_rate": 100}
    plan = Plan.of(recipe, {"signal": samples}, Path())
    model = plan.model(recipe.trained[0], None)
    (numbers,) = plan.source.sampler(1, 0).batches(0, 1)
    return model, plan.source.dataset.__getitems__(numbers)


def seconds(model: Any, batch: Any) -> float:
    """Of the processor, forward and backward."""
    begun = time.process_time()
    losses = model(batch, torch.Generator().manual_seed(0))
    torch.stack(list(losses.values())).sum().backward()
    return time.process_time() - begun


@pytest.mark.benchmark
@pytest.mark.parametrize("name", SECOND)
def test_a_second_objective_shares_the_passes_of_the_encoder(name: str) -> None:
    one, both = model_of({"views": VIEWS}), model_of({"views": VIEWS, "second": SECOND[name]})
    times = [(seconds(*one), seconds(*both)) for _ in range(ROUNDS + 1)][1:]
    first, second = (min(column) for column in zip(*times, strict=True))
    print(f"\n{name}: {1000 * first:.0f} ms and {1000 * second:.0f} ms with both, {second / first:.2f}")
    assert second < MOST * first
