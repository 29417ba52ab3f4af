"""Contrast with embeddings of earlier batches, by slowly following encoders (MoCo)."""

from collections.abc import Mapping
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medcl.contrast.core.gather import Group, gather, mean, rows_before
from medcl.contrast.core.momentum import MomentumQueue, momentum_update
from medcl.contrast.pairings.neighbours import without_hardest
from medcl.contrast.pairings.pairs import Pairing, matrix
from medcl.pretrain.objectives.base import Parts, dim_of, follower
from medcl.pretrain.objectives.contrast import LateContrast
from medcl.pretrain.objectives.contrast_config import ContrastConfig
from medcl.pretrain.objectives.positives import EARLIER, PLACE, Side, pair
from medcl.pretrain.passes import Seen, Step
from medcl.pretrain.views import Wanted

Keys = tuple[Tensor, Tensor, dict[str, Tensor]]
"""Own keys (n, dim), those of all processes and of the queue (M, dim), and the ids of the latter."""


class QueuedContrast(LateContrast):
    """Queries of the trained encoder against keys of its slowly following copy, of this batch and earlier ones.

    Within an input the first view is the query and the second one the key (He et al., MoCo, CVPR 2020); between two
    inputs each is the query of the other.
    """

    def __init__(self, config: ContrastConfig, parts: Parts) -> None:
        super().__init__(config, parts)
        self.follows = config.negatives.momentum
        self.followers = nn.ModuleDict({name: follower(self.head(name)) for name in self.names})
        more = [word for word in config.columns if word not in parts.id_names]
        self.levels: tuple[str, ...] = (*parts.id_names, *more, *([PLACE] if config.of else []))
        dim = projected_dim(self.head(self.names[0]), dim_of(parts.encoders[self.names[0]]))
        size = config.negatives.queue
        self.queues = nn.ModuleDict({name: MomentumQueue(size, dim, self.levels) for name in self.names if size})

    @property
    def wanted(self) -> dict[str, Wanted]:
        """As without a queue; within an input, the first view is the query."""
        found = super().wanted
        return {name: replace(one, encoded=1) if self.config.of else one for name, one in found.items()}

    def forward(self, step: Step) -> dict[str, Tensor]:
        """The loss, under the empty name."""
        for name in self.names if self.training else ():
            momentum_update(self.head(name), self.followers[name], self.config.negatives.momentum)
        if self.config.of:
            of = self.config.of
            return {"": self._one_way(step, of, of, {of: self._keys(step, of, 1)})}
        a, b = self.names
        share = float(getattr(self.config, "share", 0.5))
        keys = {name: self._keys(step, name, 0) for name in self.names}
        return {"": share * self._one_way(step, a, b, keys) + (1 - share) * self._one_way(step, b, a, keys)}

    @torch.no_grad()
    def _keys(self, step: Step, name: str, block: int) -> Keys:
        """The keys of one view of an input; they enter the queue."""
        seen = step.see(name, self.wanted[name])
        source = "bottleneck" if self.head_config.map else "pooled"
        own = cast(Tensor, self.followers[name](getattr(seen.followed(block, 1), source)))
        own = F.normalize(own.float(), dim=-1)
        z = gather(own, step.group)
        ids = {level: gather(one, step.group) for level, one in self._ids(step, seen).items()}
        if name not in self.queues:
            return own, z, ids
        queue = cast(MomentumQueue, self.queues[name])
        extended = queue.extend(z, ids)
        if self.training:
            earlier = {PLACE: torch.full_like(ids[PLACE], EARLIER)} if PLACE in ids else {}
            # Every process holds the queue of all, so that none may gather it again.
            queue.enqueue(z, ids | earlier)
        return own, *extended

    def _ids(self, step: Step, seen: Seen) -> dict[str, Tensor]:
        """Those of the samples of this process that the queue holds."""
        before, _ = rows_before(seen.n, seen.x, step.group)
        own = torch.arange(seen.n, device=seen.x.device) + before
        return {level: own if level == PLACE else seen.ids[level] for level in self.levels}

    def _one_way(self, step: Step, name: str, other: str, keys: Mapping[str, Keys]) -> Tensor:
        seen = step.see(name, self.wanted[name])
        _, candidates, ids = keys[other]
        query = F.normalize(self._z(seen, name, 1).float(), dim=-1)
        sides = Side(self._ids(step, seen), 1, seen.n, (name,)), Side(ids, 1, len(candidates), (other,))
        pairing = pair(self.config, *sides, None)
        if not self.config.negatives.batch:
            pairing = _queue_alone(pairing, query, len(candidates), step.group)
        if self.config.negatives.drop:
            pairing = without_hardest(pairing, query, candidates, self.config.negatives.drop)
        loss = self._against(step, query, (keys[name][0], candidates), pairing, sides)
        number = torch.tensor(float(seen.n), device=query.device)
        return mean(loss * number, number, step.group)

    def _against(
        self, step: Step, query: Tensor, keys: tuple[Tensor, Tensor], pairing: Pairing, sides: tuple[Side, Side]
    ) -> Tensor:
        """The loss of queries; `keys` are their own (n, dim) and the candidates (M, dim), which every process holds."""
        return self._loss(self._loss.function, self._given(step, a=query, b=keys[1], pairing=pairing), None)


def projected_dim(head: nn.Module, dim: int) -> int:
    """Width of what a head gives."""
    layers = [one for one in head.modules() if isinstance(one, nn.Linear)]
    return int(layers[-1].out_features) if layers else dim


def _queue_alone(pairing: Pairing, query: Tensor, candidates: int, group: Group) -> Pairing:
    """The pairing without candidates that are other samples of the batch, of all processes, as in MoCo."""
    before, total = rows_before(len(query), query, group)
    own = torch.arange(len(query), device=query.device) + before
    places = torch.arange(candidates, device=query.device)
    stays = (places[None] >= total) | (places[None] == own[:, None])
    return pairing.among(matrix(stays))
