"""Alignment of positives and uniformity on the sphere, the two sides of contrast taken apart."""

from typing import Unpack

import torch
from torch import Tensor

from medcl.contrast.core.anchors import (
    Scale,
    counted,
    logsumexp_where,
    mean_over,
    mean_over_anchors,
    negatives,
    on_the_sphere,
    over_anchors,
)
from medcl.contrast.core.blockwise import Tensors
from medcl.contrast.core.gather import gather
from medcl.contrast.pairings.pairs import Pairing, PairMasks, itself
from medcl.contrast.similarities.similarity import Embeddings, Similarity, cosine
from medcl.errors import UsageError


def alignment(
    a: Embeddings,
    b: Embeddings,
    pairing: Pairing | Tensor,
    *,
    alpha: float = 2.0,
    similarity: Similarity = cosine,
    **scale: Unpack[Scale],
) -> Tensor:
    """How far positives lie from each other: the mean of ||a_i - b_p||^alpha of vectors of length 1.

    The mean over an anchor's positives (with their weights), then over the anchors with a positive. Wang and Isola,
    Understanding Contrastive Representation Learning through Alignment and Uniformity on the Hypersphere (ICML 2020).

    As a measure it needs no training: a low alignment between repeated recordings of a patient is what a probe needs.

    Args:
        a: (N, D) anchors.
        b: (M, D) candidates.
        pairing: who is positive, as yes or no or weights; a tensor (N, M) stands for `matrix`.
        alpha: above 0; below 2, positives that coincide to rounding have a gradient of 0.
        similarity: `cosine`.
        **scale: `block` and `group`, see `Scale`.

    Returns:
        Scalar from 0 to 2^alpha; 0 with a gradient of 0 where no anchor has a positive.

    Raises:
        UsageError: for another similarity, an alpha that is not above 0, and as in `over_anchors`.

    Example:
        >>> import torch
        >>> from medcl.contrast import alignment, same
        >>> alignment(torch.eye(2), torch.eye(2).flip(0), same(torch.arange(2))).item()
        2.0
    """
    on_the_sphere(similarity, "alignment")
    if not alpha > 0:
        raise UsageError(f"alignment takes an alpha above 0, got {alpha}")

    def formula(scores: Tensor, pairs: PairMasks, _: Tensors) -> Tensor:
        distances = 2 - 2 * scores
        if alpha != 2:
            distances = distances.clamp(min=torch.finfo(scores.dtype).eps) ** (alpha / 2)
        value, total = mean_over(distances, pairs.positive)
        return counted(value, total > 0)

    lines = over_anchors(formula, a, b, pairing, similarity=similarity, **scale)
    return mean_over_anchors(lines, scale.get("group"))


def uniformity(
    a: Embeddings,
    b: Embeddings | None = None,
    leave_out: Pairing | Tensor | None = None,
    *,
    t: float = 2.0,
    similarity: Similarity = cosine,
    **scale: Unpack[Scale],
) -> Tensor:
    """How evenly vectors of length 1 cover the sphere: log of the mean over pairs of exp(-t ||a_i - b_j||^2).

    Wang and Isola (ICML 2020), the mean over all pairs i != j. With `b`, the cross-modal uniformity of Fahim et al.
    (2024). It is a logarithm of a mean over all pairs: each process computes the whole from everyone's lines.

    As a measure it shows collapse: 0 when all vectors are one, about -2t for vectors spread over a sphere of many
    dimensions.

    Args:
        a: (N, D).
        b: (M, D) of another modality; default: `a`.
        leave_out: pairs that do not count, such as `same(patient)` of records that should not be spread; default: each
            with the one at its own place, with itself or with its partner in `b`.
        t: above 0; the larger, the more only the nearest pairs count. It takes the place of 1 / (2 temperature).
        similarity: `cosine`.
        **scale: `block` and `group`, see `Scale`.

    Returns:
        Scalar from -4t to 0; 0 with a gradient of 0 without a pair.

    Raises:
        UsageError: for another similarity, a t that is not above 0, and as in `over_anchors`.

    Example:
        >>> import torch
        >>> from medcl.contrast import uniformity
        >>> round(uniformity(torch.eye(4)).item(), 3)
        -4.0
    """
    on_the_sphere(similarity, "uniformity")
    if not t > 0:
        raise UsageError(f"uniformity takes a t above 0, got {t}")
    if leave_out is None:
        leave_out = itself(a if isinstance(a, Tensor) else a[0])

    def formula(scores: Tensor, pairs: PairMasks, _: Tensors) -> Tensor:
        others = negatives(pairs)
        numbers = others.sum(dim=1, dtype=scores.dtype)
        summed = torch.where(numbers > 0, logsumexp_where(t * (2 * scores - 2), others), 0.0)
        return torch.stack([summed, numbers], dim=1)

    lines = over_anchors(formula, a, a if b is None else b, leave_out, similarity=similarity, **scale)
    return _log_of_mean(*gather(lines, scale.get("group")).unbind(1))


def align_uniform(
    a: Embeddings,
    b: Embeddings,
    pairing: Pairing | Tensor,
    *,
    weight: float = 1.0,
    alpha: float = 2.0,
    t: float = 2.0,
    similarity: Similarity = cosine,
    **scale: Unpack[Scale],
) -> Tensor:
    """Alignment plus `weight` times the mean of both sides' uniformity, as a loss (Wang and Isola, ICML 2020).

    It replaces InfoNCE, whose limit for many negatives has these two terms. Take it where they should be balanced by
    hand, or where a modality has more samples than pairs: unpaired scans count for uniformity.

    Args:
        a: (N, D) anchors.
        b: (M, D) candidates.
        pairing: who is positive; a tensor (N, M) stands for `matrix`.
        weight: of uniformity.
        alpha: as in `alignment`.
        t: as in `uniformity`.
        similarity: `cosine`.
        **scale: `block` and `group`, see `Scale`.

    Returns:
        Scalar.

    Raises:
        UsageError: as in `alignment` and `uniformity`.
    """
    apart = uniformity(a, t=t, similarity=similarity, **scale) + uniformity(b, t=t, similarity=similarity, **scale)
    return alignment(a, b, pairing, alpha=alpha, similarity=similarity, **scale) + weight * apart / 2


def _log_of_mean(logs: Tensor, numbers: Tensor) -> Tensor:
    """From the logarithms of sums (N,) of so many terms (N,) to the logarithm of the mean over all terms."""
    total = numbers.sum()
    summed = logsumexp_where(logs[None], (numbers != 0)[None])[0]
    return torch.where(total != 0, summed - total.clamp(min=1).log(), 0.0)
