"""The global losses of Chaitanya et al. (NeurIPS 2020) and of PCL: which slices attract each other."""

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from medcl.contrast.core.gather import Group
from medcl.contrast.losses.info_nce import info_nce
from medcl.contrast.pairings.pairs import itself, same
from medcl.contrast.pairings.slices import across_volumes, apart_from_partition, partition
from medcl.contrast.pairings.targets import near
from medcl.modality.views import Compose
from medcl.pretrain.shared_views import draw
from medcl.pretrain.volume_config import GlobalLocalConfig

BY_PARTITION = ("partition-negatives", "partition-positives")


def places(like: Tensor, group: Group) -> Tensor:
    """One id (N,) for each sample of the batch, other ones in other processes."""
    rank = 0 if group is None else dist.get_rank(group)
    return torch.arange(len(like), device=like.device) + (rank << 40)


def global_loss(
    embed: Callable[[Tensor], Tensor],
    views: Compose,
    batch: dict[str, Any],
    config: GlobalLocalConfig,
    generator: torch.Generator,
    group: Group,
) -> Tensor:
    """The loss of a batch of slices or patches.

    The images and their views are those of the paper: two views of each (G^R, PCL), the image and two views of it
    (G^D-), the image and one view (G^D). Where slices of one volume are drawn at random (G^R), views of one slice that
    was drawn twice are no negatives of each other.

    Args:
        embed: images (n, C, ...) to what is compared, (n, dim).
        views: random changes.
        batch: `x` (B, C, ...), `position` (B,) in [0, 1] and `ids` with `slice` and `volume`.
        config: variant and temperature.
        generator: on the CPU; draws the views.
        group: processes that share the batch.

    Returns:
        Scalar.
    """
    x, ids = batch["x"], batch["ids"]
    own = places(x, group)
    as_it_is = config.variant in BY_PARTITION
    count = 1 if config.variant == "partition-positives" else 2
    params = draw(views, x, count, generator, group)
    changed = views.apply(x.repeat(count, *(1,) * (x.ndim - 1)), params)
    images = torch.cat([x, changed]) if as_it_is else changed
    z = embed(images)
    copies = len(images) // len(x)
    sample = own.repeat(copies)
    if config.variant == "positional":
        pairing = near(batch["position"].repeat(copies), within=config.within)
        return info_nce(z, z, pairing.without(itself(z)), temperature=config.temperature, group=group)
    if config.variant == "random":
        views_of_one = same(sample)
        other_draws = same(ids["slice"].repeat(copies)).but(views_of_one)
        pairing = views_of_one.without(other_draws).without(itself(z))
        return info_nce(z, z, pairing, temperature=config.temperature, group=group)
    parts = partition(batch["position"], config.partitions).repeat(copies)
    if config.variant == "partition-negatives":
        pairing = apart_from_partition(sample, parts)
    else:
        view = torch.arange(copies, device=x.device).repeat_interleave(len(x))
        pairing = across_volumes(sample, parts, view, ids["volume"].repeat(copies))
    return info_nce(z, z, pairing.without(itself(z)), denominator="own", temperature=config.temperature, group=group)
