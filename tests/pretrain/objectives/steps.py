"""Objectives on tensors: encoders of a few numbers, and batches without an archive."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from medcl.modality.views import Compose
from medcl.pretrain.objectives import objective_class
from medcl.pretrain.objectives.base import Parts
from medcl.pretrain.passes import Seen, Step
from medcl.pretrain.reading import read
from medcl.pretrain.views import draw_views

BITS = 3


class Bits(nn.Module):
    """An encoder of vectors of bits."""

    def __init__(self, width: int = BITS) -> None:
        super().__init__()
        self.config = SimpleNamespace(dim=32)
        self.layer = nn.Linear(width, 32)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x).relu()[:, None]

    def pool(self, dense: Tensor) -> Tensor:
        return dense[:, 0]


class Flat(nn.Module):
    """An encoder that hands on what it gets."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.config = SimpleNamespace(dim=dim)

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)[:, None]

    def pool(self, dense: Tensor) -> Tensor:
        return dense[:, 0]


class Trained(nn.Module):
    """Encoders and objectives on top of them.

    Args:
        objectives: as a recipe has them.
        encoders: {input: encoder}.
        views: random changes of every input.
    """

    def __init__(
        self, objectives: Mapping[str, Any], encoders: Mapping[str, nn.Module], views: Compose | None = None
    ) -> None:
        super().__init__()
        kinds = {
            name: {"modality": name if name in ("image", "volume", "signal", "table") else "image"} for name in encoders
        }
        self.recipe = read({"inputs": kinds, "objectives": objectives})
        self.encoders, self.views = nn.ModuleDict(encoders), views
        self.objectives = nn.ModuleDict()
        names = ("patient", "item", *encoders)
        for name, config in self.recipe.objectives.items():
            parts = Parts(
                name,
                dict(encoders),
                {one: (BITS,) for one in encoders},
                self.recipe,
                dict(self.objectives.items()),
                10,
                8,
                names,
            )
            self.objectives[name] = objective_class(config.kind).made(config, parts)

    def forward(self, batch: Mapping[str, Any], generator: torch.Generator | None = None) -> dict[str, Tensor]:
        generator = generator or torch.Generator().manual_seed(0)
        seen = {}
        ids = batch["ids"] | ({"position": batch["position"]} if "position" in batch else {})
        for objective in self.objectives.values():
            for name, wanted in objective.looks:  # type: ignore[union-attr,operator]
                there = batch["present"][name]
                x = batch["inputs"].get(name, torch.zeros(0, BITS))
                own = {key: value[there] for key, value in ids.items()}
                drawn = draw_views(x, self.views, wanted, generator, None)
                encoder = self.encoders[name]
                seen[name, wanted.key] = Seen(drawn, wanted.blocks, encoder, own, teacher=encoder)
        step = Step(seen, ids, batch["present"], generator, None)
        losses = {}
        for name, objective in self.objectives.items():
            losses |= {f"{name}.{one}" if one else name: loss for one, loss in objective(step).items()}
        return losses


def bits(*kinds: str) -> dict[str, nn.Module]:
    torch.manual_seed(0)
    return {kind: Bits() for kind in kinds}


def batch_of(x: dict[str, Tensor], patients: Tensor | None = None) -> dict[str, Any]:
    count = len(next(iter(x.values())))
    own = torch.arange(count)
    ids = {"patient": own if patients is None else patients, "item": own, **{kind: own for kind in x}}
    present = {kind: torch.ones(count, dtype=torch.bool) for kind in x}
    return {"inputs": x, "ids": ids, "present": present, "index": own}
