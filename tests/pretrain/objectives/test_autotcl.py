"""AutoTCL: gates that open where a signal tells something, and two networks that learn apart from each other."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from medcl.errors import UsageError
from medcl.modality.signal.config import SignalEncoderConfig
from medcl.modality.signal.encoders import build
from medcl.pretrain.check import check
from medcl.pretrain.objectives import objective_class
from medcl.pretrain.objectives.autotcl import AutoTCL, mmd
from medcl.pretrain.objectives.base import Parts
from medcl.pretrain.passes import Seen, Step
from medcl.pretrain.reading import read
from medcl.pretrain.views import draw_views

LENGTH, BUMP = 64, 16
CONTENT = {"inputs": {"signal": {}}, "objectives": {"auto": {"kind": "autotcl", "of": "signal", "segments": 8}}}
RECIPE = read(CONTENT)


def made(**settings: Any) -> tuple[nn.Module, AutoTCL]:
    """An encoder of one channel, and the objective."""
    torch.manual_seed(0)
    encoder = build(SignalEncoderConfig("dilated", 16, 16, 3, 1, 0.0), 1)
    config = replace(RECIPE.objectives["auto"], **settings)
    parts = Parts("auto", {"signal": encoder}, {"signal": (1, LENGTH)}, RECIPE, {}, 10, 8, ("patient",))
    objective = objective_class("autotcl").made(config, parts)
    assert isinstance(objective, AutoTCL)
    return encoder, objective


def losses(encoder: nn.Module, objective: AutoTCL, x: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
    wanted = objective.wanted["signal"]
    seen = Seen(draw_views(x, None, wanted, generator, None), 1, encoder, {})
    return objective(Step({("signal", wanted.key): seen}, {}, {}, generator, None))


def bumps(count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Noise (count, 1, T) with one wave or two, the class, somewhere; and where it stands, (count, T)."""
    x, mask = rng.normal(0, 0.3, (count, 1, LENGTH)), np.zeros((count, LENGTH))
    for row, start in enumerate(rng.integers(8, 40, count)):
        waves = 1 + rng.integers(2)
        x[row, 0, start : start + BUMP] += 2 * np.abs(np.sin(np.arange(BUMP) / BUMP * np.pi * waves))
        mask[row, start + 2 : start + BUMP - 2] = 1
    return torch.tensor(x, dtype=torch.float32), torch.tensor(mask)


def test_what_informs_is_kept_and_noise_is_not() -> None:
    encoder, objective = made()
    optimiser = torch.optim.Adam([*encoder.parameters(), *objective.parameters()], lr=3e-3)
    rng, generator = np.random.default_rng(0), torch.Generator().manual_seed(0)
    weights = RECIPE.objectives["auto"].losses
    for _ in range(60):
        found = losses(encoder, objective, bumps(32, rng)[0], generator)
        optimiser.zero_grad()
        torch.stack([weights[name] * loss for name, loss in found.items()]).sum().backward()
        optimiser.step()
    x, mask = bumps(100, rng)
    with torch.no_grad():
        gate = objective.gates(x, torch.full((100, 1, LENGTH), 0.5))[0][:, 0]
    assert roc_auc_score(mask.flatten(), gate.flatten()) > 0.9
    assert gate[mask == 1].mean() > 0.5
    assert gate[mask == 0].mean() < 0.2


def test_each_network_learns_from_the_other_as_it_is() -> None:
    encoder, objective = made()
    x = bumps(8, np.random.default_rng(0))[0]
    for names, learns, teaches in (
        (("views", "neighbours"), encoder, objective.network),
        (("distance", "kept", "changes"), objective.network, encoder),
    ):
        found = losses(encoder, objective, x, torch.Generator().manual_seed(0))
        for part in (encoder, objective):
            part.zero_grad()
        torch.stack([found[name] for name in names]).sum().backward()
        assert any(one.grad is not None and one.grad.any() for one in learns.parameters())
        assert not any(one.grad is not None and one.grad.any() for one in teaches.parameters())
    assert encoder.training


def test_the_adversary_makes_views_that_are_harder_to_know_again() -> None:
    """Its term is the encoder's with the other sign; against an encoder that stays its views become harder."""
    encoder, objective = made(adversarial=True, neighbours=0.0, temperature=0.1)
    x = bumps(32, np.random.default_rng(0))[0]
    values = {"views": [0.0], "distance": [0.0]}
    for name, trained in (("views", encoder), ("distance", objective)):
        optimiser = torch.optim.Adam(trained.parameters(), lr=1e-2)
        values[name] = []
        for _ in range(25):
            found = losses(encoder, objective, x, torch.Generator().manual_seed(0))
            torch.testing.assert_close(found["distance"], -found["views"])
            optimiser.zero_grad()
            found[name].backward()
            optimiser.step()
            values[name].append(float(found["views"].detach()))
    assert values["views"][-1] < values["views"][0] - 0.1
    assert values["distance"][-1] > values["distance"][0] + 0.1


def test_the_discrepancy_is_that_of_loops() -> None:
    a, b = torch.randn(4, 3).double(), torch.randn(5, 3).double() + 1
    both = [*a, *b]
    width = sum(float((x - y).square().sum()) for x in both for y in both) / len(both) ** 2

    def mean(one: Tensor, other: Tensor) -> float:
        squares = [float((x - y).square().sum()) for x in one for y in other]
        return float(np.mean([np.exp(-apart / (2 * f * f * width)) for apart in squares for f in (0.5, 1.0, 2.0)]))

    assert float(mmd(a, b)) == pytest.approx(mean(a, a) + mean(b, b) - 2 * mean(a, b), rel=1e-5)
    assert float(mmd(a, a)) == pytest.approx(0, abs=1e-12)


def test_settings_that_do_not_fit_are_refused() -> None:
    few = {**CONTENT, "objectives": {"auto": {"kind": "autotcl", "of": "signal", "segments": 2}}}
    with pytest.raises(UsageError, match="segments: 3 or more"):
        check(read(few))
    image = {"inputs": {"image": {}}, "objectives": {"auto": {"kind": "autotcl", "of": "image"}}}
    with pytest.raises(UsageError, match="image is no signal"):
        check(read(image))
