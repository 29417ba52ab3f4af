"""M3CoL's classifiers: the loss, and what its contrast adds where modalities share what tells the class."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from medcl.errors import UsageError
from medcl.pretrain.check import check
from medcl.pretrain.reading import read

from .steps import Bits, Trained

KINDS = ("image", "volume", "signal")
CLASSIFY: dict[str, Any] = {
    "kind": "classify",
    "of": list(KINDS),
    "target": "y",
    "classes": ["no", "yes"],
    "hidden": 16,
}
WORD = "classes:y=no\nyes"


def batch(x: dict[str, Tensor], y: Tensor, present: dict[str, Tensor] | None = None) -> dict[str, Any]:
    own = torch.arange(len(y))
    there = present or {kind: torch.ones(len(y), dtype=torch.bool) for kind in x}
    ids = {"patient": own, "item": own, WORD: y, **{kind: own for kind in x}}
    return {"inputs": {kind: one[there[kind]] for kind, one in x.items()}, "ids": ids, "present": there, "index": own}


def trained(objectives: dict[str, Any], width: int = 3) -> Trained:
    torch.manual_seed(0)
    return Trained(objectives, {kind: Bits(width) for kind in KINDS})


def test_the_losses_are_cross_entropies_of_what_is_there_and_known() -> None:
    found = trained({"classes": CLASSIFY})
    x = {kind: torch.randn(6, 3) for kind in KINDS}
    y = torch.tensor([0, 1, -1, 1, 0, 1])
    present = {kind: torch.ones(6, dtype=torch.bool) for kind in KINDS}
    present["signal"][[0, 3]] = False
    found.eval()
    losses = found(batch(x, y, present))
    own: Any = found.objectives["classes"]
    z = {kind: found.encoders[kind](one)[:, 0] for kind, one in x.items()}
    each = 0.0
    for number, kind in enumerate(KINDS):
        rows = [i for i in range(6) if y[i] >= 0 and present[kind][i]]
        logits = own.each[number](z[kind])
        each += torch.stack([-logits[i].log_softmax(0)[y[i]] for i in rows]).mean().item()
    torch.testing.assert_close(float(losses["classes.each"]), each, rtol=1e-5, atol=1e-6)
    there = torch.stack([present[kind] for kind in KINDS], dim=1).float()
    logits = own.all(torch.cat([*(z[kind] for kind in KINDS), there], dim=1))
    rows = [i for i in range(6) if y[i] >= 0]
    torch.testing.assert_close(
        losses["classes.all"], torch.stack([-logits[i].log_softmax(0)[y[i]] for i in rows]).mean()
    )


@pytest.mark.parametrize("change", [{"of": ["image"]}, {"classes": ["no"]}, {"target": ""}])
def test_what_has_no_classes_is_refused(change: dict[str, Any]) -> None:
    inputs = {kind: {"modality": kind} for kind in KINDS}
    pairs = {"pairs": {"between": list(KINDS), "loss": "m3col"}}
    with pytest.raises(UsageError, match="objectives.classes"):
        check(read({"inputs": inputs, "objectives": {**pairs, "classes": CLASSIFY | change}}))


def cohort(seed: int, n: int, width: int = 60) -> tuple[dict[str, Tensor], Tensor]:
    """Views of two factors that all modalities share, whose signs tell the class, below stronger factors of each."""
    generator = torch.Generator().manual_seed(seed)
    world = torch.Generator().manual_seed(99)
    shared = torch.randn(n, 2, generator=generator)
    y = (shared[:, 0] * shared[:, 1] > 0).long()
    x = {}
    for kind in KINDS:
        own = torch.randn(n, 8, generator=generator)
        mixing, private = torch.randn(2, width, generator=world), torch.randn(8, width, generator=world)
        x[kind] = (shared @ mixing + 1.5 * own @ private + torch.randn(n, width, generator=generator)) / 4
    return x, y


def accuracy(seed: int, weight: float, steps: int = 100) -> float:
    """Of test patients, after training on 200 with a weight of the contrast."""
    x, y = cohort(seed, 200)
    x_test, y_test = cohort(seed + 1000, 1000)
    head = {"hidden": 32, "dim": 16}
    mixed = {"between": list(KINDS), "loss": "m3col", "head": head}
    soft = {"between": list(KINDS), "loss": "m3col_soft", "temperature": 0.125, "head": "mixed"}
    torch.manual_seed(seed)
    model = Trained({"classes": CLASSIFY, "mixed": mixed, "soft": soft}, {kind: Bits(60) for kind in KINDS})
    optimiser = torch.optim.AdamW(model.parameters(), 3e-3)
    generator = torch.Generator().manual_seed(seed)
    for step in range(steps):
        rows = torch.randperm(200, generator=generator)[:64]
        losses = model(batch({kind: one[rows] for kind, one in x.items()}, y[rows]), generator)
        contrast = losses["mixed"] if step < steps / 3 else losses["soft"]
        loss = losses["classes.all"] + losses["classes.each"] + weight * contrast
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
    model.eval()
    own: Any = model.objectives["classes"]
    with torch.no_grad():
        z = [model.encoders[kind](one)[:, 0] for kind, one in x_test.items()]
        found = own.all(torch.cat([*z, torch.ones(1000, 3)], dim=1)).argmax(dim=1)
    return float((found == y_test).float().mean())


@pytest.mark.acceptance
def test_contrast_helps_where_modalities_share_what_tells_the_class() -> None:
    """Paired over 4 cohorts of 200 patients: with 0.1 times the contrast the class is told better than without."""
    gains = np.array([accuracy(seed, 0.1) - accuracy(seed, 0.0) for seed in range(4)])
    print("accuracy with minus without contrast:", np.round(gains, 3), gains.mean().round(3))
    assert gains.mean() > 0
