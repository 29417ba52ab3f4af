"""PCR: samples are contrasted with the proxies of their classes, as classes come one after the other."""

from dataclasses import dataclass
from math import cos, pi
from typing import ClassVar

import torch
from torch import Tensor, nn

from medcl.contrast.losses.info_nce import info_nce
from medcl.contrast.pairings.pairs import itself, same
from medcl.errors import UsageError
from medcl.pretrain.objectives.base import Objective, Parts, dim_of
from medcl.pretrain.objectives.labelled import LabelledConfig
from medcl.pretrain.passes import Step
from medcl.pretrain.recipe import Recipe
from medcl.pretrain.views import Wanted

LOWEST, HIGHEST = 0.5625, 1.8
"""Between which HPCR scales the loss: 0.05 and 0.16 over the temperature 0.09, where PCR has 1."""


@dataclass(frozen=True)
class ProxiesConfig(LabelledConfig):
    """SupCon over the embeddings of a batch and the proxies of their labels, one trained vector a class.

    Only classes of the batch are compared, so that new ones do not push all others away, as a softmax over all
    classes does. Proxy-based Contrastive Replay (Lin et al., CVPR 2023); take it with `earlier.replay`. HPCR (2023)
    scales the loss of step i by tau(i) = 0.5625 + (1.8 - 0.5625) / 2 (1 - cos(2 pi i / period)), as its released code
    does, whose comment speaks of the temperature; its distillation of logits needs stored ones and is left out,
    that of relations is the objective `retention`.

    Args:
        temperature: of the softmax.
        period: steps of HPCR's scale, there 500; 0 is PCR.
    """

    kind: str = "proxies"
    temperature: float = 0.09
    period: int = 0
    ranges: ClassVar = {"above 0": ("temperature",)}

    def check(self, where: str, recipe: Recipe) -> None:
        """Refuse a negative period."""
        super().check(where, recipe)
        if self.period < 0:
            raise UsageError(f"{where}.period: {self.period} is negative; 0 is a constant scale")

    def scale(self, step: int) -> float:
        """What the loss of a step, from 0, is multiplied by."""
        if not self.period:
            return 1.0
        return LOWEST + (HIGHEST - LOWEST) / 2 * (1 - cos(2 * pi * step / self.period))


class Proxies(Objective):
    """See `ProxiesConfig`."""

    Config = ProxiesConfig
    config: ProxiesConfig
    steps: Tensor

    def __init__(self, config: ProxiesConfig, parts: Parts) -> None:
        super().__init__(config, parts)
        self.proxies = nn.Parameter(torch.randn(len(config.classes), dim_of(parts.encoders[config.of])))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def forward(self, step: Step) -> dict[str, Tensor]:
        """The loss."""
        config = self.config
        seen = step.see(config.of, Wanted())
        y = seen.repeated(config.word, 2)
        y, z = y[y >= 0], seen.pooled[: 2 * seen.n][y >= 0]
        both, own = torch.cat([z, self.proxies[y]]), y.repeat(2)
        loss = info_nce(both, both, same(own).without(itself(own)), temperature=config.temperature, group=step.group)
        scale = config.scale(int(self.steps))
        if self.training:
            self.steps += 1
        return {"": scale * loss}
