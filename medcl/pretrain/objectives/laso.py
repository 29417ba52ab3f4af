"""LaSO: what two samples have both, together, or one without the other, made of their embeddings."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medcl.contrast.core.gather import mean
from medcl.errors import UsageError
from medcl.pretrain.objectives.base import Objective, OneInputConfig, Parts, dim_of
from medcl.pretrain.objectives.positives import LABEL
from medcl.pretrain.passes import Step
from medcl.pretrain.recipe import Recipe
from medcl.pretrain.views import Wanted

Vectors = Callable[[Tensor, Tensor], Tensor]
OPERATIONS: dict[str, tuple[Vectors, Vectors]] = {
    "union": (torch.add, torch.maximum),
    "intersection": (torch.minimum, torch.minimum),
    "difference": (lambda a, b: F.relu(a - b), lambda a, b: F.relu(a - b)),
}
"""Name -> what a network does to two vectors besides what it learns, and what the operation does to sets of labels."""


@dataclass(frozen=True)
class LaSOConfig(OneInputConfig):
    """Networks U, I and S that make the union, the intersection and the difference of the labels of two embeddings.

    With a classifier C of the findings, and every pair a, b of the batch and of the batch turned by one:

        L = BCE of C on a, b, on U(a, b), I(a, b), S(a, b) and their repetitions against the labels that these have
            + consistency (MSE(a, U(S(a, I(b, a)), I(a, b))) + MSE(U(a, b), U(b, a)) + MSE(I(a, b), I(b, a)))

    LaSO (Alfassy et al., LaSO: Label-Set Operations Networks for Multi-Label Few-Shot Learning, CVPR 2019), for
    combinations of findings that are too rare to learn from. There the encoder and the classifier are
    trained first; here they are trained along, unless the encoder is frozen (`stages`), and repetitions are S(S(a, b),
    b), U(U(a, b), b) and I(I(a, b), b) alone.

    Args:
        target: column of the manifest with the findings of a record, several or one; records without any value are not
            used.
        findings: values of the column.
        hidden: width of the networks.
        depth: blocks of each.
        consistency: weight of the squared errors.
    """

    kind: str = "laso"
    target: str = ""
    findings: tuple[str, ...] = ()
    hidden: int = 256
    depth: int = 1
    consistency: float = 1.0

    @property
    def losses(self) -> dict[str, float]:
        """Both."""
        return {"findings": 1.0, "consistency": self.consistency}

    @property
    def columns(self) -> tuple[str, ...]:
        """By which it is looked up whether a record has each of the findings."""
        return tuple(f"{LABEL}{self.target}={one}" for one in self.findings)

    def check(self, where: str, recipe: Recipe) -> None:
        """Refuse what has no findings."""
        super().check(where, recipe)
        if not self.target or len(set(self.findings)) != len(self.findings) or len(self.findings) < 2:
            raise UsageError(f"{where}: target names a column of the manifest, and findings two or more values of it")
        if self.hidden < 1 or self.depth < 0:
            raise UsageError(f"{where}: hidden is at least 1 and depth not negative, got {self.hidden}, {self.depth}")


class Operation(nn.Module):
    """An operation of two embeddings: layers whose skip connection is arithmetic.

    Args:
        dim: width of an embedding.
        hidden: width within.
        depth: blocks.
        combine: two vectors of the hidden width to one.
    """

    def __init__(self, dim: int, hidden: int, depth: int, combine: Vectors) -> None:
        super().__init__()
        self.combine = combine
        self.into = nn.Sequential(nn.Linear(dim, hidden), nn.LeakyReLU(0.2))
        self.both = nn.Sequential(nn.Linear(2 * dim, hidden), nn.BatchNorm1d(hidden), nn.LeakyReLU(0.2))
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(hidden, hidden), nn.LeakyReLU(0.2)) for _ in range(depth))
        self.out = nn.Linear(hidden, dim)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """(n, dim) of two (n, dim)."""
        x = self.both(torch.cat([a, b], dim=1)) + self.combine(self.into(a), self.into(b))
        for block in self.blocks:
            x = x + block(x)
        return cast(Tensor, self.out(x))


class LaSO(Objective):
    """See `LaSOConfig`."""

    Config = LaSOConfig
    config: LaSOConfig

    def __init__(self, config: LaSOConfig, parts: Parts) -> None:
        super().__init__(config, parts)
        width = dim_of(parts.encoders[config.of])
        self.classifier = nn.Linear(width, len(config.findings))
        self.operations = nn.ModuleDict(
            {name: Operation(width, config.hidden, config.depth, combine) for name, (combine, _) in OPERATIONS.items()}
        )

    def forward(self, step: Step) -> dict[str, Tensor]:
        """The losses."""
        config, group = self.config, step.group
        seen = step.see(config.of, Wanted())
        labels = torch.stack([seen.repeated(word, 2) for word in config.columns], dim=1)
        known = (labels >= 0).all(dim=1)
        a, of_a = seen.pooled[: 2 * seen.n].float()[known], labels[known].float()
        b, of_b = a.roll(1, dims=0), of_a.roll(1, dims=0)
        count = known.sum().to(a)
        if len(a) < 2:
            nothing = sum((one.sum() * 0 for one in self.parameters()), a.sum() * 0)
            return {"findings": mean(nothing, count * 0, group), "consistency": mean(nothing, count * 0, group)}
        union, intersection, difference = self.operations.values()
        told = [(a, of_a), (b, of_b)]
        for name, (_, of_sets) in OPERATIONS.items():
            network = self.operations[name]
            for x, y, of_x, of_y in ((a, b, of_a, of_b), (b, a, of_b, of_a)):
                once, expected = network(x, y), of_sets(of_x, of_y)
                told += [(once, expected), (network(once, y), of_sets(expected, of_y))]
        z, y = (torch.cat(part) for part in zip(*told, strict=True))
        bce = F.binary_cross_entropy_with_logits(self.classifier(z), y, reduction="none").mean(dim=1).sum()
        again = union(difference(a, intersection(b, a)), intersection(a, b))
        apart = (a - again).square() + (union(a, b) - union(b, a)).square()
        apart = apart + (intersection(a, b) - intersection(b, a)).square()
        return {
            "findings": mean(bce / len(told), count, group),
            "consistency": mean(apart.mean(dim=1).sum(), count, group),
        }
