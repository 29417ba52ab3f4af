"""Volume of the parallelotope that the modalities of a sample span (GRAM)."""

from itertools import combinations

import torch
from torch import Tensor

from medcl.contrast.core.blockwise import Tensors
from medcl.contrast.core.vectors import unit
from medcl.contrast.similarities.similarity import Similarity, same_length, vectors
from medcl.errors import UsageError

MOST = 6
"""Maximum number of modalities besides the anchor: an expansion of determinants grows with the factorial."""


def _prepare(a: Tensors, b: Tensors) -> tuple[Tensors, Tensors]:
    x = unit(vectors(a, "gram_volume"))
    if len(b) > MOST:
        raise UsageError(f"gram_volume takes up to {MOST} modalities besides the anchor, got {len(b)}")
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
    # The part of the others that is orthogonal to the anchor, whose Gram matrix has the same determinant. Where all are
    # nearly aligned its entries are small, and so are their rounding errors; those of the whole would not cancel.
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
