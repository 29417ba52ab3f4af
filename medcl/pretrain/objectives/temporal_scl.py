"""Temporal-SCL (Noroozizadeh et al., ML4H 2023): the state of a patient at each time step, and what comes next."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medcl.contrast.core.gather import gather, mean, rows_before
from medcl.contrast.losses.info_nce import info_nce
from medcl.contrast.pairings.neighbours import nearest
from medcl.contrast.pairings.pairs import itself, same
from medcl.errors import UsageError
from medcl.pretrain.objectives.base import HeadConfig, Objective, Parts, dim_of, projection
from medcl.pretrain.objectives.labelled import TargetConfig
from medcl.pretrain.passes import Step
from medcl.pretrain.recipe import Recipe
from medcl.pretrain.views import Wanted


@dataclass(frozen=True)
class TemporalSCLConfig(TargetConfig):
    """Supervised contrast of time steps, whose next embedding is forecast from those before.

        L = SupCon(z_it) + forecast ( mean |LSTM(z_i1 .. z_it) - z_i,t+1|^2 + penalty mean w^2 )

    with z_it the embedding of a time step at unit length, w the weights of the LSTM, and as positives of a time step
    those in a group with it: a step and its nearest neighbour, as they were measured, of the same outcome. That takes
    the place of random views. The paper trains first with positives of the same outcome and without a forecast: two
    objectives of this kind, in two stages.

    The released code finds neighbours once among all training data, and adds up the squares of the weights; here they
    are found in each batch, and the penalty is a mean, so that it does not grow with the width.

    Args:
        of: the input, a signal or a table in time, without random views.
        target: column of the manifest whose classes are the outcomes; records without one are only forecast.
        positives: `neighbours`, or all time steps of the same `outcome`.
        labels: share of the training patients whose outcomes are used.
        forecast: weight of the forecast; 0 leaves it out.
        penalty: weight of the squares of the LSTM's weights.
        temperature: of the softmax.
        head: projection of an embedding; by default the embedding itself is compared and forecast.
    """

    kind: str = "temporal-scl"
    positives: Literal["neighbours", "outcome"] = "neighbours"
    labels: float = 1.0
    forecast: float = 10.0
    penalty: float = 0.1
    temperature: float = 0.1
    head: HeadConfig = field(default_factory=lambda: HeadConfig(dim=0))
    ranges: ClassVar = {"above 0": ("temperature",), "above 0 and at most 1": ("labels",)}

    @property
    def losses(self) -> dict[str, float]:
        """Contrast, and the forecast where there is one."""
        return {"contrast": 1.0} | ({"forecast": self.forecast} if self.forecast else {})

    def check(self, where: str, recipe: Recipe) -> None:
        """Refuse negative weights."""
        super().check(where, recipe)
        if self.forecast < 0 or self.penalty < 0:
            raise UsageError(f"{where}: forecast and penalty are weights, 0 or more")


class TemporalSCL(Objective):
    """See `TemporalSCLConfig`."""

    Config = TemporalSCLConfig
    config: TemporalSCLConfig

    def __init__(self, config: TemporalSCLConfig, parts: Parts) -> None:
        super().__init__(config, parts)
        width = dim_of(parts.encoders[config.of])
        self.head = projection(config.head, width)
        dim = config.head.dim or width
        if config.forecast:
            self.memory = nn.LSTM(dim, dim, batch_first=True)
            self.next = nn.Linear(dim, dim)

    @property
    def wanted(self) -> dict[str, Wanted]:
        """One view of each sample."""
        return {self.config.of: Wanted(copies=1)}

    def forward(self, step: Step) -> dict[str, Tensor]:
        """The losses."""
        config = self.config
        seen = step.see(config.of, self.wanted[config.of])
        z = F.normalize(self.head(seen.dense[: seen.n]).float(), dim=-1)
        features, there = snapshots(seen.drawn.source, z.shape[1])
        outcome = seen.ids[config.word][:, None].expand_as(there)[there]
        # An unknown outcome is that of no other record.
        groups = self._groups(features[there], outcome, step) if config.positives == "neighbours" else outcome
        own = z[there]
        pairing = same(groups).without(itself(groups))
        losses = {"contrast": info_nce(own, own, pairing, temperature=config.temperature, group=step.group)}
        if config.forecast:
            losses["forecast"] = self._forecast(z, there, step)
        return losses

    def _groups(self, features: Tensor, outcome: Tensor, step: Step) -> Tensor:
        """(n,) ids: the lowest number, in the batch of all processes, of the time steps that belong together."""
        before, _ = rows_before(len(features), features, step.group)
        groups = nearest(gather(features, step.group), gather(outcome, step.group))
        return groups[before : before + len(features)]

    def _forecast(self, z: Tensor, there: Tensor, step: Step) -> Tensor:
        """The squared distance of each next embedding from its forecast, and the size of the weights."""
        if z.shape[1] > 1 and len(z):
            found = self.next(self.memory(z[:, :-1])[0])
            known = there[:, 1:] & there[:, :-1]
            distance = (found - z[:, 1:]).square().mean(dim=-1)[known]
        else:
            distance = z.sum(dim=-1)[:, 0] * 0
        count = torch.tensor(float(len(distance)), device=z.device)
        weights = torch.cat([one.flatten() for one in self.memory.parameters()])
        return mean(distance.sum(), count, step.group) + self.config.penalty * weights.square().mean()


def snapshots(x: Tensor, positions: int) -> tuple[Tensor, Tensor]:
    """What was measured at each position, for distances.

    Args:
        x: (n, C, T) samples; NaN where there is no value.
        positions: P of their embeddings, each of T / P steps.

    Returns:
        (n, P, C) features, a missing value being the last one before it, else 0, the mean; and (n, P) bool, where
        anything was measured.
    """
    known = ~x.isnan()
    steps = torch.arange(x.shape[2], device=x.device)
    last = torch.where(known, steps, -1).cummax(dim=2).values
    filled = torch.where(last >= 0, x.nan_to_num().gather(2, last.clamp(min=0)), 0.0)
    if positions != x.shape[2]:
        filled, known = F.adaptive_avg_pool1d(filled, positions), F.adaptive_max_pool1d(known.float(), positions) > 0
    return filled.mT, known.any(dim=1)
