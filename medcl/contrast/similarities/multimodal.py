"""Tuples of three and more modalities: multilinear inner product, volume (GRAM), leading singular value (PMRL)."""

import itertools

import torch
from torch import Tensor

from medcl.contrast.core.blockwise import Tensors, unit
from medcl.contrast.pairings.pairs import PairMasks
from medcl.contrast.similarities.similarity import Similarity, inner_product, same_length, vectors
from medcl.errors import UsageError


def _multilinear(name: str, *, directions: bool) -> Similarity:
    """An inner product of one vector with the product, number by number, of others."""

    def prepare(a: Tensors, b: Tensors) -> tuple[Tensors, Tensors]:
        x = vectors(a, name)
        product = torch.ones((), dtype=x.dtype, device=x.device)
        for side in b:
            y = side.flatten(1)
            same_length(x, y)
            product = product * (unit(y) if directions else y)
        return (unit(x) if directions else x,), (product,)

    return Similarity(name, inner_product, prepare, inner=True)


def _every_combination(anchors: Tensors, candidates: Tensors) -> Tensor:
    """(n, D) and M modalities (N, D) to (n, N^M), the last modality running fastest."""
    products = anchors[0][:, None]
    for x in candidates[:-1]:
        products = (products[:, :, None] * x).flatten(1, 2)
    return (products @ candidates[-1].T).flatten(1)


multilinear = _multilinear("multilinear", directions=True)
"""sum_d x_d y_d z_d ... of unit vectors: anchors are one tensor (N, D), candidates one tensor (M, D) a modality, of
which row j of each belong together (Saporta et al., NeurIPS 2024). With one modality it is the cosine; with all vectors
equal it is not 1, since it is no cosine of anything."""
product = _multilinear("product", directions=False)
"""The same of vectors as they are."""
combinations = Similarity("combinations", _every_combination, lambda a, b: (a, b))
"""The same of vectors as they are, of an anchor with every combination of rows: (N, M^modalities)."""


def own_place(anchors: Tensors, candidates: Tensors) -> PairMasks:
    """A rule for tuples by place: the own place holds the own tuple, wherever the shuffled modalities come from.

    Args:
        anchors: places (n,) and whether the sample is complete (n,).
        candidates: places (M,) and whether the shuffled tuple there is complete (M,).

    Returns:
        Pairs (n, M).
    """
    positive = (anchors[0][:, None] == candidates[0]) & anchors[1][:, None]
    return PairMasks(positive, candidates[1] | positive)


def own_combination(anchors: Tensors, candidates: Tensors) -> PairMasks:
    """A rule for tuples of all combinations of samples, the last modality running fastest.

    Args:
        anchors: places (n,) and whether the sample is complete (n,).
        candidates: places (N,) and which of M modalities the samples have (N, M).

    Returns:
        Pairs (n, N^M).
    """
    own = anchors[0][:, None] == candidates[0]
    positive, complete = anchors[1][:, None], candidates[1].new_ones(1)
    for has in candidates[1].unbind(1):
        positive = (positive[:, :, None] & own[:, None]).flatten(1)
        complete = (complete[:, None] & has).flatten()
    return PairMasks(positive, complete.expand_as(positive))


MOST = 6
"""Maximum number of modalities besides the anchor: an expansion of determinants grows with the factorial."""


def _prepare_volume(a: Tensors, b: Tensors) -> tuple[Tensors, Tensors]:
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


def _score_volume(anchors: Tensors, candidates: Tensors) -> Tensor:
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
            for columns in itertools.combinations(range(size), size - row)
        }
    return minors[tuple(range(size))]


gram_volume = Similarity("gram_volume", _score_volume, _prepare_volume)
"""Minus the volume sqrt|det G| that the unit vectors of an anchor (N, D) and of one to six modalities (M, D) span: 0
where all point into one direction, -1 where all are at right angles. The sign of a vector does not matter: opposite
ones span nothing either. A volume that is smaller than its rounding error counts as that: with one modality the root of
the number format's precision (3e-4 in float32), with several nearly aligned ones far less."""


def _prepare_singular(a: Tensors, b: Tensors) -> tuple[Tensors, Tensors]:
    x = unit(vectors(a, "leading_singular_value"))
    others = [unit(side.flatten(1)) for side in b]
    for other in others:
        same_length(x, other)
    stacked = torch.stack(others, dim=1)
    # A vector of length 0 counts as one across all others.
    one = torch.ones(len(others), dtype=torch.bool, device=x.device).diag()
    return (x,), (stacked, torch.where(one, 1.0, stacked @ stacked.mT))


def _score_singular(anchors: Tensors, candidates: Tensors) -> Tensor:
    others, among = candidates
    products = torch.einsum("nd,mkd->nmk", anchors[0], others)[..., None]
    below = torch.cat([products, among.expand(len(products), -1, -1, -1)], dim=3)
    above = torch.cat([torch.ones_like(products[:, :, :1]), products.mT], dim=3)
    gram = torch.cat([above, below], dim=2)
    # The decomposition refuses NaN.
    squares: Tensor = torch.linalg.eigvalsh(gram.nan_to_num()) + 0 * gram.sum(dim=(-2, -1))[..., None]
    return squares[..., -1].sqrt()


leading_singular_value = Similarity("leading_singular_value", _score_singular, _prepare_singular)
"""The largest singular value of the unit vectors of an anchor (N, D) and of one or more modalities (M, D).

sqrt(K) where all K point into one direction, up to sign, 1 where all are at right angles; with one modality
sqrt(1 + |cosine|)."""
