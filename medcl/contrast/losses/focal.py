"""InfoNCE that leaves easy anchors to themselves."""

from typing import Unpack

import torch
from torch import Tensor

from medcl.contrast.core.anchors import (
    Scale,
    counted,
    logsumexp_where,
    mean_over,
    mean_over_anchors,
    over_anchors,
    weighed,
)
from medcl.contrast.core.blockwise import Tensors
from medcl.contrast.pairings.pairs import Pairing, PairMasks
from medcl.contrast.similarities.similarity import Embeddings, Similarity, cosine
from medcl.errors import UsageError


def focal(
    a: Embeddings,
    b: Embeddings,
    pairing: Pairing | Tensor,
    *,
    gamma: float = 2.0,
    temperature: float | Tensor = 0.1,
    similarity: Similarity = cosine,
    **scale: Unpack[Scale],
) -> Tensor:
    """InfoNCE with each anchor weighed by how far it is from solved.

        l(i) = (1 - p_i)^gamma c_i,   p_i = exp(-c_i)

    with c_i the loss of anchor i in `info_nce` (log outside, all candidates in the denominator), so that with one
    positive p_i is the softmax probability of it, and with several the geometric mean of theirs. The loss is the mean
    of l over the anchors with a positive; anchors are not weighed against each other, so it is smaller than InfoNCE.
    gamma = 0 is InfoNCE. The focal loss of Lin et al. (ICCV 2017) on the softmax over candidates; the weight is
    differentiated, as there. Focal-InfoNCE (Hou and Li, EMNLP findings 2023) is something else: it changes the
    similarities inside the softmax.

    Take it where most pairs are easy and a few decide: windows of one recording among those of other devices, or
    slices of rare anatomy among common ones. Wrong pairs (a report that belongs to another study) are hard anchors
    too, and get the most weight: clean the pairs first. The temperature acts as in `info_nce`; a small one makes most
    p_i 1 or 0, and gamma then only drops what is solved.

    Args:
        a: (N, D) anchors, or what the similarity takes.
        b: (M, D) candidates.
        pairing: who is positive, as yes or no or weights; a tensor (N, M) stands for `matrix`.
        gamma: 0 or more.
        temperature: above 0; a scalar tensor may be learned, (N,) gives every anchor its own.
        similarity: of embeddings.
        **scale: `block` and `group`, see `Scale`.

    Returns:
        Scalar; 0 with a gradient of 0 where no anchor has a positive.

    Raises:
        UsageError: for a gamma below 0, and as in `over_anchors`.
    """
    if not gamma >= 0:
        raise UsageError(f"focal takes a gamma of 0 or more, got {gamma}")

    def formula(scores: Tensor, pairs: PairMasks, _: Tensors) -> Tensor:
        attraction, total = mean_over(scores, pairs.positive)
        counts = total > 0
        cost = torch.where(counts, logsumexp_where(weighed(scores, pairs), pairs.candidate) - attraction, 0.0)
        # A power below 1 has no derivative at 0, where an anchor has nothing but its positive.
        left = (-torch.expm1(-cost)).clamp(min=torch.finfo(cost.dtype).tiny)
        return counted(left**gamma * cost if gamma > 0 else cost, counts)

    lines = over_anchors(formula, a, b, pairing, similarity=similarity, temperature=temperature, **scale)
    return mean_over_anchors(lines, scale.get("group"))
