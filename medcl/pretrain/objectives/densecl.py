"""DenseCL (Wang et al., CVPR 2021): MoCo on pooled embeddings and on the cells of feature maps."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from medcl.contrast.core.gather import gather, mean, rows_before
from medcl.contrast.core.momentum import MomentumQueue, momentum_update
from medcl.contrast.losses.dense import corresponding, dense
from medcl.contrast.losses.info_nce import info_nce
from medcl.contrast.pairings.pairs import same
from medcl.networks.heads import ProjectionHead
from medcl.pretrain.objectives.base import Objective, OneInputConfig, Parts, dim_of, follower
from medcl.pretrain.objectives.positives import EARLIER
from medcl.pretrain.passes import Step
from medcl.pretrain.views import Wanted


@dataclass(frozen=True)
class DenseCLConfig(OneInputConfig):
    """Contrast of pooled embeddings and of cells with a queue; a cell corresponds to the most similar one.

    Unlike in the paper, keys of the same batch are negatives too, and another view of the same slice, in the batch or
    in the queue, is no negative: the queue of an archive of a hundred volumes soon holds every slice.

    Args:
        share: of the dense loss; the loss of pooled embeddings gets 1 - share.
        temperature: of both.
        queue: embeddings of earlier batches that are contrasted with.
        momentum: of the second encoder; 0.999 in the paper.
        hidden: width of the hidden layer of the projection heads.
        projection: width of what is compared.
    """

    kind: str = "densecl"
    share: float = 0.5
    temperature: float = 0.2
    queue: int = 4096
    momentum: float = 0.99
    hidden: int = 256
    projection: int = 128
    chunks: ClassVar[bool] = False
    ranges: ClassVar = {"from 0 to 1": ("momentum", "share")}

    @property
    def losses(self) -> dict[str, float]:
        """Of pooled embeddings and of cells."""
        return {"global": 1 - self.share, "dense": self.share}


class DenseCL(Objective):
    """See `DenseCLConfig`."""

    Config = DenseCLConfig
    config: DenseCLConfig

    def __init__(self, config: DenseCLConfig, parts: Parts) -> None:
        super().__init__(config, parts)
        dim = dim_of(parts.encoders[config.of])
        self.pooled = ProjectionHead(dim, config.hidden, config.projection)
        self.cells = ProjectionHead(dim, config.hidden, config.projection)
        self.pooled_keys, self.cell_keys = follower(self.pooled), follower(self.cells)
        self.follows = config.momentum
        self.finest = "slice" if "slice" in parts.id_names else "item" if "item" in parts.id_names else "sample"
        self.queue = MomentumQueue(config.queue, config.projection, ("slice", "place"))
        self.cell_queue = MomentumQueue(config.queue, config.projection, ("slice", "place"))

    @property
    def wanted(self) -> dict[str, Wanted]:
        """Two views, of which the first is the query."""
        return {self.config.of: Wanted(encoded=1)}

    def forward(self, step: Step) -> dict[str, Tensor]:
        """Both losses."""
        config, group = self.config, step.group
        seen = step.see(config.of, self.wanted[config.of])
        before, _ = rows_before(seen.n, seen.x, group)
        own = {"slice": seen.ids[self.finest], "place": torch.arange(seen.n, device=seen.x.device) + before}
        features = seen.dense[: seen.n]
        query, cells = seen.project(self.pooled, 1), seen.project(self.cells, 1, "dense")
        with torch.no_grad():
            for trained, follows in ((self.pooled, self.pooled_keys), (self.cells, self.cell_keys)):
                if self.training:
                    momentum_update(trained, follows, config.momentum)
            keys = seen.followed(1, 1)
            key, key_cells = self.pooled_keys(keys.pooled), self.cell_keys(keys.dense)
            key, pooled_cells = (gather(one, group) for one in (key, key_cells.mean(dim=1)))
            everyone = {name: gather(ids, group) for name, ids in own.items()}
        own_key = corresponding(features, keys.dense)
        candidates, ids = self.queue.extend(key.float(), everyone)
        positive = same(own["place"], ids["place"])
        pairing = positive.without(same(own["slice"], ids["slice"]).but(positive))
        scale = config.temperature
        losses = {"global": info_nce(query, candidates, pairing, temperature=scale)}
        negatives, ids = self.cell_queue.extend(pooled_cells.float(), everyone)
        one_slice = same(own["slice"], ids["slice"]) | same(own["place"], ids["place"])
        losses["dense"] = dense(cells, key_cells, own_key, negatives, pairing=one_slice, temperature=scale)
        if self.training:
            # Every process holds the queue of all, so that none may gather it again.
            earlier = {"slice": everyone["slice"], "place": torch.full_like(everyone["place"], EARLIER)}
            self.queue.enqueue(key, earlier)
            self.cell_queue.enqueue(pooled_cells, earlier)
        count = torch.tensor(float(seen.n), device=seen.x.device)
        return {name: mean(loss * count, count, group) for name, loss in losses.items()}
