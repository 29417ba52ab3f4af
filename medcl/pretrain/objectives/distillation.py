"""Momentum distillation between two inputs: soft targets from slowly following encoders, and their queues (MSD)."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from medcl.contrast.losses.info_nce import info_nce
from medcl.contrast.pairings.neighbours import softened
from medcl.contrast.pairings.pairs import Pairing, same
from medcl.errors import UsageError
from medcl.pretrain.objectives.contrast_config import ContrastConfig
from medcl.pretrain.objectives.positives import Side, linked
from medcl.pretrain.objectives.queued import QueuedContrast
from medcl.pretrain.passes import Step
from medcl.pretrain.recipe import Recipe


@dataclass(frozen=True)
class MomentumDistillationConfig(ContrastConfig):
    """InfoNCE between two inputs whose targets are partly those of slowly following encoders.

    Each direction is

        L(a -> b) = alpha CE(q_i, p_i) + (1 - alpha) CE(y_i, p_i)
        p_i = softmax over candidates j of z_a,i . k_b,j / t        q_i = softmax of k_a,i . k_b,j / t

    with z the projections, k those of the slowly following copies, the candidates j those of the batch and of the
    queue, y_i the partners in equal shares and alpha `distillation`. This is momentum distillation as in ALBEF (Li et
    al., NeurIPS 2021), with the two queues of MSD, whose own formula is not published. Pairs of one patient who do not
    belong together are in neither softmax p nor in the targets, which add up to 1 without them.

    Args:
        distillation: alpha, from 0 (pairs only) to below 1.
        share: of the direction from the first input to the second.
    """

    kind: str = "momentum-distillation"
    loss: str = "info_nce"
    exclude: tuple[str, ...] = ("patient",)
    distillation: float = 0.4
    share: float = 0.5
    ranges: ClassVar = {**ContrastConfig.ranges, "from 0 to below 1": ("distillation",)}

    def check(self, where: str, recipe: Recipe) -> None:
        """Refuse what is not between two inputs."""
        super().check(where, recipe)
        if len(self.between) != 2 or self.loss != "info_nce" or self.words != {"item": 1.0}:
            raise UsageError(f"{where}: momentum-distillation is between two inputs, by info_nce of items")


class MomentumDistillation(QueuedContrast):
    """See `MomentumDistillationConfig`."""

    Config = MomentumDistillationConfig
    config: MomentumDistillationConfig

    def _against(
        self, step: Step, query: Tensor, keys: tuple[Tensor, Tensor], pairing: Pairing, sides: tuple[Side, Side]
    ) -> Tensor:
        temperature, alpha = self.temperature(), self.config.distillation
        loss = info_nce(query, keys[1], pairing, temperature=temperature)
        if not alpha:
            return loss
        apart = same(*(side.of("patient") for side in sides)).but(linked(*sides))
        teaching = float(temperature if isinstance(temperature, float) else temperature.detach())
        soft = softened(*keys, temperature=teaching).without(apart)
        return alpha * info_nce(query, keys[1], soft, temperature=temperature) + (1 - alpha) * loss
