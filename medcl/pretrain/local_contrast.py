"""The local losses of Chaitanya et al. (NeurIPS 2020): the regions of an image, and of its like in other volumes."""

from collections.abc import Sequence
from itertools import product
from typing import cast

import torch
from torch import Tensor, nn

from medcl.contrast.core.gather import Group, gather
from medcl.contrast.losses.regions import local
from medcl.contrast.pairings.slices import partition
from medcl.errors import UsageError
from medcl.pretrain.shared_views import rows_before

GRID = (0.0, 0.5, 1.0)
QUARTERS = (0.25, 0.75)


def layout(shape: Sequence[int], side: int) -> Tensor:
    """Place regions on a map: a grid of three along each axis and, on maps of two axes, four at the quarter points.

    Those are the 13 regions of Chaitanya et al.'s released code, as shares of the map, so that they suit any size; a
    map of three axes gets the 27 of the grid.

    Args:
        shape: of the map.
        side: features along each side of a region.

    Returns:
        (R, D) int64, the first feature of each region along each axis.

    Raises:
        UsageError: when a region does not fit into the map, or two would be the same.
    """
    shares = list(product(GRID, repeat=len(shape)))
    if len(shape) == 2:
        shares += list(product(QUARTERS, repeat=2))
    room = torch.tensor([size - side for size in shape], dtype=torch.float64)
    starts = (torch.tensor(shares, dtype=torch.float64) * room + 0.5).floor().long()
    if side < 1 or room.min() < 0 or len(set(map(tuple, starts.tolist()))) < len(starts):
        size = " x ".join(map(str, shape))
        raise UsageError(
            f"the map of the local loss has {size} positions, which {len(shares)} regions with a side of {side} do not "
            "fit into: make data.size larger, train one more block (local.blocks), or make local.region smaller"
        )
    return starts


def cut(features: Tensor, starts: Tensor, side: int) -> Tensor:
    """Cut regions out of maps.

    Args:
        features: (B, C, x, y[, z]).
        starts: (R, D) from `layout`.
        side: features along each side of a region.

    Returns:
        (B, R, C * side^D).
    """
    regions = [
        features[(slice(None), slice(None), *(slice(first, first + side) for first in region))].flatten(1)
        for region in starts.tolist()
    ]
    return torch.stack(regions, dim=1)


class RegionHead(nn.Module):
    """Turns every region of a map into an embedding, by one linear map without bias that all of them share.

    Args:
        width: features of the map.
        shape: of the map.
        side: features along each side of a region.
        projection: width of the embedding.

    Raises:
        UsageError: when the regions do not fit into the map.
    """

    def __init__(self, width: int, shape: Sequence[int], side: int, projection: int) -> None:
        super().__init__()
        self.side = side
        self.starts = layout(shape, side)
        self.output = nn.Linear(width * side ** len(shape), projection, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Embed maps (B, width, x, y[, z]) as (B, R, projection)."""
        return cast(Tensor, self.output(cut(features, self.starts, self.side)))


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
    are alone in their partition count with their own two views.

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
