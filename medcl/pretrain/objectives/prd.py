"""PRD: classes that come one after the other, by contrast, prototypes and what old prototypes say of new samples."""

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medcl.contrast.core.gather import gather, mean
from medcl.contrast.losses.info_nce import info_nce
from medcl.contrast.pairings.pairs import itself, same
from medcl.pretrain.continual import state_of, teacher
from medcl.pretrain.objectives.base import HeadConfig, Objective, Parts, dim_of, projection
from medcl.pretrain.objectives.labelled import LabelledConfig
from medcl.pretrain.passes import Step
from medcl.pretrain.views import Wanted


@dataclass(frozen=True)
class PRDConfig(LabelledConfig):
    """SupCon, prototypes that follow their classes, and relations of old prototypes to samples that stay.

        L = SupCon(g(f)) + prototypes L_p + distillation L_d
        L_p = mean_i (1 - cos(sg f_i, p_y_i))
        L_d = mean over old classes c of KL( softmax_i cos(w_i, o_c) / t  ||  softmax_i cos(f_i, p_c) / t )

    with f the embeddings, p the prototypes, w and o those of the run that is continued (`--continue RUN`), where L_d
    begins; nothing of its patients is needed. Prototype-Sample Relation Distillation (Asadi et al., ICML 2023). The
    released code takes the softmax over the classes of a task, and scores f . p / |p|; here it is over the samples of
    the batch, as the title says, and of cosines.

    Args:
        prototypes: weight of L_p.
        distillation: weight of L_d.
        temperature: of SupCon.
        relation_temperature: t of L_d.
        head: g.
    """

    kind: str = "prd"
    prototypes: float = 2.0
    distillation: float = 4.0
    temperature: float = 0.1
    relation_temperature: float = 1.0
    head: HeadConfig = field(default_factory=HeadConfig)
    ranges: ClassVar = {"above 0": ("temperature", "relation_temperature")}

    @property
    def losses(self) -> dict[str, float]:
        """The three."""
        return {"contrast": 1.0, "prototypes": self.prototypes, "distillation": self.distillation}


class PRD(Objective):
    """See `PRDConfig`."""

    Config = PRDConfig
    config: PRDConfig
    known: Tensor
    old: Tensor
    taught: Tensor

    def __init__(self, config: PRDConfig, parts: Parts) -> None:
        super().__init__(config, parts)
        width, count = dim_of(parts.encoders[config.of]), len(config.classes)
        self.head = projection(config.head, width)
        self.prototypes = nn.Parameter(F.normalize(torch.randn(count, width), dim=1))
        self.register_buffer("known", torch.zeros(count))
        self.teacher = teacher(parts.recipe, config.of) if parts.recipe.earlier.run else None
        # As the earlier run left them; not part of the checkpoint, for they are those of that run.
        before = state_of(parts.recipe, parts.name)
        self.register_buffer("old", before.get("prototypes", torch.zeros(count, width)), persistent=False)
        self.register_buffer("taught", before.get("known", torch.zeros(count)) > 0, persistent=False)

    def forward(self, step: Step) -> dict[str, Tensor]:
        """The losses."""
        config, group = self.config, step.group
        seen = step.see(config.of, Wanted())
        y, f = seen.repeated(config.word, 2), seen.pooled[: 2 * seen.n].float()
        labelled = y >= 0
        z, own = seen.project(self.head, 2)[labelled], y[labelled]
        if self.training:
            every = gather(y, group)
            self.known[every[every >= 0]] = 1.0
        contrast = info_nce(z, z, same(own).without(itself(own)), temperature=config.temperature, group=group)
        apart = 1 - F.cosine_similarity(f[labelled].detach(), self.prototypes[own], dim=1)
        found = {"contrast": contrast, "prototypes": mean(apart.sum(), labelled.sum().to(apart), group)}
        return {**found, "distillation": self._distillation(step, f)}

    def _distillation(self, step: Step, f: Tensor) -> Tensor:
        if self.teacher is None or not bool(self.taught.any()):
            return f.sum() * 0
        before = self.teacher.of(step.see(self.config.of, Wanted()))
        new, old = gather(f, step.group), gather(before, step.group)
        scores = [
            (F.normalize(prototypes[self.taught], dim=1) @ F.normalize(samples, dim=1).T)
            / self.config.relation_temperature
            for prototypes, samples in ((self.prototypes, new), (self.old, old))
        ]
        return F.kl_div(scores[0].log_softmax(1), scores[1].softmax(1), reduction="batchmean")
