"""DenseCL (Wang et al., CVPR 2021): MoCo on pooled embeddings and on the cells of feature maps.

Views: two random changes of every patch. Encoder: any image encoder, and its momentum copy. Levels: the patch, and the
cell, which corresponds to the most similar one of the other view. Loss: InfoNCE against a queue.
"""

from copy import deepcopy
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from medcl.contrast.core.gather import Group, gather, mean
from medcl.contrast.core.momentum import MomentumQueue, momentum_update
from medcl.contrast.losses.dense import corresponding, dense
from medcl.contrast.losses.info_nce import info_nce
from medcl.contrast.pairings.pairs import same
from medcl.modality.spatial.encoders import ImageEncoder
from medcl.modality.views import Compose
from medcl.networks.heads import ProjectionHead
from medcl.pretrain.loop import laid_out
from medcl.pretrain.shared_views import draw, rows_before
from medcl.pretrain.volume_config import DenseConfig

EARLIER = -1
"""The place in the batch of what comes from an earlier one."""


class DenseBranch(nn.Module):
    """An encoder with a head for pooled embeddings and one for cells."""

    def __init__(self, encoder: ImageEncoder, config: DenseConfig) -> None:
        super().__init__()
        self.encoder = encoder
        self.pooled = ProjectionHead(encoder.config.dim, config.hidden, config.projection)
        self.cells = ProjectionHead(encoder.config.dim, config.hidden, config.projection)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features (B, S, dim), pooled projections (B, projection), projected cells (B, S, projection)."""
        features: Tensor = self.encoder(images)
        return features, self.pooled(self.encoder.pool(features)), self.cells(features)


class DenseCL(nn.Module):
    """The method: a batch in, the losses `global` and `dense` out.

    Unlike in the paper, keys of the same batch are negatives too, and another view of the same slice, in the batch or
    in the queue, is no negative: the queue of an archive of a hundred volumes soon holds every slice.

    Args:
        encoder: any image encoder.
        config: queue, momentum, temperature, heads.
        views: random changes of a patch.
        shared: the batch is shared by all processes.
    """

    def __init__(self, encoder: ImageEncoder, config: DenseConfig, views: Compose, *, shared: bool = False) -> None:
        super().__init__()
        self.config, self.views, self.shared = config, views, shared
        self.student = DenseBranch(encoder, config)
        self.teacher = deepcopy(self.student).requires_grad_(False)
        self.queue = MomentumQueue(config.queue, config.projection, ("slice", "place"))
        self.cell_queue = MomentumQueue(config.queue, config.projection, ("slice", "place"))

    @property
    def encoder(self) -> ImageEncoder:
        """What is trained to be kept."""
        return self.student.encoder

    @property
    def _group(self) -> Group:
        return dist.group.WORLD if self.shared else None

    def forward(self, batch: dict[str, Any], generator: torch.Generator) -> dict[str, Tensor]:
        """Both losses, without their weights.

        Args:
            batch: `x` (B, C, ...) and `ids` with `slice`.
            generator: on the CPU; draws the views.
        """
        x, group = batch["x"], self._group
        params = draw(self.views, x, 2, generator, group)
        first, second = self.views.apply(x.repeat(2, *(1,) * (x.ndim - 1)), params).chunk(2)
        before, _ = rows_before(len(x), x, group)
        own = {
            "slice": batch["ids"]["slice"],
            "place": torch.arange(len(x), device=x.device) + before,
        }
        features, query, cells = self.student(laid_out(first))
        with torch.no_grad():
            momentum_update(self.student, self.teacher, self.config.momentum)
            key_features, key, key_cells = self.teacher(laid_out(second))
            key, pooled_cells = (gather(one, group) for one in (key, key_cells.mean(dim=1)))
            everyone = {name: gather(ids, group) for name, ids in own.items()}
        own_key = corresponding(features, key_features)
        candidates, ids = self.queue.extend(key.float(), everyone)
        positive = same(own["place"], ids["place"])
        pairing = positive.without(same(own["slice"], ids["slice"]).but(positive))
        scale = self.config.temperature
        losses = {"global": info_nce(query, candidates, pairing, temperature=scale)}
        negatives, ids = self.cell_queue.extend(pooled_cells.float(), everyone)
        one_slice = same(own["slice"], ids["slice"]) | same(own["place"], ids["place"])
        losses["dense"] = dense(cells, key_cells, own_key, negatives, pairing=one_slice, temperature=scale)
        # Every process holds the queue of all, so that none may gather it again.
        earlier = {"slice": everyone["slice"], "place": torch.full_like(everyone["place"], EARLIER)}
        self.queue.enqueue(key, earlier)
        self.cell_queue.enqueue(pooled_cells, earlier)
        count = torch.tensor(float(len(x)), device=x.device)
        return {name: mean(loss * count, count, group) for name, loss in losses.items()}
