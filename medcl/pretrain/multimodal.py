"""Several modalities at once: two by two (CLIP), each with one anchor (MoRE), or all together (Symile).

Views: as those of ConVIRT. Encoders: one a modality. Pairing: who was drawn together. Loss: the sum of that of ConVIRT
over pairs of modalities, or Symile's.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from medcl.contrast.core.gather import Group
from medcl.contrast.losses.symile import symile
from medcl.networks.multimodal import MultimodalEncoder
from medcl.pretrain.convirt import PairLoss, Temperature
from medcl.pretrain.multimodal_config import MultimodalConfig
from medcl.pretrain.teacher import Teacher
from medcl.pretrain.towers import EmbeddedViews, Towers


def pairs_of(kinds: tuple[str, ...], config: MultimodalConfig) -> tuple[tuple[str, str], ...]:
    """Which modalities are contrasted two by two; none for `symile`.

    Args:
        kinds: of the sides, reports last.
        config: of the loss.
    """
    every = tuple((a, b) for place, a in enumerate(kinds) for b in kinds[place + 1 :])
    if config.loss == "symile":
        return ()
    return tuple(pair for pair in every if config.anchor in pair) if config.loss == "anchored" else every


def losses_of(kinds: tuple[str, ...], config: MultimodalConfig) -> dict[str, float]:
    """The losses that the method gives, and the weight of each."""
    if config.loss == "symile":
        return {"joint": 1.0}
    pairs = pairs_of(kinds, config)
    weights = {f"{a}-{b}": 1.0 for a, b in pairs}
    return weights | {f"{a}-{b}-local": config.local for a, b in pairs if b == "report" and config.local > 0}


class Multimodal(nn.Module):
    """The method: a batch in, one loss a pair of modalities (`image-report`), or the loss `joint`, out.

    Records may lack modalities. Two by two, a sample that lacks one of both is no anchor of this pair, and a negative
    of the others; by Symile, it is no positive, and a negative as far as it goes. Symile's negatives are tuples of
    places in the batch: with one record a patient none is of the same patient, but equal texts may be negatives.

    Args:
        towers: views, encoders and heads.
        config: of the loss.
        names: of the ids of a sample.
        shared: the batch is shared by all processes.
    """

    def __init__(
        self, towers: Towers, config: MultimodalConfig, names: tuple[str, ...], *, shared: bool = False
    ) -> None:
        super().__init__()
        self.towers, self.shared = towers, shared
        self.kinds = tuple(towers.joint.sides)
        pairs = pairs_of(self.kinds, config)
        self.pairs = nn.ModuleDict({f"{a}-{b}": PairLoss(a, b, config) for a, b in pairs})
        self.temperature = None if pairs else Temperature(config.temperature, config.learn_temperature)
        self.cells = any(name.endswith("-local") for name in losses_of(self.kinds, config))
        self.teacher = Teacher(towers, config, names) if config.queue or config.distillation else None

    @property
    def encoder(self) -> MultimodalEncoder:
        """What is trained to be kept."""
        return self.towers.joint

    def forward(self, batch: dict[str, Any], generator: torch.Generator) -> dict[str, Tensor]:
        """The losses, without their weights.

        Args:
            batch: of `Pairs`.
            generator: on the CPU; draws the views, and Symile's negatives.
        """
        group = dist.group.WORLD if self.shared else None
        seen = self.towers.see(batch, generator, group)
        keys = self.teacher(self.encoder, seen, group) if self.teacher is not None else None
        embedded: dict[str, EmbeddedViews] = self.towers(seen, cells=self.cells)
        if self.temperature is not None:
            return {"joint": self._together(embedded, batch["present"], generator, group)}
        losses: dict[str, Tensor] = {}
        for name, module in self.pairs.items():
            assert isinstance(module, PairLoss)
            if module.a in embedded and module.b in embedded:
                own: dict[str, Tensor] = module(embedded, keys, group)
            else:
                # No sample of the batch has one of the two.
                nothing = next(iter(embedded.values())).z.sum() * 0
                own = {"global": nothing, **({"local": nothing} if module.local else {})}
            losses |= {name if one == "global" else f"{name}-{one}": loss for one, loss in own.items()}
        return losses

    def _together(
        self, embedded: dict[str, EmbeddedViews], present: dict[str, Tensor], generator: torch.Generator, group: Group
    ) -> Tensor:
        assert self.temperature is not None
        like = next(iter(embedded.values())).z
        modalities = []
        for kind in self.kinds:
            there = present[kind]
            z = embedded[kind].z if kind in embedded else like[:0]
            modalities.append(like.new_zeros(len(there), like.shape[1]).index_put((there.nonzero()[:, 0],), z))
        has = torch.stack([present[kind] for kind in self.kinds], dim=1)
        return symile(modalities, temperature=self.temperature(), present=has, generator=generator, group=group)
