"""Contrastive distillation of an encoder that does not change into another one, of the same samples (SEED)."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medcl.contrast.core.gather import gather, mean
from medcl.contrast.core.momentum import MomentumQueue
from medcl.contrast.losses.info_nce import info_nce
from medcl.contrast.pairings.neighbours import softened
from medcl.errors import UsageError
from medcl.pretrain.objectives.base import Objective, ObjectiveConfig, Parts, dim_of
from medcl.pretrain.passes import Step
from medcl.pretrain.recipe import Recipe
from medcl.pretrain.views import Wanted

ROW = "row"


@dataclass(frozen=True)
class DistillConfig(ObjectiveConfig):
    """A student is to find each sample as alike to others as its teacher does.

    With t the teacher's embeddings and s those of the student behind a linear map, all at unit length,

        L = -1/B sum_i sum_j q_ij log p_ij
        q_i = softmax over candidates j of t_i . t_j / teaching        p_i = softmax of s_i . t_j / temperature

    the candidates are the teacher's embeddings of the batch, that of the sample itself among them, and of a queue of
    earlier ones: Fang et al., SEED (ICLR 2021), eq. 5. The lower `teaching`, the more each sample has its own embedding
    as the one positive. Nothing is a false negative here: equal texts have equal embeddings, and share the target.

    Args:
        of: the input of the student, `like` that of the teacher.
        teacher: the input of the teacher, whose encoder is locked.
        queue: embeddings of earlier batches; 0 for none.
        temperature: of the student's softmax.
        teaching: temperature of the teacher's softmax.
        views: name of `more_views` of the teacher's input; empty takes its `views`. Both see the same view.
    """

    kind: str = "distill"
    of: str = ""
    teacher: str = ""
    queue: int = 4096
    temperature: float = 0.2
    teaching: float = 0.01
    views: str = ""
    ranges: ClassVar = {"above 0": ("temperature", "teaching")}

    @property
    def inputs(self) -> tuple[str, ...]:
        """Both."""
        return (self.teacher, self.of)

    def check(self, where: str, recipe: Recipe) -> None:
        """Refuse a teacher that would learn, and a student of other samples."""
        super().check(where, recipe)
        if not recipe.inputs[self.teacher].locked:
            raise UsageError(f"{where}.teacher: keeps its weights: set inputs.{self.teacher}.locked")
        if recipe.inputs[self.of].like != self.teacher:
            raise UsageError(f"{where}.of: sees what its teacher sees: set inputs.{self.of}.like: {self.teacher}")
        if self.queue < 0:
            raise UsageError(f"{where}.queue: {self.queue} is negative")


class Distill(Objective):
    """See `DistillConfig`."""

    Config = DistillConfig
    config: DistillConfig

    def __init__(self, config: DistillConfig, parts: Parts) -> None:
        super().__init__(config, parts)
        small, large = (dim_of(parts.encoders[name]) for name in (config.of, config.teacher))
        self.head = nn.Linear(small, large)
        self.queue = MomentumQueue(config.queue, large, (ROW,)) if config.queue else None

    @property
    def wanted(self) -> dict[str, Wanted]:
        """One view, the same of both."""
        return {name: Wanted(self.config.views, copies=1) for name in self.config.inputs}

    def forward(self, step: Step) -> dict[str, Tensor]:
        """The loss, under the empty name."""
        config = self.config
        student, teacher = (step.see(name, self.wanted[name]) for name in (config.of, config.teacher))
        with torch.no_grad():
            own = F.normalize(teacher.pooled.float(), dim=-1)
            candidates, rows = gather(own, step.group), gather(teacher.ids[ROW], step.group)
            if self.queue is not None:
                fresh, (candidates, _) = candidates, self.queue.extend(candidates, {ROW: rows})
                if self.training:
                    self.queue.enqueue(fresh, {ROW: rows})
        z = F.normalize(self.head(student.pooled).float(), dim=-1)
        # Every process holds all candidates.
        target = softened(own, candidates, temperature=config.teaching)
        number = torch.tensor(float(student.n), device=z.device)
        loss = info_nce(z, candidates, target, temperature=config.temperature)
        return {"": mean(loss * number, number, step.group)}
