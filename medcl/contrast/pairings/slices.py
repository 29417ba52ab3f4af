"""Pairings from where a slice lies in its volume: anatomy as a label that costs nothing."""

import torch
from torch import Tensor

from medcl.contrast.core.gather import Group, gather, rows_before
from medcl.contrast.pairings.pairs import Pairing, same
from medcl.errors import UsageError

Levels = tuple[Tensor, ...]


def partition(position: Tensor, parts: int = 4, *, slices: Tensor | int | None = None) -> Tensor:
    """Cut every volume along its depth into equal parts, and say in which one a slice lies.

    Args:
        position: from 0 to 1 (floating point), or the index of the slice from 0 (integer).
        parts: of a volume.
        slices: of the volume, of the shape of `position` or one number; for indices only.

    Returns:
        int64 of the shape of `position`: 0 to parts - 1; -1 where the position is not known (NaN).

    Raises:
        UsageError: without a part, for indices without `slices` and for positions with it.

    Example:
        >>> import torch
        >>> from medcl.contrast import partition
        >>> partition(torch.tensor([0.0, 0.3, 0.6, 1.0]), parts=4)
        tensor([0, 1, 2, 3])
        >>> partition(torch.tensor([0, 15, 29]), parts=3, slices=30)
        tensor([0, 1, 2])
    """
    if parts < 1:
        raise UsageError(f"a volume has at least one part, got {parts}")
    if position.is_floating_point() != (slices is None):
        raise UsageError("the part of a slice follows from a position in [0, 1], or from its index and `slices`")
    if slices is not None:
        return torch.div(position.long() * parts, slices, rounding_mode="floor").clamp(0, parts - 1)
    part = (position * parts).floor().clamp(0, parts - 1)
    return part.nan_to_num(-1.0).long()


def apart_from_partition(slices: Tensor, partitions: Tensor, candidates: Levels | None = None) -> Pairing:
    """Views of one slice attract each other; other images of its partition, of any volume, do not count.

    G^D- of Chaitanya et al., Contrastive learning of global and local features for medical image segmentation with
    limited annotations (NeurIPS 2020): slices of one partition show the same anatomy and are no negatives. The paper's
    batch holds a slice x and two augmentations of it, and its loss is the mean over their 3 pairs in both directions:

        z, slices, partitions = torch.cat([x, aug1, aug2]), slices.repeat(3), partitions.repeat(3)
        info_nce(z, z, apart_from_partition(slices, partitions).without(itself(z)), denominator="own")

    Args:
        slices: (N,) int64 ids of the slices.
        partitions: (N,) int64, see `partition`.
        candidates: the same two for the candidates (M,) each; default: those of the anchors.

    Returns:
        The pairing, of yes and no.

    Raises:
        TypeError: when ids are not integers.
        UsageError: when ids are not vectors of one length.
    """
    own, part = _pairings((slices, partitions), candidates)
    return own.without(part.but(own))


def across_volumes(
    slices: Tensor,
    partitions: Tensor,
    views: Tensor,
    volumes: Tensor | None = None,
    candidates: Levels | None = None,
) -> Pairing:
    """Besides views of one slice, the same view of slices of one partition of different volumes attract each other.

    G^D of Chaitanya et al. (see `apart_from_partition`). For slices x_i and x_j of one partition of two volumes, with
    augmentations x'_i and x'_j, the pairs are (x_i, x'_i), (x_i, x_j), (x_j, x'_j) and (x'_i, x'_j), in both
    directions; (x_i, x'_j) and (x'_i, x_j) are neither positive nor negative, nor are any others of the partition.
    With three and more volumes in a batch all pairs of volumes attract each other here; the released code pairs each
    volume with its neighbour in the batch only, which is the same for two:

        z = torch.cat([x, augmented])
        pairing = across_volumes(slices.repeat(2), partitions.repeat(2), torch.arange(2).repeat_interleave(len(x)))
        info_nce(z, z, pairing.without(itself(z)), denominator="own")

    Args:
        slices: (N,) int64 ids of the slices.
        partitions: (N,) int64, see `partition`.
        views: (N,) int64: 0 for images as they are, 1 for augmented ones.
        volumes: (N,) int64; two slices of one volume are then no pair even where they share a partition.
        candidates: the same, as many, for the candidates (M,) each; default: those of the anchors.

    Returns:
        The pairing, of yes and no.

    Raises:
        TypeError: when ids are not integers.
        UsageError: when ids are not vectors of one length.
    """
    levels = (slices, partitions, views) + (() if volumes is None else (volumes,))
    own, part, view, *volume = _pairings(levels, candidates)
    across = part & view
    for one in volume:
        across = across.but(one)
    positive = own | across
    return positive.without(part.but(positive))


def next_of_partition(parts: Tensor, volumes: Tensor, group: Group) -> tuple[Tensor, Tensor]:
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


def _pairings(levels: Levels, candidates: Levels | None) -> list[Pairing]:
    candidates = levels if candidates is None else candidates
    if len(candidates) != len(levels):
        raise UsageError(f"the anchors have {len(levels)} ids each, the candidates {len(candidates)}")
    return [same(a, b) for a, b in zip(levels, candidates, strict=True)]
