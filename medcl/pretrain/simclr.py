"""SimCLR (Chen et al., ICML 2020) on one modality, to measure what reports add.

Views: two random changes of every image, patch or window. Encoder: any. Pairing: the two views of a record; other
records of the patient are left out. Loss: InfoNCE over the views of the batch.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from medcl.contrast.losses.info_nce import info_nce
from medcl.contrast.pairings.pairs import itself, same
from medcl.pretrain.convirt import Temperature
from medcl.pretrain.multimodal_config import MultimodalConfig
from medcl.pretrain.towers import Towers


class SimCLR(nn.Module):
    """The method: a batch in, the loss `global` out.

    Args:
        towers: views, the encoder and its head.
        config: of the temperature.
        shared: the batch is shared by all processes.
    """

    def __init__(self, towers: Towers, config: MultimodalConfig, *, shared: bool = False) -> None:
        super().__init__()
        self.towers, self.shared = towers, shared
        (self.kind,) = towers.joint.sides
        self.temperature = Temperature(config.temperature, config.learn_temperature)

    @property
    def encoder(self) -> nn.Module:
        """What is trained to be kept: without its head, as any encoder of this kind."""
        return self.towers.joint.side(self.kind)

    def forward(self, batch: dict[str, Any], generator: torch.Generator) -> dict[str, Tensor]:
        """The loss.

        Args:
            batch: of `Pairs` of one side.
            generator: on the CPU; draws the views.
        """
        group = dist.group.WORLD if self.shared else None
        seen = self.towers.see(batch, generator, group, copies=2)
        z = self.towers(seen)[self.kind].z
        item, patient = (torch.cat([batch["ids"][level]] * 2) for level in ("item", "patient"))
        out = itself(z) | same(patient).but(same(item))
        return {"global": info_nce(z, z, same(item).without(out), temperature=self.temperature(), group=group)}
