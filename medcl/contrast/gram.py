"""Volume of the parallelotope that the modalities of a sample span (GRAM)."""

from collections.abc import Sequence
from typing import Unpack

import torch
from torch import Tensor

from medcl.contrast.anchors import Scale, counted, logsumexp_where, mean_over_anchors, over_anchors
from medcl.contrast.blockwise import Tensors
from medcl.contrast.clip import both_directions, transposed
from medcl.contrast.pairs import Pairing, Pairs
from medcl.contrast.similarity import Similarity, same_length, vectors
from medcl.contrast.unit import unit
from medcl.errors import UsageError

MOST = 6
"""Modalities beside the anchor: an expansion of determinants grows with the factorial."""


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
    """
    if not 0 <= smoothing < 1:
        raise UsageError(f"smoothing must be from 0 to below 1, got {smoothing}")
    pairing = both_directions(pairing, temperature)
    if pairing.soft:
        raise UsageError("gram takes pairings of yes and no: its smoothing is all that may be shared among candidates")

    def formula(scores: Tensor, pairs: Pairs, _: Tensors) -> Tensor:
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


def _prepare(a: Tensors, b: Tensors) -> tuple[Tensors, Tensors]:
    """What depends on the candidates only: det G is det C - p' adj(C) p, with p the products with the anchor."""
    x = unit(vectors(a, "gram_volume"))
    if len(b) > MOST:
        raise UsageError(f"gram_volume takes up to {MOST} modalities beside the anchor, got {len(b)}")
    others = [unit(side.flatten(1)) for side in b]
    for other in others:
        same_length(x, other)
    # A vector of length 0 counts as one across all others, so that nothing is gained by embedding at 0.
    one = torch.ones_like(others[0][:, 0])
    c = [[one if i == j else (y * z).sum(dim=1) for j, z in enumerate(others)] for i, y in enumerate(others)]
    places = range(len(c))
    adjugate = [[_determinant(_minor(c, j, i), one) * (-1) ** (i + j) for j in places] for i in places]
    determinant = _determinant(c, one)
    return (x,), (*others, determinant, torch.stack([torch.stack(row, dim=1) for row in adjugate], dim=1))


def _score(anchors: Tensors, candidates: Tensors) -> Tensor:
    *others, determinant, adjugate = candidates
    products = [anchors[0] @ other.T for other in others]
    squared = determinant.expand(len(anchors[0]), -1)
    for i, p in enumerate(products):
        squared = squared - adjugate[:, i, i] * p.square()
        for j in range(i):
            squared = squared - 2 * adjugate[:, i, j] * p * products[j]
    # Below this the determinant is rounding, and the root of it would have a derivative without bound.
    return -squared.clamp(min=torch.finfo(squared.dtype).eps).sqrt()


def _determinant(rows: list[list[Tensor]], one: Tensor) -> Tensor:
    """By expansion along the first row: polynomials of (M,), with a derivative wherever."""
    if not rows:
        return one
    total = torch.zeros_like(one)
    for j, x in enumerate(rows[0]):
        total = total + (-1) ** j * x * _determinant(_minor(rows, 0, j), one)
    return total


def _minor(rows: list[list[Tensor]], i: int, j: int) -> list[list[Tensor]]:
    return [[x for k, x in enumerate(row) if k != j] for m, row in enumerate(rows) if m != i]


gram_volume = Similarity("gram_volume", _score, _prepare)
"""Minus the volume sqrt|det G| that the unit vectors of an anchor (N, D) and of one to six modalities (M, D) span: 0
where all point into one direction, -1 where all are at right angles. The sign of a vector does not matter: opposite
ones span nothing either. Volumes below the root of the number format's precision (3e-4 in float32) count as that."""
