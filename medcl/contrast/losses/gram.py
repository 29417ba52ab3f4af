"""Contrast of an anchor modality with several others together, by the volume that they span (GRAM)."""

from collections.abc import Sequence
from typing import Unpack

import torch
from torch import Tensor

from medcl.contrast.core.anchors import Scale, counted, logsumexp_where, mean_over_anchors, over_anchors
from medcl.contrast.core.blockwise import Tensors
from medcl.contrast.losses.clip import both_directions
from medcl.contrast.pairings.pairs import Pairing, PairMasks
from medcl.contrast.similarities.multimodal import gram_volume
from medcl.contrast.similarities.similarity import transposed
from medcl.errors import UsageError


def gram(
    anchor: Tensor,
    others: Sequence[Tensor],
    pairing: Pairing | Tensor,
    *,
    temperature: float | Tensor = 0.07,
    smoothing: float = 0.1,
    **scale: Unpack[Scale],
) -> Tensor:
    """Contrast an anchor modality with the other modalities together, by the volume that they span.

    With s_ij = -sqrt|det G(a_i, x_1j, x_2j, ...)| / temperature, G the Gram matrix of the unit vectors, P(i) the
    positives of anchor i, C(i) its candidates and e the smoothing:

        l(i) = log sum_{j in C} exp(s_ij) - (1 - e) mean_{j in P} s_ij - e mean_{j in C} s_ij

    The loss is the mean of l over the anchors, and of the same with tuples as anchors and `anchor` as candidates,
    averaged (Cicchetti et al., Gramian Multimodal Representation Learning and Alignment, ICLR 2025). All modalities of
    a sample are drawn into one direction at once, where pairwise losses draw each to the anchor only: for a report (the
    anchor), the X-ray and the ECG of a stay. The released code adds a matching loss with a second encoder, which is
    not part of this one.

    Volumes are between 0 and 1 and most are near 1, so that the temperature is small (0.07, learned). Smoothing keeps
    an unlike pair from being pushed on after its volume is 1, which it cannot exceed.

    Args:
        anchor: (N, D).
        others: one to six (M, D), row j of each of the same sample.
        pairing: of N anchors with M tuples; positives are yes or no.
        temperature: above 0, one number; a tensor may be learned.
        smoothing: from 0 to below 1, the share of the target that all candidates have in common.
        **scale: `block` and `group`, see `Scale`.

    Returns:
        Scalar; anchors and tuples without a positive contribute nothing.

    Raises:
        UsageError: for weighted positives, a smoothing outside its range, and shapes that do not fit.

    Example:
        >>> import torch
        >>> from medcl.contrast import gram, same
        >>> report = image = ecg = torch.eye(4)[:3]
        >>> round(gram(report, [image, ecg], same(torch.arange(3)), smoothing=0.0).item(), 3)
        1.095
    """
    if not 0 <= smoothing < 1:
        raise UsageError(f"smoothing must be from 0 to below 1, got {smoothing}")
    pairing = both_directions(pairing, temperature)
    if pairing.soft:
        raise UsageError("gram takes pairings of yes and no: its smoothing is all that may be shared among candidates")

    def formula(scores: Tensor, pairs: PairMasks, _: Tensors) -> Tensor:
        if pairs.importance is not None:
            raise UsageError("gram weighs all candidates alike: take a pairing without importance")
        total = pairs.positive.sum(dim=1)
        pulled = torch.where(pairs.positive, scores, 0.0).sum(dim=1) / total.clamp(min=1)
        among = torch.ones_like(pairs.positive) if pairs.candidate is None else pairs.candidate
        shared = torch.where(among, scores, 0.0).sum(dim=1) / among.sum(dim=1).clamp(min=1)
        normaliser = logsumexp_where(scores, pairs.candidate)
        return counted(normaliser - (1 - smoothing) * pulled - smoothing * shared, total > 0)

    group = scale.get("group")
    there = over_anchors(formula, anchor, others, pairing, similarity=gram_volume, temperature=temperature, **scale)
    back = over_anchors(
        formula, others, anchor, pairing.T, similarity=transposed(gram_volume), temperature=temperature, **scale
    )
    return (mean_over_anchors(there, group) + mean_over_anchors(back, group)) / 2
