"""COMET's idea carried to volumes: contrast at every level of patient > study > series > slice.

Views: two random changes of every patch. Encoder: any image encoder. Levels: those of the configuration, each with its
weight. Loss: InfoNCE of pooled embeddings by the ids of each level, as COMET's of `identity: pooled`.
"""

from collections.abc import Collection, Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from medcl.contrast.core.gather import Group, encode_in_chunks
from medcl.contrast.losses.info_nce import info_nce_levels
from medcl.contrast.pairings.pairs import itself, same
from medcl.errors import UsageError
from medcl.modality.spatial.encoders import ImageEncoder
from medcl.modality.views import Compose
from medcl.networks.heads import ProjectionHead
from medcl.pretrain.loop import laid_out
from medcl.pretrain.shared_views import draw
from medcl.pretrain.volume_config import HierarchyConfig


def switched_on(levels: Mapping[str, float], known: Collection[str], field: str) -> dict[str, float]:
    """The levels with a weight above zero.

    Args:
        levels: weight of each.
        known: names that a level may have.
        field: of the configuration, for messages.

    Raises:
        UsageError: an unknown level, a negative weight, or none above zero.
    """
    unknown = [level for level in levels if level not in known]
    if unknown:
        raise UsageError(f"{field}: {', '.join(unknown)} is not a level; the levels are {', '.join(known)}")
    if any(weight < 0 for weight in levels.values()):
        raise UsageError(f"{field}: a weight is negative")
    on = {level: weight for level, weight in levels.items() if weight > 0}
    if not on:
        raise UsageError(f"{field}: no level has a weight above zero")
    return on


def check_known(levels: Collection[str], there: Collection[str], field: str) -> None:
    """Refuse levels of which an archive has no ids.

    Raises:
        UsageError: with their names.
    """
    missing = [level for level in levels if level not in there]
    if missing:
        raise UsageError(f"{field}: the archive has no ids for {', '.join(missing)}; it has {', '.join(there)}")


def by_id(z: Tensor, ids: Mapping[str, Tensor], *, temperature: float, group: Group) -> dict[str, Tensor]:
    """InfoNCE over both views of a batch, in which every view of the same id is a positive, for each level.

    Args:
        z: (2 N, dim) projections: all first views, then all second ones.
        ids: {level: (N,) int64}.
        temperature: of the softmax.
        group: processes that share the batch.

    Returns:
        One scalar a level.
    """
    return info_nce_levels(
        z,
        z,
        {level: same(torch.cat([own, own])) for level, own in ids.items()},
        without=itself(z),
        temperature=temperature,
        group=group,
    )


LEVELS = ("patient", "study", "series", "volume", "slice")


def level_weights(config: HierarchyConfig) -> dict[str, float]:
    """The weight of each level that is on.

    Raises:
        UsageError: an unknown level, a negative weight, or none above zero.
    """
    return switched_on(config.levels, LEVELS, "hierarchy.levels")


class Hierarchy(nn.Module):
    """The method: a batch in, one loss a level out.

    Args:
        encoder: any image encoder.
        config: levels and projection.
        views: random changes of a patch.
        shared: the batch is shared by all processes.
        chunk: views that pass the encoder at a time; 0 is all of them.
    """

    def __init__(
        self, encoder: ImageEncoder, config: HierarchyConfig, views: Compose, *, shared: bool = False, chunk: int = 0
    ) -> None:
        super().__init__()
        self.encoder, self.config, self.views = encoder, config, views
        self.shared, self.chunk = shared, chunk
        self.levels = tuple(level_weights(config))
        self.head = ProjectionHead(encoder.config.dim, config.hidden, config.projection)

    def forward(self, batch: dict[str, Any], generator: torch.Generator) -> dict[str, Tensor]:
        """The loss of each level.

        Args:
            batch: `x` (B, C, ...) and `ids` {level: (B,) int64}.
            generator: on the CPU; draws the views.

        Returns:
            One scalar a level that is on, without its weight.
        """
        x, group = batch["x"], dist.group.WORLD if self.shared else None
        params = draw(self.views, x, 2, generator, group)
        images = laid_out(self.views.apply(x.repeat(2, *(1,) * (x.ndim - 1)), params))
        dense = encode_in_chunks(self.encoder, images, chunk=self.chunk or len(images))
        z = self.head(self.encoder.pool(dense))
        ids = {level: batch["ids"][level] for level in self.levels}
        return by_id(z, ids, temperature=self.config.temperature, group=group)
