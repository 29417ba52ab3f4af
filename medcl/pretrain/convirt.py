"""ConVIRT (Zhang et al., MLHC 2022): records contrasted with their reports, both ways.

Views: a random change of each image, patch or window; of a report a sentence, a section or the whole, drawn anew.
Encoders: any two. Pairing: who was drawn together; equal texts are positive, other records of the patient left out.
Loss: InfoNCE both ways (or SigLIP), and perhaps that of words with cells.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F

from medcl.contrast.core.gather import Group, gather, mean
from medcl.contrast.losses.clip import clip
from medcl.contrast.losses.info_nce import info_nce
from medcl.contrast.losses.siglip import siglip
from medcl.contrast.pairings.neighbours import softened
from medcl.contrast.similarities.late import gloria
from medcl.networks.multimodal import REPORT, MultimodalEncoder
from medcl.pretrain.multimodal_config import MultimodalConfig
from medcl.pretrain.teacher import Keys, Teacher
from medcl.pretrain.towers import EmbeddedViews, Towers, apart, partners

LOWEST = 0.01
"""Temperature, below which a learned one does not fall: the cap of the released CLIP."""
BIAS = -10.0
"""Of SigLIP, where it begins."""


class Temperature(nn.Module):
    """A temperature that may be learned.

    What is learned is the logarithm of its change, so that weight decay draws it to where it began and not to 1.

    Args:
        initial: value at the start of training.
        learn: whether it is trained.
    """

    def __init__(self, initial: float, learn: bool) -> None:
        super().__init__()
        self.initial = initial
        self.change = nn.Parameter(torch.zeros(())) if learn else None

    def forward(self) -> float | Tensor:
        """The temperature now."""
        return self.initial if self.change is None else (self.initial * self.change.exp()).clamp(min=LOWEST)


class PairLoss(nn.Module):
    """The loss of two modalities.

    With queues and distillation, each direction is

        L(a -> b) = alpha CE(q_i, p_i) + (1 - alpha) CE(y_i, p_i)
        p_i = softmax over candidates j of z_a,i . k_b,j / t        q_i = softmax of k_a,i . k_b,j / t

    with z the projections, k those of the slowly following copies (`Teacher`), the candidates j those of the batch and
    of the queue, y_i the partners in equal shares and alpha `distillation`. This is momentum distillation as in ALBEF
    (Li et al., NeurIPS 2021), with the two queues of MSD, whose own formula is not published. Pairs of one patient who
    do not belong together are in neither softmax p nor in the targets, which add up to 1 without them.

    Args:
        a: a kind.
        b: another kind; where one is `report`, this one.
        config: of the loss.
    """

    def __init__(self, a: str, b: str, config: MultimodalConfig) -> None:
        super().__init__()
        self.a, self.b, self.config = a, b, config
        self.temperature = Temperature(config.temperature, config.learn_temperature)
        learns_bias = config.loss == "siglip" and config.learn_temperature
        # As with the temperature: weight decay draws it to where it began.
        self.bias = nn.Parameter(torch.zeros(())) if learns_bias else None
        self.local = config.local > 0 and b == REPORT
        self._similarity = gloria(over="mean")

    def forward(
        self, embedded: dict[str, EmbeddedViews], keys: dict[str, Keys] | None, group: Group
    ) -> dict[str, Tensor]:
        """The losses, without their weights.

        Args:
            embedded: {kind: embeddings} of the batch.
            keys: {kind: keys} of the slowly following copies, where there are any.
            group: processes that share the batch.

        Returns:
            `global`, and `local` where there is such a term.
        """
        a, b = embedded[self.a], embedded[self.b]
        losses = {"global": self._pooled(a, b, group) if keys is None else self._with_keys(a, b, keys, group)}
        if self.local:
            assert a.cells is not None
            assert b.cells is not None
            assert b.there is not None
            losses["local"] = clip(
                a.cells,
                _of_one_length(b.cells, b.there, group),
                partners(self.a, self.b, a.ids, b.ids),
                weight=0.5,
                temperature=self.config.temperature,
                similarity=self._similarity,
                group=group,
            )
        return losses

    def _pooled(self, a: EmbeddedViews, b: EmbeddedViews, group: Group) -> Tensor:
        pairing, temperature = partners(self.a, self.b, a.ids, b.ids), self.temperature()
        if self.config.loss == "siglip":
            bias = BIAS if self.bias is None else BIAS + self.bias
            return siglip(a.z, b.z, pairing, temperature=temperature, bias=bias, group=group)
        return clip(a.z, b.z, pairing, weight=self.config.weight, temperature=temperature, group=group)

    def _with_keys(self, a: EmbeddedViews, b: EmbeddedViews, keys: dict[str, Keys], group: Group) -> Tensor:
        there = self._against(self.a, a, keys[self.a], self.b, keys[self.b], group)
        back = self._against(self.b, b, keys[self.b], self.a, keys[self.a], group)
        return self.config.weight * there + (1 - self.config.weight) * back

    def _against(self, kind: str, own: EmbeddedViews, own_keys: Keys, other: str, keys: Keys, group: Group) -> Tensor:
        """One direction, against the candidates of all processes, which every process holds."""
        pairing = partners(kind, other, own.ids, keys.ids)
        temperature, alpha = self.temperature(), self.config.distillation
        loss = info_nce(own.z, keys.z, pairing, temperature=temperature)
        if alpha:
            teaching = float(temperature if isinstance(temperature, float) else temperature.detach())
            taught = softened(own_keys.own, keys.z, temperature=teaching)
            soft = taught.without(apart(kind, other, own.ids, keys.ids))
            loss = alpha * info_nce(own.z, keys.z, soft, temperature=temperature) + (1 - alpha) * loss
        count = torch.tensor(float(len(own.z)), device=own.z.device)
        return mean(loss * count, count, group)


def _of_one_length(words: Tensor, there: Tensor, group: Group) -> tuple[Tensor, Tensor]:
    """Words (n, Q, width) and where they are (n, Q), with as many places in all processes."""
    if group is None:
        return words, there
    longest = int(gather(torch.tensor([words.shape[1]], device=words.device), group).max())
    more = longest - words.shape[1]
    return F.pad(words, (0, 0, 0, more)), F.pad(there, (0, more))


class ConVIRT(nn.Module):
    """The method: a batch in, the losses `global` and, where it is on, `local` out.

    Args:
        towers: views, the two encoders and their heads.
        config: of the loss.
        names: of the ids of a sample.
        shared: the batch is shared by all processes.
    """

    def __init__(
        self, towers: Towers, config: MultimodalConfig, names: tuple[str, ...], *, shared: bool = False
    ) -> None:
        super().__init__()
        self.towers, self.shared = towers, shared
        a, b = towers.joint.sides
        self.pair = PairLoss(a, b, config)
        self.teacher = Teacher(towers, config, names) if config.queue or config.distillation else None

    @property
    def encoder(self) -> MultimodalEncoder:
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
