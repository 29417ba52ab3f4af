"""Slowly following copies of the encoders, whose projections are candidates and soft targets."""

from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from medcl.contrast.core.gather import Group, gather
from medcl.contrast.core.momentum import MomentumQueue, momentum_update
from medcl.networks.multimodal import MultimodalEncoder
from medcl.pretrain.multimodal_config import MultimodalConfig
from medcl.pretrain.towers import Ids, Seen, Towers


@dataclass(frozen=True)
class Keys:
    """The keys of one kind.

    Args:
        own: (n, projection) of this process's samples.
        z: (M, projection) of the samples of all processes, and of the queue.
        ids: {name: (M,) int64} of `z`.
    """

    own: Tensor
    z: Tensor
    ids: Ids


class Teacher(nn.Module):
    """A copy of the encoders and heads that follows them, and a queue of its projections for each kind.

    Args:
        towers: that are trained; encoders that are locked are shared in value and never move.
        config: of momentum and queue.
        names: of the ids of a sample.
    """

    def __init__(self, towers: Towers, config: MultimodalConfig, names: tuple[str, ...]) -> None:
        super().__init__()
        self.momentum = config.momentum
        self.towers = Towers(deepcopy(towers.joint), {}, towers.locked, towers.chunk).requires_grad_(False)
        kinds = list(towers.joint.sides) if config.queue else []
        queues = {kind: MomentumQueue(config.queue, config.projection, names) for kind in kinds}
        self.queues = nn.ModuleDict(queues)

    @torch.no_grad()
    def forward(self, joint: MultimodalEncoder, seen: dict[str, Seen], group: Group) -> dict[str, Keys]:
        """Follow the encoders by one step, and embed the batch.

        Args:
            joint: what is followed.
            seen: the views of each kind.
            group: processes that share the batch.
        """
        momentum_update(joint, self.towers.joint, self.momentum)
        keys = {}
        for kind, one in self.towers(seen).items():
            z = gather(one.z, group)
            ids = {name: gather(own, group) for name, own in one.ids.items()}
            if kind in self.queues:
                queue = self.queues[kind]
                assert isinstance(queue, MomentumQueue)
                extended = queue.extend(z, ids)
                # Every process holds the queue of all, so that none may gather it again.
                queue.enqueue(z, ids)
                z, ids = extended
            keys[kind] = Keys(one.z, z, ids)
        return keys
