"""SwAV (Caron et al., NeurIPS 2020): predict from one view the prototypes that another view is assigned to."""

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medcl.contrast.core.gather import gather
from medcl.contrast.losses.swav import swav
from medcl.errors import UsageError
from medcl.pretrain.objectives.base import HeadConfig, Objective, OneInputConfig, Parts, dim_of, projection
from medcl.pretrain.passes import Step
from medcl.pretrain.recipe import Recipe
from medcl.pretrain.views import Wanted


@dataclass(frozen=True)
class SwAVConfig(OneInputConfig):
    """Swapped assignments over large and small views; nothing is contrasted pairwise.

    Args:
        prototypes: number of them.
        small: name of `more_views` of the input, the small crops; empty for none.
        small_copies: number of small crops of a sample.
        small_size: share of the length along each axis to which they are resized, for cheaper passes.
        temperature: of predictions.
        epsilon: of the assignment by Sinkhorn; smaller ones make it harder.
        iterations: of Sinkhorn.
        queue: samples of earlier batches that are assigned along, for batches that are small beside the prototypes; 0
            for none.
        queue_from: share of the stage's steps after which the queue is used.
        freeze: steps in which the prototypes keep their first values.
        head: projection of an embedding.
    """

    kind: str = "swav"
    prototypes: int = 256
    small: str = ""
    small_copies: int = 4
    small_size: float = 1.0
    temperature: float = 0.1
    epsilon: float = 0.05
    iterations: int = 3
    queue: int = 0
    queue_from: float = 0.0
    freeze: int = 0
    head: HeadConfig = field(default_factory=HeadConfig)
    ranges: ClassVar = {"above 0 and at most 1": ("small_size",)}

    def check(self, where: str, recipe: Recipe) -> None:
        """Refuse small views that there are not."""
        super().check(where, recipe)
        if self.small and self.small not in recipe.inputs[self.of].more_views:
            raise UsageError(f"{where}.small: inputs.{self.of}.more_views has no {self.small!r}")
        if self.prototypes < 2 or self.queue < 0 or not self.head.dim:
            raise UsageError(f"{where}: two prototypes or more, a queue of 0 or more and a projection are needed")


class SwAV(Objective):
    """See `SwAVConfig`."""

    Config = SwAVConfig
    config: SwAVConfig
    taken: Tensor
    earlier: Tensor

    def __init__(self, config: SwAVConfig, parts: Parts) -> None:
        super().__init__(config, parts)
        self.steps = parts.steps
        self.head = projection(config.head, dim_of(parts.encoders[config.of]))
        self.prototypes = nn.Linear(config.head.dim, config.prototypes, bias=False)
        self.register_buffer("taken", torch.zeros((), dtype=torch.int64))
        self.register_buffer("earlier", torch.zeros(2, config.queue, config.head.dim))
        self.register_buffer("held", torch.zeros((), dtype=torch.int64))

    @property
    def looks(self) -> tuple[tuple[str, Wanted], ...]:
        """Large and small views."""
        large = ((self.config.of, Wanted()),)
        return (*large, (self.config.of, self._small)) if self.config.small else large

    @property
    def _small(self) -> Wanted:
        return Wanted(views=self.config.small, copies=self.config.small_copies, resize=self.config.small_size)

    def forward(self, step: Step) -> dict[str, Tensor]:
        """The loss."""
        config = self.config
        frozen = int(self.taken) < config.freeze
        weight = F.normalize(self.prototypes.weight.detach() if frozen else self.prototypes.weight, dim=1)
        crops = []
        for name, wanted in self.looks:
            seen = step.see(name, wanted)
            crops += list(F.normalize(seen.project(self.head, wanted.copies), dim=-1).chunk(wanted.copies))
        scores = [z @ weight.T for z in crops]
        held = int(self.get_buffer("held"))
        use = held == config.queue > 0 and int(self.taken) >= config.queue_from * self.steps
        queue = [z @ weight.detach().T for z in self.earlier] if use else []
        if use and step.group is not None:
            # Every process holds all of the queue, and assigns its share of it.
            queue = [
                one[torch.distributed.get_rank(step.group) :: torch.distributed.get_world_size(step.group)]
                for one in queue
            ]
        loss = swav(
            scores,
            temperature=config.temperature,
            epsilon=config.epsilon,
            iterations=config.iterations,
            queue=queue,
            group=step.group,
        )
        with torch.no_grad():
            self.taken += self.training
            if config.queue and self.training:
                new = torch.stack([gather(z.detach().float(), step.group) for z in crops[:2]])
                self.earlier = torch.cat([new, self.earlier], dim=1)[:, : config.queue]
                self.get_buffer("held").fill_(min(config.queue, held + new.shape[1]))
        return {"": loss + self.prototypes.weight.sum() * 0}
