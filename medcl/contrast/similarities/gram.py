"""Volume of the parallelotope that the modalities of a sample span (GRAM)."""

from collections.abc import Sequence
from itertools import combinations
from typing import Unpack

import torch
from torch import Tensor

from medcl.contrast.core.anchors import Scale, counted, logsumexp_where, mean_over_anchors, over_anchors
from medcl.contrast.core.blockwise import Tensors
from medcl.contrast.core.vectors import unit
from medcl.contrast.losses.clip import both_directions, transposed
from medcl.contrast.pairings.pairs import Pairing, Pairs
from medcl.contrast.similarities.similarity import Similarity, same_length, vectors
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
    x = unit(vectors(a, "gram_volume"))
    if len(b) > MOST:
        raise UsageError(f"gram_volume takes up to {MOST} modalities beside the anchor, got {len(b)}")
    others = [unit(side.flatten(1)) for side in b]
    for other in others:
        same_length(x, other)
    # A vector of length 0 counts as one across all others, so that nothing is gained by embedding at 0.
    one = torch.ones_like(others[0][:, 0])
    among = [one if i == j else (y * z).sum(dim=1) for i, y in enumerate(others) for j, z in enumerate(others)]
    return (x,), (*others, torch.stack(among, dim=1).view(len(one), len(b), len(b)))


def _score(anchors: Tensors, candidates: Tensors) -> Tensor:
    *others, among = candidates
    products = [anchors[0] @ other.T for other in others]
    # What is left of the others beside the anchor, whose Gram matrix has the same determinant. Where all are nearly
    # aligned its entries are small, and so are their rounding errors; those of the whole matrix would not cancel.
    rest = {(i, j): among[:, i, j] - p * q for i, p in enumerate(products) for j, q in enumerate(products) if i <= j}
    squared = _determinant(rest, len(products))
    # Below this the determinant is rounding, and the root of it would have a derivative without bound.
    eps = torch.finfo(squared.dtype).eps
    diagonal = torch.stack([rest[i, i].detach().clamp(min=eps) for i in range(len(products))])
    return -torch.maximum(squared, eps * diagonal.prod(dim=0) / diagonal.amin(dim=0)).sqrt()


def _determinant(entries: dict[tuple[int, int], Tensor], size: int) -> Tensor:
    """Of symmetric matrices, by Laplace's expansion row by row: polynomials of (n, M), with a derivative wherever.

    Args:
        entries: of the rows and columns i <= j.
        size: of the matrices.

    Returns:
        (n, M).
    """
    # The minors of the last rows with every set of as many columns.
    minors: dict[tuple[int, ...], Tensor] = {(j,): entries[min(size - 1, j), max(size - 1, j)] for j in range(size)}
    for row in range(size - 2, -1, -1):
        minors = {
            columns: sum(
                (-1) ** place * entries[min(row, j), max(row, j)] * minors[columns[:place] + columns[place + 1 :]]
                for place, j in enumerate(columns)
            )
            for columns in combinations(range(size), size - row)
        }
    return minors[tuple(range(size))]


gram_volume = Similarity("gram_volume", _score, _prepare)
"""Minus the volume sqrt|det G| that the unit vectors of an anchor (N, D) and of one to six modalities (M, D) span: 0
where all point into one direction, -1 where all are at right angles. The sign of a vector does not matter: opposite
ones span nothing either. A volume that is smaller than its rounding error counts as that: with one modality the root of
the number format's precision (3e-4 in float32), with several nearly aligned ones far less."""
