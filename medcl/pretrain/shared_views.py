"""Views whose random parameters are drawn for the batch of all processes: their number changes nothing."""

import torch
import torch.distributed as dist
from torch import Tensor

from medcl.contrast.core.gather import Group, gather
from medcl.modality.views import Compose, Params


def rows_before(count: int, like: Tensor, group: Group) -> tuple[int, int]:
    """How many samples the processes before this one have, and how many all have.

    Args:
        count: samples of this process.
        like: any tensor on its device.
        group: processes that share the batch.
    """
    if group is None:
        return 0, count
    counts = gather(torch.tensor([count], device=like.device), group)
    return int(counts[: dist.get_rank(group)].sum()), int(counts.sum())


def draw(views: Compose, x: Tensor, copies: int, generator: torch.Generator, group: Group) -> Params:
    """Draw the parameters of several views of each sample of this process, from those of the batch of all processes.

    Args:
        views: whose parameters.
        x: (N, C, ...) samples of this process.
        copies: views of each sample.
        generator: the same in all processes.
        group: processes that share the batch.

    Returns:
        Parameters of (copies * N) samples: all first views, then all second ones, and so on.
    """
    before, total = rows_before(len(x), x, group)
    # Drawing looks at the shape alone: nothing of this size is held.
    params = views.draw(x[:1].expand(copies * total, *x.shape[1:]), generator)
    if total == len(x):
        return params
    own = [slice(copy * total + before, copy * total + before + len(x)) for copy in range(copies)]
    return {name: torch.cat([value[rows] for rows in own]) for name, value in params.items()}
