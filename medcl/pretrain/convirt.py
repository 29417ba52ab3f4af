"""ConVIRT (Zhang et al., MLHC 2022): records contrasted with their reports, both ways.

Views: a random change of each picture, patch or window; of a report a sentence, a section or the whole, drawn anew.
Encoders: any two. Pairing: who was drawn together; equal texts are positive, other records of the patient left out.
Loss: InfoNCE both ways (or SigLIP), and perhaps that of words with cells.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from medcl.networks.joint import JointEncoder
from medcl.pretrain.joint_config import JointConfig
from medcl.pretrain.pair_loss import PairLoss
from medcl.pretrain.teacher import Teacher
from medcl.pretrain.towers import Towers


class ConVIRT(nn.Module):
    """The method: a batch in, the losses `global` and, where it is on, `local` out.

    Args:
        towers: views, the two encoders and their heads.
        config: of the loss.
        names: of the ids of a sample.
        shared: the batch is shared by all processes.
    """

    def __init__(self, towers: Towers, config: JointConfig, names: tuple[str, ...], *, shared: bool = False) -> None:
        super().__init__()
        self.towers, self.shared = towers, shared
        a, b = towers.joint.sides
        self.pair = PairLoss(a, b, config)
        self.teacher = Teacher(towers, config, names) if config.queue or config.distillation else None

    @property
    def encoder(self) -> JointEncoder:
        """What is trained to be kept."""
        return self.towers.joint

    def forward(self, batch: dict[str, Any], generator: torch.Generator) -> dict[str, Tensor]:
        """The losses, without their weights.

        Args:
            batch: of `Pairs`, complete.
            generator: on the CPU; draws the views.
        """
        group = dist.group.WORLD if self.shared else None
        seen = self.towers.see(batch, generator, group)
        keys = self.teacher(self.encoder, seen, group) if self.teacher is not None else None
        losses: dict[str, Tensor] = self.pair(self.towers(seen, cells=self.pair.local), keys, group)
        return losses
