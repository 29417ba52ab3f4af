"""COMET: contrast at every level of the hierarchy patient > trial > sample > observation (Wang et al., NeurIPS 2023).

Views: masks of time steps, and whatever else the recipe switches on. Encoder: any signal encoder. Levels: those of the
configuration, each with its weight. Loss: `medcl.contrast`.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from medcl.contrast.core.gather import Group, encode_in_chunks
from medcl.contrast.losses.hierarchical import hierarchical
from medcl.contrast.losses.identity import identities
from medcl.modality.signal.encoders import SignalEncoder
from medcl.modality.views import Compose
from medcl.networks.heads import ProjectionHead
from medcl.pretrain.config import CometConfig
from medcl.pretrain.hierarchy import by_id, switched_on
from medcl.pretrain.shared_views import draw

WITHIN = ("sample", "observation")
BY_ID = ("patient", "session", "trial")


def level_weights(config: CometConfig) -> dict[str, float]:
    """The weight of each level that is on, as the losses are summed.

    `weights: released-code` gives patient, session and trial weight 1, as the published repository does: its factors
    multiply only the sample and observation losses, and a factor of 0 switches a level off.

    Raises:
        UsageError: an unknown level, a negative weight, or none above zero.
    """
    on = switched_on(config.levels, (*BY_ID, *WITHIN), "comet.levels")
    if config.weights == "released-code":
        return {level: 1.0 if level in BY_ID else weight for level, weight in on.items()}
    return on


class Comet(nn.Module):
    """The method: a batch in, one loss a level out.

    Args:
        encoder: any signal encoder.
        config: levels and how they are compared.
        views: random changes of a window.
        shared: the batch is shared by all processes: their samples are contrasted with one another, and the views are
            those of one process with the whole batch.
        chunk: views that pass the encoder at a time; 0 is all of them.
    """

    def __init__(
        self, encoder: SignalEncoder, config: CometConfig, views: Compose, *, shared: bool = False, chunk: int = 0
    ) -> None:
        super().__init__()
        self.shared = shared
        self.chunk = chunk
        self.encoder = encoder
        self.config = config
        self.views = views
        levels = level_weights(config)
        self.by_id = tuple(level for level in BY_ID if level in levels)
        self.within = tuple(level for level in WITHIN if level in levels)
        pooled = bool(self.by_id) and config.identity == "pooled"
        self.head: nn.Module | None = (
            ProjectionHead(encoder.config.dim, encoder.config.dim, config.projection) if pooled else None
        )

    def forward(self, batch: dict[str, Any], generator: torch.Generator) -> dict[str, Tensor]:
        """The loss of each level.

        Args:
            batch: `x` (B, C, T) and `ids` {level: (B,) int64}.
            generator: on the CPU; draws the views.

        Returns:
            One scalar a level that is on, without its weight.
        """
        x, ids = batch["x"], batch["ids"]
        if self.config.views == "shared":
            first, second = self._two_views(x, generator, masked=True)
            return {**self._by_id(first, second, ids, self.by_id), **self._within(first, second, self.within)}
        losses: dict[str, Tensor] = {}
        for level in self.by_id:
            losses |= self._by_id(*self._two_views(x, generator, masked=False), ids, (level,))
        for level in self.within:
            losses |= self._within(*self._two_views(x, generator, masked=True), (level,))
        return losses

    @property
    def _group(self) -> Group:
        return dist.group.WORLD if self.shared else None

    def _two_views(self, x: Tensor, generator: torch.Generator, *, masked: bool) -> tuple[Tensor, Tensor]:
        """Two views of each window through the encoder in one pass, (B, T', dim) each."""
        twice = torch.cat([x, x])
        params = draw(self.views, x, 2, generator, self._group)
        changed = self.views.apply(twice, params)
        kept = self.views.keep(params) if masked else None
        first, second = encode_in_chunks(self.encoder, changed, kept, chunk=self.chunk or len(twice)).chunk(2)
        return first, second

    def _by_id(
        self, first: Tensor, second: Tensor, ids: dict[str, Tensor], levels: tuple[str, ...]
    ) -> dict[str, Tensor]:
        if not levels:
            return {}
        chosen = {level: ids[level] for level in levels}
        if self.head is None:
            return identities(first, second, chosen, temperature=self.config.temperature, group=self._group)
        z = self.head(self.encoder.pool(torch.cat([first, second])))
        return by_id(z, chosen, temperature=self.config.temperature, group=self._group)

    def _within(self, first: Tensor, second: Tensor, levels: tuple[str, ...]) -> dict[str, Tensor]:
        return hierarchical(first, second, levels=levels, group=self._group) if levels else {}
