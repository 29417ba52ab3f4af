"""MVCNet: its three losses by hand, and what reflection does with and without the exchange of the classes."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medcl.errors import UsageError
from medcl.modality.signal.views.amplitude import Reflect, SignFlip
from medcl.modality.views import Compose
from medcl.pretrain.check import check
from medcl.pretrain.objectives import objective_class
from medcl.pretrain.objectives.base import Parts
from medcl.pretrain.passes import Seen, Step
from medcl.pretrain.reading import read
from medcl.pretrain.views import draw_views

VIEWS = {"sign": Compose([SignFlip(1.0)]), "sides": Compose([Reflect(1.0, (1, 0))])}
COLUMNS = ("label:hand=left", "label:hand=right")


class LogPower(nn.Module):
    """Filters of one channel each, whose log power is combined: what tells a rhythm of one side."""

    def __init__(self, dim: int = 8) -> None:
        super().__init__()
        self.config = SimpleNamespace(dim=dim)
        self.filters, self.output = nn.Conv1d(2, 4, 15, groups=2, bias=False), nn.Linear(4, dim)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.output(self.filters(x).square().mean(dim=2).clamp(min=1e-6).log())
        return found[:, None]

    def pool(self, dense: Tensor) -> Tensor:
        return dense[:, 0]


def recipe(**settings: Any) -> Any:
    more = {name: {} for name in VIEWS}
    objective = {"kind": "mvcnet", "network": "cnn", "other": "other", "target": "hand", "classes": ["left", "right"]}
    inputs = {
        "cnn": {"modality": "signal", "more_views": more},
        "other": {"modality": "signal", "like": "cnn"},
    }
    return read({"inputs": inputs, "objectives": {"one": {**objective, "views": ["sign", "sides"], **settings}}})


class Trained(nn.Module):
    """Both networks and the objective."""

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.encoders = nn.ModuleDict({"cnn": LogPower(), "other": LogPower(6)})
        found, sizes = recipe(**settings), {"cnn": (2, 100), "other": (2, 100)}
        config = found.objectives["one"]
        parts = Parts("one", dict(self.encoders.items()), sizes, found, {}, 10, 8, ("patient",))
        self.objective = objective_class("mvcnet").made(config, parts)

    def forward(self, x: Tensor, hand: Tensor) -> dict[str, Tensor]:
        ids = dict(zip(COLUMNS, torch.where(hand < 0, -1, torch.stack([hand == 0, hand == 1]).long()), strict=True))
        generator = torch.Generator().manual_seed(0)
        seen = {
            (name, wanted.key): Seen(
                draw_views(x, VIEWS.get(wanted.views), wanted, generator, None), 1, self.encoders[name], ids
            )
            for name, wanted in self.objective.looks
        }
        losses: dict[str, Tensor] = self.objective(Step(seen, ids, {}, generator, None))
        return losses


def nt_xent(a: Tensor, b: Tensor) -> Tensor:
    z = F.normalize(torch.cat([a, b]), dim=1)
    logits = (z @ z.T / 0.2).masked_fill(torch.eye(len(z), dtype=torch.bool), -torch.inf)
    return F.cross_entropy(logits, torch.arange(len(z)).roll(len(a)))


def test_classes_views_and_networks_are_those_of_the_formula() -> None:
    x, hand = torch.randn(6, 2, 100), torch.tensor([0, 1, 1, 0, -1, 1])
    trained = Trained(reflected=["sides"], exchanged=["left", "right"])
    found = trained(x, hand)
    own: Any = trained.objective
    views = [x, -x, x.flip(1)]
    f = [trained.encoders["cnn"](one)[:, 0] for one in views]
    g = [own.joined(trained.encoders["other"](one)[:, 0]) for one in views]
    known = hand >= 0
    labels = [hand[known], hand[known], 1 - hand[known]]
    classes = [F.cross_entropy(own.classifier(z[known]), y) for z, y in zip(f, labels, strict=True)]
    torch.testing.assert_close(found["classes"], torch.stack(classes).sum())
    both = [torch.cat(pair) for pair in zip(f, g, strict=True)]
    across = torch.stack([nt_xent(both[0], one) for one in both[1:]]).mean()
    torch.testing.assert_close(found["views"], across)
    torch.testing.assert_close(found["networks"], nt_xent(torch.cat(f), torch.cat(g)))


def trials(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Two channels of noise (count, 2, 100); imagery of a hand weakens the 10 Hz rhythm of the other side."""
    rng = np.random.default_rng(seed)
    hand = np.arange(count) % 2
    size = np.where(np.stack([hand == 1, hand == 0], axis=1), 0.75, 1.0) * rng.lognormal(0, 0.3, (count, 1))
    phase = rng.uniform(0, 2 * np.pi, (count, 2, 1))
    waves = size[:, :, None] * np.sin(2 * np.pi * 0.1 * np.arange(100) + phase)
    return torch.tensor(waves + rng.normal(0, 1, waves.shape), dtype=torch.float32), torch.tensor(hand)


def accuracy(seed: int, **settings: Any) -> float:
    """Of the network trained on 20 trials, on 400 new ones."""
    trained, (x, hand), (new, truth) = Trained(**settings), trials(20, seed), trials(400, 100 + seed)
    optimiser = torch.optim.Adam(trained.parameters(), lr=1e-2)
    for _ in range(40):
        losses = trained(x, hand)
        optimiser.zero_grad()
        (losses["classes"] + 0.1 * losses["views"] + 0.1 * losses["networks"]).backward()
        optimiser.step()
    with torch.no_grad():
        found = trained.objective.classifier(trained.encoders["cnn"](new)[:, 0]).argmax(dim=1)  # type: ignore[operator]
    return float((found == truth).float().mean())


def test_reflection_exchanges_the_hands() -> None:
    exchanged = [accuracy(seed, reflected=["sides"], exchanged=["left", "right"]) for seed in (1, 2)]
    kept = [accuracy(seed) for seed in (1, 2)]
    without = [accuracy(seed, views=["sign"]) for seed in (1, 2)]
    assert np.mean(exchanged) > np.mean(without) > np.mean(kept), (exchanged, without, kept)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"views": ["sgn"]}, "views: 'sgn' is none of sign, sides"),
        ({"exchanged": ["left", "foot"]}, "exchanged: two of the classes left, right"),
        ({"classes": ["left"]}, "classes two or more"),
    ],
)
def test_what_does_not_fit_together_is_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        check(recipe(**settings))
