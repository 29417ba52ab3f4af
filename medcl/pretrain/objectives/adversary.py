"""An adversary that reads a nuisance, such as the site, off the embeddings, so that the encoder learns to hide it."""

from dataclasses import dataclass
from typing import Any, ClassVar, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from medcl.contrast.core.gather import mean
from medcl.errors import UsageError
from medcl.networks.heads import ProjectionHead
from medcl.pretrain.objectives.base import Objective, OneViewedConfig, Parts, dim_of
from medcl.pretrain.objectives.positives import LABEL
from medcl.pretrain.passes import Step
from medcl.pretrain.recipe import Recipe


@dataclass(frozen=True)
class AdversaryConfig(OneViewedConfig):
    """Cross-entropy of a classifier of a nuisance, whose gradient is reversed where it enters the encoder.

    Domain-adversarial training (Ganin et al., JMLR 17, 2016). The paper raises the strength over the training, which
    `ramp` does here. Where the nuisance goes with the disease, an encoder that hides the one loses part of the other:
    contrast `within` a site does not ask for that.

    Args:
        nuisance: column whose values the embeddings are not to tell, such as site; records without one do not count.
        values: number of its values.
        strength: what the gradient is multiplied by, besides -1, where it enters the encoder.
        hidden: width of the classifier's hidden layer.
    """

    kind: str = "adversary"
    nuisance: str = ""
    values: int = 2
    strength: float = 1.0
    hidden: int = 64
    ranges: ClassVar = {"above 0": ("strength",)}

    @property
    def columns(self) -> tuple[str, ...]:
        """The nuisance."""
        return (f"{LABEL}{self.nuisance}",)

    def check(self, where: str, recipe: Recipe) -> None:
        """Refuse what has no nuisance."""
        super().check(where, recipe)
        if not self.nuisance:
            raise UsageError(f"{where}.nuisance: names the column of the manifest that is to be hidden, such as site")
        if self.values < 2 or self.hidden < 1:
            raise UsageError(f"{where}: values is at least 2 and hidden at least 1, got {self.values}, {self.hidden}")


class _Reversed(torch.autograd.Function):
    """The identity, whose gradient has another sign."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, strength: float) -> Tensor:
        ctx.strength = strength
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return -ctx.strength * gradient, None


class Adversary(Objective):
    """See `AdversaryConfig`."""

    Config = AdversaryConfig
    config: AdversaryConfig

    def __init__(self, config: AdversaryConfig, parts: Parts) -> None:
        super().__init__(config, parts)
        self.name = parts.name
        self.classifier = ProjectionHead(dim_of(parts.encoders[config.of]), config.hidden, config.values, 3)

    def forward(self, step: Step) -> dict[str, Tensor]:
        """The loss of the classifier."""
        config = self.config
        seen = step.see(config.of, self.wanted[config.of])
        site = seen.repeated(f"{LABEL}{config.nuisance}", 2)
        if bool((site >= config.values).any()):
            raise UsageError(
                f"objectives.{self.name}.values: {config.values}, but the column {config.nuisance} has more values: "
                "give their number"
            )
        hidden = cast(Tensor, _Reversed.apply(seen.pooled[: 2 * seen.n].float(), config.strength))  # type: ignore[no-untyped-call]
        known = site >= 0
        losses = F.cross_entropy(self.classifier(hidden)[known], site[known], reduction="sum")
        return {"": mean(losses, known.sum().to(losses), step.group)}
