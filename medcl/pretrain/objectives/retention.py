"""Keep what an earlier run has learned: who is similar to whom, in the batch, by its encoder."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from medcl.contrast.losses.info_nce import info_nce
from medcl.contrast.pairings.neighbours import softened
from medcl.contrast.pairings.pairs import itself
from medcl.errors import UsageError
from medcl.pretrain.continual import teacher
from medcl.pretrain.objectives.base import Objective, OneViewedConfig, Parts
from medcl.pretrain.passes import Step
from medcl.pretrain.recipe import Recipe


@dataclass(frozen=True)
class RetentionConfig(OneViewedConfig):
    """Distillation of relations from the run that is continued (`--continue RUN`), on the new records alone.

        L = mean_i CE(q_i, p_i)     p_i = softmax over j != i of z_i . z_j / t     q_i = softmax of w_i . w_j / t

    with z the unit embeddings of the views and w those of the encoder as the earlier run left it. This is the
    distillation of sample contrast of HPCR (Lin et al., HPCR: Holistic Proxy-based Contrastive Replay for Online
    Continual Learning, 2023), there with weight 0.5 on samples of a memory, whose embeddings were stored.

    Args:
        temperature: of both.
    """

    kind: str = "retention"
    temperature: float = 0.09
    ranges: ClassVar = {"above 0": ("temperature",)}

    def check(self, where: str, recipe: Recipe) -> None:
        """Refuse what has nothing to retain."""
        super().check(where, recipe)
        if not recipe.earlier.run:
            raise UsageError(f"{where}: retains what an earlier run has learned: name it by --continue RUN")


class Retention(Objective):
    """See `RetentionConfig`."""

    Config = RetentionConfig
    config: RetentionConfig

    def __init__(self, config: RetentionConfig, parts: Parts) -> None:
        super().__init__(config, parts)
        self.teacher = teacher(parts.recipe, config.of)

    def forward(self, step: Step) -> dict[str, Tensor]:
        """The loss."""
        config = self.config
        seen = step.see(config.of, self.wanted[config.of])
        z = seen.pooled[: 2 * seen.n]
        before = self.teacher.of(seen)
        soft = softened(before, before, temperature=config.temperature)
        apart = soft.without(itself(z))
        return {"": info_nce(z, z, apart, temperature=config.temperature, group=step.group)}
