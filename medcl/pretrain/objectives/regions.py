"""The local losses of Chaitanya et al. (NeurIPS 2020): the regions of an image, and of its like in other volumes."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from medcl.contrast.core.gather import Group, gather
from medcl.contrast.losses.regions import local, nearby
from medcl.contrast.pairings.slices import partition
from medcl.errors import UsageError
from medcl.modality.spatial.encoders.unet import LocalHead, UNet
from medcl.pretrain.objectives.base import Objective, OneInputConfig, Parts
from medcl.pretrain.passes import Step
from medcl.pretrain.recipe import Recipe
from medcl.pretrain.views import Wanted, rows_before

GRID = (0.0, 0.5, 1.0)
QUARTERS = (0.25, 0.75)


@dataclass(frozen=True)
class RegionsConfig(OneInputConfig):
    """Regions of an image become distinguishable, whatever its intensities: L^R and L^D of Chaitanya et al.

    Args:
        of: the input, images or volumes.
        views: name of `more_views` of the input: changes of intensities only, so that positions of two views
            correspond; empty takes its `views`.
        blocks: decoder blocks of a U-Net that are trained, counted from the bottleneck; of five, three give a map of a
            quarter of the size. Other networks have one map: their dense embedding.
        across: whether a region is also matched with that of a slice of the same partition of another volume (L^D).
        parts: partitions of a volume, for `across`.
        region: features along each side of a region.
        negatives: nearby regions of the same image, in both views.
        projection: width of what is compared.
        temperature: of the loss.
        train_encoder: whether the loss also trains the encoder of a U-Net, beneath its decoder.
    """

    kind: str = "regions"
    views: str = ""
    blocks: int = 3
    across: bool = False
    parts: int = 4
    region: int = 3
    negatives: int = 5
    projection: int = 128
    temperature: float = 0.1
    train_encoder: bool = True
    chunks: ClassVar[bool] = False

    @property
    def partitions(self) -> int:
        """Those from which slices are drawn."""
        return self.parts if self.across else 1

    def adapted(self, name: str, encoder: Any) -> Any:
        """A U-Net with the decoder blocks that are trained."""
        return encoder.with_blocks(self.blocks) if hasattr(encoder, "with_blocks") else encoder

    def check(self, where: str, recipe: Recipe) -> None:
        """Refuse views that move voxels, and a decoder that cannot be trained."""
        super().check(where, recipe)
        own = recipe.inputs[self.of]
        views = own.more_views.get(self.views, own.views) if self.views else own.views
        if self.views and self.views not in own.more_views:
            raise UsageError(f"{where}.views: inputs.{self.of}.more_views has no {self.views!r}")
        moved = views.moving() if hasattr(views, "moving") else ()
        if moved:
            raise UsageError(
                f"{where}.views: {', '.join(moved)} would move voxels, and the regions of two views would not "
                "correspond"
            )
        if self.parts < 1:
            raise UsageError(f"{where}.parts: {self.parts} is invalid; a volume has at least one")
        if self.across and recipe.batch.samples % self.parts:
            raise UsageError(
                f"batch.samples: {recipe.batch.samples} slices of a volume cannot lie in the {self.parts} partitions "
                f"of {where} equally; take a multiple"
            )
        if self.across and recipe.batch.patients * recipe.batch.records < 2:
            raise UsageError("batch: positives of different volumes need at least two volumes in a batch")


class Regions(Objective):
    """See `RegionsConfig`."""

    Config = RegionsConfig
    config: RegionsConfig

    def __init__(self, config: RegionsConfig, parts: Parts) -> None:
        super().__init__(config, parts)
        encoder = cast(Any, parts.encoders[config.of])
        own, size = encoder.config, parts.sizes[config.of][1:]
        if isinstance(encoder.network, UNet) and any(length % encoder.multiple for length in size):
            raise UsageError(
                f"data.size: this U-Net takes sizes that are multiples of {encoder.multiple}, got "
                f"{' x '.join(map(str, size))}; choose another size, or fewer encoder.widths"
            )
        where = f"objectives.{parts.name}"
        regions = RegionHead(own.dim, encoder.grid(size), config.region, config.projection, where)
        self.head = nn.Sequential(LocalHead(own.dim, own.dims, own.norm), regions)
        if not 0 < config.negatives < len(regions.starts):
            raise UsageError(f"{where}.negatives: {config.negatives} of {len(regions.starts) - 1} other regions")
        self.register_buffer("negatives", nearby(regions.starts, config.negatives), persistent=False)

    @property
    def wanted(self) -> dict[str, Wanted]:
        """Two views of equal positions."""
        return {self.config.of: Wanted(views=self.config.views)}

    def forward(self, step: Step) -> dict[str, Tensor]:
        """L^R, or L^D."""
        config = self.config
        seen = step.see(config.of, self.wanted[config.of])
        first, second = self.head(seen.map(config.train_encoder)[: 2 * seen.n]).chunk(2)
        across = (seen.ids["position"], seen.ids["volume"]) if config.across else None
        return {
            "": local_loss(
                first,
                second,
                self.get_buffer("negatives"),
                temperature=config.temperature,
                group=step.group,
                across=across,
                partitions=config.parts,
            )
        }


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
