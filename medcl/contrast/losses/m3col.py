"""Contrast of modalities with mixtures of samples (M3CoL), and how samples are mixed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Unpack

import torch
from torch import Tensor

from medcl.contrast.core.anchors import Scale, logsumexp_where, mean_over_anchors, over_anchors
from medcl.contrast.core.beta import draw_beta
from medcl.contrast.core.blockwise import Tensors, accurate
from medcl.contrast.losses.info_nce import info_nce
from medcl.contrast.pairings.neighbours import softened
from medcl.contrast.pairings.pairs import Pairing, PairMasks, itself
from medcl.contrast.similarities.similarity import Similarity, cosine, transposed
from medcl.errors import UsageError


@dataclass(frozen=True)
class Mixing:
    """How the rows of a batch are mixed: x_i becomes weights_i x_i + (1 - weights_i) x_permutation(i).

    Attributes:
        weights: (N,) in [0, 1].
        permutation: (N,) int64, rows of the same batch.
    """

    weights: Tensor
    permutation: Tensor


def draw(
    count: int,
    *,
    beta: float = 0.15,
    share: float = 0.5,
    generator: torch.Generator | None = None,
    device: torch.device | str = "cpu",
) -> Mixing:
    """Draw how a batch is mixed; keep it to mix the same way again.

    Args:
        count: rows.
        beta: weights are drawn from Beta(beta, beta).
        share: of rows that are mixed at all, in the mean; the others have weight 1.
        generator: on the CPU; default: torch's own.
        device: of the result.

    Returns:
        The mixing.

    Raises:
        UsageError: when beta is not above 0.
    """
    if not beta > 0:
        raise UsageError(f"beta must be above 0, got {beta}")
    permutation = torch.randperm(count, generator=generator)
    mixed = torch.rand(count, generator=generator) < share
    weights = draw_beta(beta, (count,), generator)
    weights = torch.where(mixed, weights, 1.0)
    return Mixing(weights.to(device), permutation.to(device))


def mix(modality: Tensor, weights: Tensor, permutation: Tensor) -> Tensor:
    """weights_i x_i + (1 - weights_i) x_permutation(i), of inputs or of embeddings.

    Args:
        modality: (N, ...).
        weights: (N,) in [0, 1].
        permutation: (N,) int64.

    Returns:
        (N, ...), in the number format of `modality`.

    Raises:
        UsageError: when shapes do not fit.
    """
    if weights.shape != modality.shape[:1] or permutation.shape != modality.shape[:1]:
        raise UsageError(
            f"{len(modality)} rows need as many weights and rows to mix them with, "
            f"got {tuple(weights.shape)} and {tuple(permutation.shape)}"
        )
    weights = weights.to(modality.dtype).reshape(-1, *[1] * (modality.ndim - 1))
    return weights * modality + (1 - weights) * modality[permutation]


def mixed_with(mixing: Mixing) -> Pairing:
    """Positive by its share: the mixture of i and k = permutation(i) with partner i by weight_i, with k by the rest.

    Args:
        mixing: of the anchors; the candidates are not mixed.

    Returns:
        The pairing, of weights that add up to 1 for each anchor.
    """
    weights, permutation = mixing.weights, mixing.permutation
    # Places differ between processes, and rows are mixed within one.
    places = itself(weights).anchors[0]

    def rule(anchors: Tensors, candidates: Tensors) -> PairMasks:
        share, own, other = anchors
        first, second = (place[:, None] == candidates[0] for place in (own, other))
        return PairMasks(share[:, None] * first + (1 - share[:, None]) * second)

    return Pairing(rule, (weights, places, places[permutation]), (places,), soft=True)


def m3col(
    modalities: Sequence[Tensor],
    mixings: Sequence[Mixing],
    *,
    mixed: Sequence[Tensor] | None = None,
    temperature: float | Tensor = 0.1,
    similarity: Similarity = cosine,
    **scale: Unpack[Scale],
) -> Tensor:
    """Contrast the mixtures of each modality with the next modality as it is, in both directions.

    With m_i = w_i a_i + (1 - w_i) a_k, k = permutation(i), s_ij = sim(m_i, b_j) / temperature and t_ij the weights of
    `mixed_with`, the loss of modality a with b is

        -1/2 mean_i sum_j t_ij ( log softmax_j(s_ij) + log softmax_i(s_ij) )

    and the result the sum over 1 with 2, 2 with 3, ..., the last with 1. M3CoL (Kumar et al., Harnessing Shared
    Relations via Multimodal Mixup Contrastive Learning for Multimodal Classification, 2024), for small tables of
    omics, images and text, in the first third of training; then `m3col_soft`. The paper adds it, times 0.1, to the
    cross-entropies of a classifier for each modality and one for all. The temperature acts as in InfoNCE.

    The released code mixes in place, so that the next modality's partner is mixed as well where it comes later in the
    circle; and gives a row that is mixed with itself the target 1 - w instead of 1.

    Args:
        modalities: two or more (N, D), not mixed.
        mixings: one for each, see `draw`; the same ones give the same loss.
        mixed: embeddings of mixed inputs, for encoders that are given these; default: mixtures of the embeddings.
        temperature: above 0; a number or a scalar that is learned.
        similarity: of embeddings.
        **scale: `block` and `group`, see `Scale`; rows are mixed within a process.

    Returns:
        Scalar.

    Raises:
        UsageError: for one modality, and when numbers or shapes do not fit.
    """
    if mixed is None:
        mixed = [mix(accurate(x), m.weights, m.permutation) for x, m in zip(modalities, mixings, strict=False)]
    if len(modalities) < 2 or not len(modalities) == len(mixings) == len(mixed):
        raise UsageError(
            f"{len(modalities)} modalities, {len(mixings)} mixings and {len(mixed)} mixed: 2 or more of each"
        )
    total = mixed[0].new_zeros(())
    for i, (a, mixing) in enumerate(zip(mixed, mixings, strict=True)):
        b, pairing = modalities[(i + 1) % len(modalities)], mixed_with(mixing)
        directions = ((a, b, pairing, similarity), (b, a, pairing.T, transposed(similarity)))
        for anchors, candidates, pairs, compared in directions:
            lines = over_anchors(
                _lines, anchors, candidates, pairs, similarity=compared, temperature=temperature, **scale
            )
            total = total + mean_over_anchors(lines, scale.get("group")) / 2
    return total


def m3col_soft(
    modalities: Sequence[Tensor],
    *,
    temperature: float = 0.125,
    similarity: Similarity = cosine,
    **scale: Unpack[Scale],
) -> Tensor:
    """The later phase of M3CoL: samples that the next modality finds alike are partly positive.

    With t_ij = softmax_j( cos(b_i, b_j) / temperature ) and s_ij = sim(a_i, b_j) / temperature, the loss of a with b is

        -1/2 mean_i sum_j t_ij ( log softmax_j(s_ij) + log softmax_j(s_ji) )

    and the result the sum over 1 with 2, 2 with 3, ..., the last with 1 (soft CLIP). As in the released code the
    derivative goes through the targets t too.

    Args:
        modalities: two or more (N, D).
        temperature: above 0, of similarities and targets.
        similarity: of embeddings.
        **scale: `block` and `group`, see `Scale`.

    Returns:
        Scalar.

    Raises:
        UsageError: for one modality, and when shapes do not fit.
    """
    if len(modalities) < 2:
        raise UsageError("contrast takes two or more modalities, got one")
    total = modalities[0].new_zeros(())
    for i, a in enumerate(modalities):
        b = modalities[(i + 1) % len(modalities)]
        pairing = softened(b, temperature=temperature)
        for anchors, candidates, compared in ((a, b, similarity), (b, a, transposed(similarity))):
            total = (
                total
                + info_nce(anchors, candidates, pairing, temperature=temperature, similarity=compared, **scale) / 2
            )
    return total


def _lines(scores: Tensor, pairs: PairMasks, _: Tensors) -> Tensor:
    """Weights as they are: partners may be part of several mixtures or of none, and weigh accordingly."""
    weights = pairs.positive.to(scores.dtype)
    losses = logsumexp_where(scores, pairs.candidate) * weights.sum(dim=1) - (weights * scores).sum(dim=1)
    return torch.stack([losses, torch.ones_like(losses)], dim=1)
