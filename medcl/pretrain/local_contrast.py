"""The local losses of Chaitanya et al. (NeurIPS 2020): the regions of an image, and of its like in other volumes."""

import torch
from torch import Tensor

from medcl.contrast.core.gather import Group, gather
from medcl.contrast.losses.regions import local
from medcl.contrast.pairings.slices import partition
from medcl.pretrain.drawing import rows_before


def partners(parts: Tensor, volumes: Tensor, group: Group) -> tuple[Tensor, Tensor]:
    """For each slice of this process the next slice of the batch that is of its partition but of another volume.

    Args:
        parts: (N,) int64 partitions of this process's slices.
        volumes: (N,) int64 ids of their volumes.
        group: processes that share the batch.

    Returns:
        Which of this process's slices have one, (n,) int64, and which slices of the batch of all these are, (n,).
    """
    before, total = rows_before(len(parts), parts, group)
    all_parts, all_volumes = gather(parts, group), gather(volumes, group)
    fits = (parts[:, None] == all_parts) & (volumes[:, None] != all_volumes)
    own = torch.arange(len(parts), device=parts.device) + before
    ahead = (torch.arange(total, device=parts.device) - own[:, None]) % total
    chosen = ahead.masked_fill(~fits, total).argmin(dim=1)
    having = fits.any(dim=1).nonzero().flatten()
    return having, chosen[having]


def local_loss(
    first: Tensor,
    second: Tensor,
    negatives: Tensor,
    *,
    temperature: float,
    group: Group,
    across: tuple[Tensor, Tensor] | None = None,
    partitions: int = 4,
) -> Tensor:
    """L^R, or with `across` L^D.

    L^D adds, for a slice and one of its partition of another volume, the pairs of their regions in the same view: the
    mean over the pairs (first, second) of both, with (first, first) and (second, second) across volumes. Slices that
    are alone in their partition take part with their own two views.

    Args:
        first: (N, R, dim) regions of the first views.
        second: (N, R, dim) of the second ones.
        negatives: (R, K) int64.
        temperature: of the softmax.
        group: processes that share the batch.
        across: `position` (N,) in [0, 1] and ids of the `volume` (N,) of each image; None: L^R.
        partitions: into which a volume is cut.

    Returns:
        Scalar.
    """
    within = local(first, second, negatives, temperature=temperature, group=group)
    if across is None:
        return within
    position, volumes = across
    having, others = partners(partition(position, partitions), volumes, group)
    matched = [
        local(own[having], gather(own, group)[others], negatives, temperature=temperature, group=group)
        for own in (first, second)
    ]
    return within / 2 + (matched[0] + matched[1]) / 4
