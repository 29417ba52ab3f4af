"""Contrast of the regions of one image with each other: Chaitanya's local loss."""

from typing import Literal, Unpack

import torch
from torch import Tensor
from torch.nn import functional as F

from medcl.contrast.core.anchors import Scale, above_zero, block_and_group, mean_over_anchors
from medcl.contrast.core.blockwise import Tensors, accurate, no_autocast, over_samples
from medcl.contrast.core.gather import Group, gather
from medcl.contrast.pairings.slices import next_of_partition, partition
from medcl.errors import UsageError


def local(
    z1: Tensor,
    z2: Tensor,
    negatives: Tensor | Literal["others"] = "others",
    *,
    temperature: float | Tensor = 0.1,
    places: Tensor | None = None,
    **scale: Unpack[Scale],
) -> Tensor:
    """Tell the regions of an image apart, whatever its intensities: L^R.

    With a_r and b_r the embeddings of region r in two views of one image, s the cosine over the temperature and N(r)
    the negative regions:

        l(a_r, b_r) = -log( exp(s(a_r, b_r)) / Z_r )
        Z_r = exp(s(a_r, b_r)) + sum_{n in N(r)} ( exp(s(a_r, a_n)) + exp(s(a_r, b_n)) )

    The loss is the mean over images and regions of l(a_r, b_r) and l(b_r, a_r) (Chaitanya et al., NeurIPS 2020, eq. 2).
    It is for the decoder of a segmentation network, whose features must differ between neighbouring structures; the
    views may differ in intensity but not in position. The released code takes 13 regions of 3 x 3 features at fixed
    places and as negatives the 5 nearest of them, in both views (`nearby`); the encoder comes from the global stage.
    With z2 the regions of the corresponding slice of another volume, aligned with the first, this is a term of L^D.

    The temperature (0.1) decides how much the most similar region counts: the same organ left and right, or the next
    region of one that covers several, look alike and are not errors; with few regions 0.1 is safe.

    Regions far apart can be told by their position alone, which a network of convolutions sees by the padding of its
    edges: the loss then falls to 0 and the content of a region is never looked at. With `places` (not in the paper) the
    same region of images of another place is a negative too, in both views, which no position tells from the positive.

    Args:
        z1: (N, R, D) embeddings of the regions of each image.
        z2: (N, R, D) of the same regions in the other view.
        negatives: (R, K) int64, the negative regions of each, or "others": all other regions.
        temperature: above 0, one number; a tensor may be learned.
        places: (N,) int64, of each image; None compares no image with another.
        **scale: `block`, of images, and `group`, see `Scale`: it holds the images of other places.

    Returns:
        Scalar. With one region the loss is 0.

    Raises:
        UsageError: when shapes do not fit, and for a temperature that is not one number above 0.
    """
    block, group = block_and_group(**scale)
    if z1.ndim != 3 or z1.shape != z2.shape:
        raise UsageError(f"regions must be (batch, regions, width) twice, got {tuple(z1.shape)} and {tuple(z2.shape)}")
    if isinstance(temperature, Tensor) and temperature.numel() != 1:
        raise UsageError(f"local takes one temperature, got {tuple(temperature.shape)}")
    above_zero(temperature)
    images, regions = z1.shape[:2]
    itself = torch.eye(regions, dtype=torch.bool, device=z1.device)
    if isinstance(negatives, Tensor):
        if negatives.ndim != 2 or len(negatives) != regions or negatives.is_floating_point():
            raise UsageError(
                f"negatives must be indices ({regions}, K), got {negatives.dtype} {tuple(negatives.shape)}"
            )
        negative = torch.zeros_like(itself).scatter(1, negatives, True) & ~itself
    elif negatives == "others":
        negative = ~itself
    else:
        raise UsageError(f"negatives must be indices ({regions}, K) or 'others', got {negatives!r}")

    def formula(own: Tensors) -> Tensor:
        a, b, inverse = own[0], own[1], own[2][:, :, None]
        within = [(x @ x.mT * inverse).masked_fill(~negative, -torch.inf) for x in (a, b)]
        across = a @ b.mT * inverse
        positive = across.diagonal(dim1=1, dim2=2)
        elsewhere = own[3].unbind(dim=2) if len(own) > 3 else (None, None)
        losses = [
            torch.cat(
                [
                    scores.masked_fill(~(negative | itself), -torch.inf),
                    same,
                    *([] if more is None else [more[:, :, None]]),
                ],
                dim=2,
            ).logsumexp(dim=2)
            - positive
            for scores, same, more in zip((across, across.mT), within, elsewhere, strict=True)
        ]
        total = torch.stack(losses).sum(dim=(0, 2))
        return torch.stack([total, torch.full_like(total, 2 * regions)], dim=1)

    with no_autocast(z1):
        a, b = (F.normalize(accurate(z), dim=2) for z in (z1, z2))
        inverse = torch.as_tensor(1 / temperature, dtype=a.dtype, device=a.device).reshape(1, 1).expand(images, 1)
        more = () if places is None else (_elsewhere(a, b, inverse[:1, :, None], places, group),)
        lines = over_samples(formula, (a, b, inverse, *more), numbers=6 * regions**2, block=block)
    return mean_over_anchors(lines, group)


def _elsewhere(a: Tensor, b: Tensor, inverse: Tensor, places: Tensor, group: Group) -> Tensor:
    """The logarithm of what the same region of images of other places adds to Z_r.

    Args:
        a: (N, R, D) of length 1.
        b: (N, R, D) of the other view.
        inverse: 1 / temperature.
        places: (N,) of the images.
        group: processes that share the batch.

    Returns:
        (N, R, 2) for anchors in a and in b; -inf without such an image.
    """
    other = (places[:, None] != gather(places, group)).repeat(1, 2)[:, None]
    some = other.any(dim=2, keepdim=True)
    candidates = torch.cat([gather(a, group), gather(b, group)])
    found = []
    for anchors in (a, b):
        scores = torch.einsum("nrd,mrd->nrm", anchors, candidates) * inverse
        # Where there is no such image the sum is of zeros, so that its derivative is a number, and is not used.
        summed = scores.masked_fill(~other & some, -torch.inf).logsumexp(dim=2)
        found.append(summed.masked_fill(~some[:, :, 0], -torch.inf))
    return torch.stack(found, dim=2)


def local_across(
    first: Tensor,
    second: Tensor,
    negatives: Tensor,
    *,
    temperature: float,
    group: Group,
    across: tuple[Tensor, Tensor] | None = None,
    partitions: int = 4,
    places: Tensor | None = None,
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
        places: (N,) of the images, see `local`; of the pairs within an image.

    Returns:
        Scalar.
    """
    within = local(first, second, negatives, temperature=temperature, places=places, group=group)
    if across is None:
        return within
    position, volumes = across
    having, others = next_of_partition(partition(position, partitions), volumes, group)
    matched = [
        local(own[having], gather(own, group)[others], negatives, temperature=temperature, group=group)
        for own in (first, second)
    ]
    return within / 2 + (matched[0] + matched[1]) / 4


def nearby(positions: Tensor, count: int = 5) -> Tensor:
    """The regions nearest to each, as negatives of `local`.

    Args:
        positions: (R, 2), or of any number of dimensions: centres of the regions.
        count: number of each.

    Returns:
        (R, count) int64, nearest first; of equally near ones the first.

    Raises:
        UsageError: when there are not so many other regions.
    """
    if positions.ndim != 2 or not 0 < count < len(positions):
        raise UsageError(f"{count} nearest of positions {tuple(positions.shape)}: (regions, axes) with more regions")
    places = accurate(positions)
    distances = (places[:, None] - places).square().sum(dim=2).fill_diagonal_(torch.inf)
    return distances.argsort(dim=1, stable=True)[:, :count]
