"""Temperatures of pairs: the loss against loops, and larger ones for pairs that are harder."""

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn
from torch.nn import functional as F

from medcl.errors import UsageError
from medcl.modality.spatial.config import ImageEncoderConfig, ImageViewsConfig
from medcl.pretrain.check import check
from medcl.pretrain.objectives import objective_class
from medcl.pretrain.objectives.amcl import AMCLConfig
from medcl.pretrain.objectives.base import HeadConfig, Objective
from medcl.pretrain.passes import Seen, Step
from medcl.pretrain.reading import read
from medcl.pretrain.views import Drawn

from .trained import parts, trained

PATIENTS = torch.tensor([0, 1, 1, 2])


def test_the_loss_equals_its_formula() -> None:
    @torch.no_grad()
    def watch(objective: Any, step: Any) -> None:
        seen, total = step.see("image", objective.wanted["image"]), 0.0
        for head, temperatures in zip(objective.heads, objective.temperatures, strict=True):
            u = F.normalize(seen.project(head, 2), dim=1).double()
            both = torch.cat([temperatures.first.weight, temperatures.second.weight], dim=1).double()

            def temperature(i: int, j: int, u: Tensor = u, both: Tensor = both, own: Any = temperatures) -> float:
                hidden = (both @ torch.cat([u[i], u[j]]) + own.first.bias.double()).relu()
                logit = float(own.out.weight[0].double() @ hidden + own.out.bias[0])
                return 1e-5 + (2 - 1e-5) / (1 + math.exp(-logit))

            for i in range(8):
                p = (i + 4) % 8
                others = [j for j in range(8) if PATIENTS[j % 4] != PATIENTS[i % 4]]
                n = max(others, key=lambda j: float(u[i] @ u[j]) / temperature(i, j))
                near, far = (float(u[i] @ u[j]) / temperature(i, j) for j in (p, n))
                loss = math.log(math.exp(near) + math.exp(far)) - near
                for j, sign in ((p, 0.3), (n, -0.3)):
                    loss += sign * (3 / 2 * math.log(temperature(i, j)) + 1 / temperature(i, j))
                total += loss / 8
        assert objective(step)[""].item() == pytest.approx(total, rel=1e-5)

    trained(
        AMCLConfig(of="image", heads=2, hidden=5, beta=0.3, head=HeadConfig(hidden=6, dim=3)),
        lambda count, generator: (torch.rand(count, 1, 8, 8, generator=generator), {"patient": PATIENTS}),
        encoder=ImageEncoderConfig(name="unet", widths=(4, 8), stride=2, dim=8),
        changes=ImageViewsConfig(contrast=(0.5, 1.5), noise=0.3),
        steps=1,
        batch=4,
        each=watch,
    )


@pytest.mark.parametrize("changes", [{"heads": 0}, {"beta": -1.0}, {"head": {"dim": 0}}])
def test_settings_out_of_range_are_refused(changes: dict[str, Any]) -> None:
    own = {"kind": "amcl", "of": "image", **changes}
    with pytest.raises(UsageError, match=next(iter(changes))):
        check(read({"inputs": {"image": {}}, "objectives": {"own": own}}))


class Vectors(nn.Module):
    """An encoder of vectors."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.config = SimpleNamespace(dim=64)
        self.layers = nn.Sequential(nn.Linear(width, 64), nn.ReLU(), nn.Linear(64, 64))

    def forward(self, x: Tensor) -> Tensor:
        z: Tensor = self.layers(x)[:, None]
        return z

    def pool(self, dense: Tensor) -> Tensor:
        return dense[:, 0]


def seen(objective: Objective, encoder: nn.Module, first: Tensor, second: Tensor) -> Step:
    ids = {"patient": torch.arange(len(first))}
    views = Seen(Drawn(torch.cat([first, second]), None, first, {}, None), 2, encoder, ids)
    return Step({("image", objective.wanted["image"].key): views}, ids, {}, torch.Generator(), None)


@pytest.mark.acceptance
def test_harder_pairs_get_higher_temperatures() -> None:
    """Views of a point of 16 dimensions in 24, the second one moved by as much as is drawn for the pair."""
    correlations = []
    for seed in range(3):
        torch.manual_seed(seed)
        generator = torch.Generator().manual_seed(seed)
        mixing, encoder = torch.randn(16, 24, generator=generator) / 4, Vectors(24)

        def pairs(count: int, mixing: Tensor = mixing, generator: torch.Generator = generator) -> Any:
            hardness = 1.5 * torch.rand(count, 1, generator=generator)
            point, moved = torch.randn(2, count, 16, generator=generator)
            noise = 0.05 * torch.randn(2, count, 24, generator=generator)
            return point @ mixing + noise[0], (point + hardness * moved) @ mixing + noise[1], hardness[:, 0]

        config = AMCLConfig(of="image", head=HeadConfig(hidden=64, dim=32))
        objective: Any = objective_class("amcl").made(config, parts(encoder, 400))
        optimiser = torch.optim.AdamW([*encoder.parameters(), *objective.parameters()], 1e-3)
        for _ in range(400):
            loss = objective(seen(objective, encoder, *pairs(64)[:2]))[""]
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
            optimiser.step()
        first, second, hardness = pairs(200)
        with torch.no_grad():
            found = []
            for head, temperatures in zip(objective.heads, objective.temperatures, strict=True):
                a, b = (F.normalize(head(encoder(x)[:, 0]), dim=1) for x in (first, second))
                found.append(temperatures(a, b).diagonal())
        correlations.append(spearmanr(torch.stack(found).mean(dim=0).numpy(), hardness.numpy())[0])
    assert np.min(correlations) > 0.5
