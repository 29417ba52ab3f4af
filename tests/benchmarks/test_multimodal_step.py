"""A training step of ConVIRT, and what of it is not the encoders': loading, tokens, pairing, loss."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from medcl.pretrain.plan import Plan
from medcl.pretrain.reading import read
from tests.data.linked_archive import pictures_with_reports

PATIENTS, ROUNDS, SHARE = 64, 4, 0.1
RECIPE = {
    "inputs": {
        "image": {
            "data": {"size": [96, 96]},
            "encoder": {"name": "resnet", "dim": 128, "widths": [32, 64, 128, 256]},
            "views": {"contrast": [0.6, 1.4], "brightness": 0.2},
        },
        "report": {"encoder": {"vocabulary": 1000}},
    },
    "objectives": {
        "pair": {"between": ["image", "report"], "exclude": ["patient"], "head": {"hidden": 256, "dim": 128}}
    },
    "splits": ["train", "test"],
    "batch": {"patients": PATIENTS, "records": 1},
}


def seconds(call: Callable[[], object]) -> float:
    """Of the processor, in the best of some rounds: others use it too."""
    times = []
    for _ in range(ROUNDS):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return min(times)


@pytest.mark.benchmark
def test_all_but_the_encoders_is_below_a_tenth_of_a_step(tmp_path: Path) -> None:
    manifest = pictures_with_reports(tmp_path / "archive", patients=PATIENTS, each=2)
    plan = Plan.of(read(RECIPE), manifest, tmp_path / "store")
    model = plan.model(plan.recipe.trained[0], None)
    (places,) = plan.source.sampler(1, 0).batches(0, 1)
    batch = plan.source.dataset.__getitems__(places)
    generator = torch.Generator()

    def encoders() -> None:
        step = model.step(batch, generator.manual_seed(0))
        pooled = [step.see(name, wanted).pooled for name, wanted in model.objectives["pair"].wanted.items()]
        torch.stack([one.sum() for one in pooled]).sum().backward()

    times = {
        "whole": seconds(lambda: torch.stack(list(model(batch, generator.manual_seed(0)).values())).sum().backward()),
        "views and encoders": seconds(encoders),
        "views": seconds(lambda: model.step(batch, generator.manual_seed(0))),
        "loading and tokens": seconds(lambda: plan.source.dataset.__getitems__(places)),
    }
    whole = times["whole"] + times["loading and tokens"]
    print("\n" + ", ".join(f"{name} {1000 * one:.1f} ms ({one / whole:.1%})" for name, one in times.items()))
    assert whole - (times["views and encoders"] - times["views"]) < SHARE * whole
