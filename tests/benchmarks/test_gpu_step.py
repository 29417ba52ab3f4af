"""A training step on a GPU: time, memory, and what is spent outside the encoder where the batch fills the device."""

import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from medcl.data.ahead import ahead
from medcl.engine.fabric import Fabric
from medcl.pretrain.devices import fabric_for
from medcl.pretrain.plan import Plan
from medcl.pretrain.reading import read
from medcl.pretrain.recipe import HardwareConfig

# Three steps warm up (kernels are chosen and compiled); the median of the others is told.
WARM, TIMED = 3, 12
# COMET contrasts every sample at every time step, which an encoder of this size does not outweigh.
MOST_OUTSIDE = {"signal": 0.75, "image": 0.25, "volume": 0.5}
SIMCLR = {"positives": "item", "temperature": 0.2, "head": {"dim": 64}}
CASES: dict[str, dict[str, Any]] = {
    "COMET, 12 leads x 500, 1,024 windows": {
        "samples": ("signal", (12, 500), {"sampling_rate": 100}, 1024),
        "input": {
            "views": {"mask": "continuous", "jitter": 0.05, "scale": 0.1},
            "encoder": {"name": "resnet", "dim": 320, "hidden": 64, "depth": 4, "stride": 8},
        },
        "objectives": {
            "patient": {"of": "signal", "positives": "patient", "temperature": 0.2, "head": {"dim": 64}},
            "trial": {"of": "signal", "positives": "trial", "temperature": 0.2, "head": "patient"},
            "within": {"kind": "hierarchical", "of": "signal", "levels": {"sample": 0.1, "observation": 0.1}},
        },
    },
    "SimCLR, images 224 x 224, 256": {
        "samples": ("image", (1, 224, 224), {}, 256),
        "input": {
            "views": {"crop_side": [0.6, 1.0], "rotation": 15, "contrast": [0.6, 1.4], "brightness": 0.2},
            "encoder": {"name": "resnet", "dims": 2, "dim": 256, "widths": [64, 128, 256, 512], "norm": "batch"},
        },
        "objectives": {"global": {"of": "image", **SIMCLR}},
    },
    "SimCLR, crops of 64 x 64 x 64, 32": {
        "samples": ("volume", (1, 64, 64, 64), {}, 32),
        "input": {
            "views": {"crop_side": [0.6, 1.0], "contrast": [0.7, 1.3], "noise": 0.05},
            "encoder": {"name": "resnet", "dims": 3, "dim": 128, "widths": [32, 64, 128, 256], "norm": "batch"},
        },
        "objectives": {"views": {"of": "volume", **SIMCLR}},
    },
}
HARDWARE = {
    "float32": {"precision": "32-true"},
    "bfloat16": {"precision": "bf16-mixed"},
    "bfloat16, compiled": {"precision": "bf16-mixed", "compile": True},
}

pytestmark = [
    pytest.mark.benchmark,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
]


def planned(case: dict[str, Any], hardware: dict[str, Any]) -> Plan:
    name, shape, more, count = case["samples"]
    rng = np.random.default_rng(0)
    ids = {"patient": np.arange(count) // 4, "trial": np.arange(count) // 2}
    recipe = read({
        "inputs": {name: case["input"]},
        "objectives": case["objectives"],
        "batch": {"patients": count // 4, "records": 4},
        "optimiser": {"steps": 1000},
        "hardware": hardware,
    })  # fmt: skip
    return Plan.of(recipe, {name: {"x": rng.random((count, *shape), dtype=np.float32), "ids": ids, **more}}, Path())


def medians(steps: Iterator[Any]) -> float:
    """Milliseconds of a step, each waited for."""
    times = []
    for _ in steps:
        torch.cuda.synchronize()
        times.append(time.perf_counter())
    return 1000 * float(np.median(np.diff(times[WARM:])))


def measured(case: dict[str, Any], hardware: dict[str, Any]) -> tuple[float, float, float]:
    """Milliseconds of a step and of the encoder's part of it, and the most memory that was allocated, in GiB."""
    plan = planned(case, hardware)
    fabric = fabric_for(replace(HardwareConfig(), accelerator="cuda", **hardware))
    stage = plan.recipe.trained[0]
    model = plan.model(stage, None)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    wrapped, optimiser = fabric.setup(model, optimiser)
    torch.cuda.reset_peak_memory_stats()
    batch = next(iter(ahead(plan.batches(0, stage, fabric, 0, 1), fabric.device)))

    def step() -> None:
        losses = wrapped(batch, torch.Generator().manual_seed(0))
        optimiser.zero_grad(set_to_none=True)
        fabric.backward(torch.stack(list(losses.values())).sum())
        optimiser.step()

    whole = medians(step() for _ in range(WARM + TIMED))
    memory = torch.cuda.max_memory_allocated() / 2**30
    (encoder,) = model.encoders.values()
    with fabric.autocast():
        x = torch.cat([batch["x"], batch["x"]]).to(fabric.device)
    alone = medians(passed(fabric, encoder, x) for _ in range(WARM + TIMED))
    return whole, alone, memory


def passed(fabric: Fabric, encoder: Any, x: torch.Tensor) -> None:
    """What an encoder alone takes for two views of every sample, forward and backward."""
    with fabric.autocast():
        z = encoder(x)
    fabric.backward(z.float().square().mean())


@pytest.mark.parametrize("name", CASES)
def test_the_encoder_takes_its_share_of_a_step(name: str) -> None:
    print(f"\n{name}, on {torch.cuda.get_device_name()}")
    shares = {}
    for words, hardware in HARDWARE.items():
        whole, alone, memory = measured(CASES[name], hardware)
        shares[words] = 1 - alone / whole
        print(f"  {words:20} {whole:7.1f} ms a step, {shares[words]:4.0%} outside the encoder, {memory:5.1f} GiB")
    assert shares["bfloat16"] < MOST_OUTSIDE[CASES[name]["samples"][0]]


def test_batches_copied_beside_the_computation_cost_less_than_copies_between_steps() -> None:
    device = torch.device("cuda")
    rng = torch.Generator().manual_seed(0)
    x = torch.rand(256, 3, 224, 224, generator=rng).pin_memory()
    weights = torch.rand(4096, 4096, device=device)
    batches = [{"index": torch.arange(256), "ids": {}, "x": x}] * (WARM + TIMED)

    def compute(on_device: torch.Tensor) -> None:
        for _ in range(24):
            weights.mm(weights)
        on_device.mean()

    beside = medians(compute(one["x"]) for one in ahead(batches, device))  # type: ignore[arg-type]
    between = medians(compute(x.to(device)) for _ in range(WARM + TIMED))
    nothing = medians(map(partial(compute), [x.to(device)] * (WARM + TIMED)))
    print(f"\ncopied between steps {between:.1f} ms a step, beside them {beside:.1f} ms, no copies {nothing:.1f} ms")
    assert beside - nothing < 0.7 * (between - nothing)
