"""Regions of a feature map as embeddings (Chaitanya et al., NeurIPS 2020)."""

from collections.abc import Sequence
from itertools import product
from typing import cast

import torch
from torch import Tensor, nn

from medcl.errors import UsageError

GRID = (0.0, 0.5, 1.0)
QUARTERS = (0.25, 0.75)


def layout(shape: Sequence[int], side: int, where: str = "regions") -> Tensor:
    """Place regions on a map: a grid of three along each axis and, on maps of two axes, four at the quarter points.

    Those are the 13 regions of Chaitanya et al.'s released code, as shares of the map, so that they suit any size; a
    map of three axes gets the 27 of the grid.

    Args:
        shape: of the map.
        side: features along each side of a region.
        where: name of the objective, for messages.

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
            f"the map of {where} has {size} positions, which {len(shares)} regions with a side of {side} do not fit "
            f"into: make data.size larger, train one more block ({where}.blocks), or make {where}.region smaller"
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
        where: name of the objective, for messages.

    Raises:
        UsageError: when the regions do not fit into the map.
    """

    def __init__(self, width: int, shape: Sequence[int], side: int, projection: int, where: str = "regions") -> None:
        super().__init__()
        self.side = side
        self.starts = layout(shape, side, where)
        self.output = nn.Linear(width * side ** len(shape), projection, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Embed maps (B, width, x, y[, z]) as (B, R, projection)."""
        return cast(Tensor, self.output(cut(features, self.starts, self.side)))
