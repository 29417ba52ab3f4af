"""SimLAP: samples of any two classes are positives, in the features that a filter keeps for these classes."""

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medcl.contrast.core.gather import gather, own_rows, rows_before
from medcl.contrast.losses.info_nce import info_nce
from medcl.contrast.losses.temperatures import Temperature
from medcl.contrast.pairings.pairs import itself, same
from medcl.contrast.similarities.similarity import dot
from medcl.errors import UsageError
from medcl.pretrain.objectives.base import HeadConfig, Objective, OneViewedConfig, Parts, dim_of, projection
from medcl.pretrain.objectives.labelled import TargetConfig
from medcl.pretrain.passes import Step
from medcl.pretrain.recipe import Recipe


@dataclass(frozen=True)
class SimLAPConfig(TargetConfig, OneViewedConfig):
    """Each sample attracts those of a class drawn at random, compared by filtered features.

    With z unit vectors, y classes, u_i the class drawn for anchor i, e learned embeddings of classes:

        g_i = sigmoid(MLP((e_y_i + e_u_i) / 2))        s_ij = sum over features d of g_id^2 z_id z_jd / temperature
        l(i) = mean over j of class u_i of -log( exp(s_ij) / ( exp(s_ij) + sum over other classes k of exp(s_ik) ) )

    where samples of the anchor's own class are left out unless it was drawn (Wang et al., Rethinking Positive Pairs,
    2024, arXiv 2410.18200). The drawn class is that of another sample of the batch. For findings that share something:
    a side, an organ, a shape.

    Args:
        target: column of the manifest, of classes; records without one are not used.
        classes: number of classes that the column has at most.
        width: of the embedding of a class.
        hidden: width of the filter's hidden layer.
        temperature: of the softmax, where it begins; it is trained, to no less than 0.01.
        head: projection of an embedding.
    """

    kind: str = "simlap"
    classes: int = 16
    width: int = 64
    hidden: int = 256
    temperature: float = 0.1
    head: HeadConfig = field(default_factory=HeadConfig)
    ranges: ClassVar = {"above 0": ("temperature",)}

    def check(self, where: str, recipe: Recipe) -> None:
        """Refuse fewer than two classes, and nothing to filter."""
        super().check(where, recipe)
        if self.classes < 2 or not self.head.dim:
            raise UsageError(f"{where}: two classes or more, and a projection (head.dim) are needed")


class SimLAP(Objective):
    """See `SimLAPConfig`. The filter has no batch normalisation, which would be that of a process."""

    Config = SimLAPConfig
    config: SimLAPConfig

    def __init__(self, config: SimLAPConfig, parts: Parts) -> None:
        super().__init__(config, parts)
        self.name = parts.name
        self.head = projection(config.head, dim_of(parts.encoders[config.of]))
        self.classes = nn.Embedding(config.classes, config.width)
        self.filter = nn.Sequential(
            nn.Linear(config.width, config.hidden), nn.ReLU(), nn.Linear(config.hidden, config.head.dim)
        )
        self.temperature = Temperature(config.temperature, True)

    def gates(self, one: Tensor, other: Tensor) -> Tensor:
        """(n, D) from 0 to 1, which features count for pairs of two classes (n,) each."""
        between = (self.classes(one) + self.classes(other)) / 2
        return torch.sigmoid(self.filter(between))

    def forward(self, step: Step) -> dict[str, Tensor]:
        """The loss."""
        seen = step.see(self.config.of, self.wanted[self.config.of])
        z = F.normalize(seen.project(self.head, 2).float(), dim=1)
        own = seen.ids[self.config.word]
        if bool((own >= self.config.classes).any()):
            raise UsageError(
                f"objectives.{self.name}.classes: the column {self.config.target} has more than "
                f"{self.config.classes}; raise the setting"
            )
        before, total = rows_before(seen.n, seen.x, step.group)
        order = torch.randperm(total, generator=step.generator)[own_rows(seen.n, 1, before, total)]
        drawn = gather(own, step.group)[order.to(own.device)]
        # Nobody is drawn whose class is not known.
        y, partner = own.repeat(2), torch.where(drawn < 0, own, drawn).repeat(2)
        known = y >= 0
        z, y, partner = z[known], y[known], partner[known]
        wanted = same(partner, y).without(itself(z))
        pairing = wanted.without(same(y).but(same(partner, y)))
        loss = info_nce(
            self.gates(y, partner).square() * z,
            z,
            pairing,
            temperature=self.temperature(),
            similarity=dot,
            denominator="own",
            group=step.group,
        )
        return {"": loss}
