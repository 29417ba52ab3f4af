"""Several projection heads, and a temperature of each pair that is read off both projections (AMCL)."""

from dataclasses import dataclass, field
from typing import ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medcl.contrast.core.gather import Group, gather, mean, rows_before
from medcl.errors import UsageError
from medcl.pretrain.objectives.base import HeadConfig, Objective, OneInputConfig, Parts, dim_of, projection
from medcl.pretrain.passes import Step
from medcl.pretrain.recipe import Recipe

LOWEST, HIGHEST = 1e-5, 2.0
"""Temperatures lie between them."""


@dataclass(frozen=True)
class AMCLConfig(OneInputConfig):
    """Contrast of two views by several heads, in which each pair of views has its own temperature in each head.

    With the projections u of head c at unit length, their width d, s_ij = u_i . u_j, and the temperature t_ij, from 0
    to 2, that a perceptron reads off [u_i; u_j], the loss of view i with its other view p is the sum over heads of

        log( exp(s_ip / t_ip) + exp(s_in / t_in) ) - s_ip / t_ip + beta ( R(t_ip) - R(t_in) )
        R(t) = d / 2 log t + 1 / t,    n the view of another patient that maximises s_in / t_in

    After Wang et al., Adaptive Multi-head Contrastive Learning (AMCL, ECCV 2024), whose released code is incomplete:
    its loss has positives alone. In its figure the first terms are max_n s_in / t_in - s_ip / t_ip, which fall without
    bound as temperatures go to 0, as they did when it was tried; here the positive is under the logarithm, as in
    InfoNCE.

    Args:
        head: projection of an embedding; `heads` of them.
        heads: number of projections.
        hidden: width of the hidden layer of what gives the temperatures.
        beta: weight of R.
    """

    kind: str = "amcl"
    head: HeadConfig = field(default_factory=HeadConfig)
    heads: int = 3
    hidden: int = 64
    beta: float = 0.1
    ranges: ClassVar = {"0 or more": ("beta",), "above 0": ("heads", "hidden")}

    def check(self, where: str, recipe: Recipe) -> None:
        """Refuse heads that do not project."""
        super().check(where, recipe)
        if not self.head.dim:
            raise UsageError(f"{where}.head.dim: 0; several heads need a projection each")


class PairTemperatures(nn.Module):
    """A temperature of each pair of two vectors, by a perceptron of both.

    Args:
        dim: of a vector.
        hidden: width of the hidden layer.
    """

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        # The layer of both vectors, one after the other, in two parts: pairs are not written out.
        self.first, self.second = nn.Linear(dim, hidden), nn.Linear(dim, hidden, bias=False)
        self.out = nn.Linear(hidden, 1)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """(N, M) of (N, dim) and (M, dim)."""
        hidden = (self.first(a)[:, None] + self.second(b)).relu()
        return cast(Tensor, LOWEST + (HIGHEST - LOWEST) * self.out(hidden)[..., 0].float().sigmoid())


class AMCL(Objective):
    """See `AMCLConfig`."""

    Config = AMCLConfig
    config: AMCLConfig

    def __init__(self, config: AMCLConfig, parts: Parts) -> None:
        super().__init__(config, parts)
        width = dim_of(parts.encoders[config.of])
        self.heads = nn.ModuleList(projection(config.head, width) for _ in range(config.heads))
        self.temperatures = nn.ModuleList(PairTemperatures(config.head.dim, config.hidden) for _ in range(config.heads))

    def forward(self, step: Step) -> dict[str, Tensor]:
        """The sum over heads of the mean over views."""
        seen = step.see(self.config.of, self.wanted[self.config.of])
        before, _ = rows_before(seen.n, seen.x, step.group)
        number = torch.arange(before, before + seen.n, device=seen.x.device)
        view = torch.stack([2 * number, 2 * number + 1]).flatten()
        patient = seen.repeated("patient", 2)
        positive = gather(view, step.group) == (view ^ 1)[:, None]
        negative = gather(patient, step.group) != patient[:, None]
        losses = []
        for head, temperatures in zip(self.heads, self.temperatures, strict=True):
            u = F.normalize(seen.project(head, 2).float(), dim=1)
            others = gather(u, step.group)
            losses.append(adaptive(u @ others.T, temperatures(u, others), positive, negative, self.config, step.group))
        return {"": torch.stack(losses).sum()}


def adaptive(
    s: Tensor, temperature: Tensor, positive: Tensor, negative: Tensor, config: AMCLConfig, group: Group = None
) -> Tensor:
    """The loss of one head from similarities, temperatures, and which candidate is positive or negative, all (N, M)."""
    scores = s / temperature
    hardest = scores.masked_fill(~negative, -torch.inf).detach().argmax(dim=1, keepdim=True)
    own = positive.int().argmax(dim=1, keepdim=True)

    def penalty(t: Tensor) -> Tensor:
        return config.head.dim / 2 * t.log() + 1 / t

    apart = F.softplus(scores.gather(1, hardest) - scores.gather(1, own))
    spread = penalty(temperature.gather(1, own)) - penalty(temperature.gather(1, hardest))
    counts = negative.any(dim=1, keepdim=True)
    return mean(torch.where(counts, apart + config.beta * spread, 0.0).sum(), counts.sum().to(s.dtype), group)
