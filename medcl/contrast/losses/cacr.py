"""Contrastive attraction and contrastive repulsion: far positives and near negatives pull and push hardest (CACR)."""

from typing import Unpack

import torch
from torch import Tensor

from medcl.contrast.core.anchors import Scale, counted, mean_over_anchors, negatives, on_the_sphere, over_anchors
from medcl.contrast.core.blockwise import Tensors
from medcl.contrast.pairings.pairs import Pairing, PairMasks, hard
from medcl.contrast.similarities.similarity import Embeddings, Similarity, cosine
from medcl.errors import UsageError


def cacr(
    a: Embeddings,
    b: Embeddings,
    pairing: Pairing | Tensor,
    *,
    attraction: float = 1.0,
    repulsion: float = 1.0,
    similarity: Similarity = cosine,
    **scale: Unpack[Scale],
) -> Tensor:
    """Contrast the positives of an anchor with each other, and its negatives with each other.

    With d_ij = ||a_i - b_j||^2 of vectors of length 1 (0 to 4):

        CA(i) = sum_p d_ip w_ip exp(attraction d_ip) / sum over positives q of w_iq exp(attraction d_iq)
        CR(i) = -sum_n d_in v_in exp(-repulsion d_in) / sum over negatives m of v_im exp(-repulsion d_im)

    with w_ip the weight of a positive and v_in the importance of a negative (1 without). The loss is the mean of CA
    over the anchors with a positive plus the mean of CR over those with a negative; from -4 to 4. Zheng et al.,
    Contrastive Attraction and Contrastive Repulsion for Representation Learning (TMLR 2023), where the two parameters
    are t+ and t-, 1 in the released code. As there, the weights are differentiated too; that code compares each view
    with the other views of its sample, and can weigh both parts (alpha, beta, 1 by default). With one positive, CA is
    its squared distance.

    Takes several positives an anchor: views of a study, windows of a recording, slices of a partition. The most distant
    of them is pulled most, which suits classes with subtypes; negatives are weighed softly and not by one softmax with
    the positive, so that uneven classes do less harm. There is no temperature; the two parameters take its place: 0
    weighs all alike, large ones only the farthest positive or the nearest negative.

    Args:
        a: (N, D) anchors.
        b: (M, D) candidates.
        pairing: who is positive, as yes or no or weights; a tensor (N, M) stands for `matrix`.
        attraction: t+, 0 or more.
        repulsion: t-, 0 or more.
        similarity: `cosine`.
        **scale: `block` and `group`, see `Scale`.

    Returns:
        Scalar.

    Raises:
        UsageError: for another similarity, a parameter below 0, and as in `over_anchors`.
    """
    on_the_sphere(similarity, "cacr")
    if not (attraction >= 0 and repulsion >= 0):
        raise UsageError(f"cacr takes attraction and repulsion of 0 or more, got {attraction} and {repulsion}")

    def formula(scores: Tensor, pairs: PairMasks, _: Tensors) -> Tensor:
        distances = 2 - 2 * scores
        positive, negative = hard(pairs.positive), negatives(pairs)
        weights = None if pairs.positive.dtype == torch.bool else pairs.positive.to(scores.dtype)
        pull = _expected(distances, attraction, positive, weights)
        push = _expected(distances, -repulsion, negative, pairs.importance)
        return torch.cat([counted(pull, positive.any(dim=1)), counted(-push, negative.any(dim=1))], dim=1)

    lines = over_anchors(formula, a, b, pairing, similarity=similarity, **scale)
    group = scale.get("group")
    return mean_over_anchors(lines[:, :2], group) + mean_over_anchors(lines[:, 2:], group)


def _expected(distances: Tensor, sharpness: float, among: Tensor, weights: Tensor | None) -> Tensor:
    """The mean distance (n,) under weights proportional to exp(sharpness d), in the places `among` of each row."""
    logits = sharpness * distances
    if weights is not None:
        logits = logits + torch.where(among, weights, 1.0).log()
    # Where a row has none, the result is left out: it has to be finite.
    logits = logits.masked_fill(~among & among.any(dim=1, keepdim=True), -torch.inf)
    return (logits.softmax(dim=1) * distances).sum(dim=1)
