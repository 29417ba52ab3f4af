"""How much of a sample's modalities lies in one direction: the leading singular value (PMRL)."""

import torch
from torch import Tensor

from medcl.contrast.core.blockwise import Tensors
from medcl.contrast.core.vectors import unit
from medcl.contrast.similarities.similarity import Similarity, same_length, vectors


def _prepare(a: Tensors, b: Tensors) -> tuple[Tensors, Tensors]:
    x = unit(vectors(a, "leading_singular_value"))
    others = [unit(side.flatten(1)) for side in b]
    for other in others:
        same_length(x, other)
    stacked = torch.stack(others, dim=1)
    # A vector of length 0 counts as one across all others.
    one = torch.ones(len(others), dtype=torch.bool, device=x.device).diag()
    return (x,), (stacked, torch.where(one, 1.0, stacked @ stacked.mT))


def _score(anchors: Tensors, candidates: Tensors) -> Tensor:
    others, among = candidates
    products = torch.einsum("nd,mkd->nmk", anchors[0], others)[..., None]
    below = torch.cat([products, among.expand(len(products), -1, -1, -1)], dim=3)
    above = torch.cat([torch.ones_like(products[:, :, :1]), products.mT], dim=3)
    gram = torch.cat([above, below], dim=2)
    # The decomposition refuses NaN.
    squares: Tensor = torch.linalg.eigvalsh(gram.nan_to_num()) + 0 * gram.sum(dim=(-2, -1))[..., None]
    return squares[..., -1].sqrt()


leading_singular_value = Similarity("leading_singular_value", _score, _prepare)
"""The largest singular value of the unit vectors of an anchor (N, D) and of one or more modalities (M, D).

sqrt(K) where all K point into one direction, up to sign, 1 where all are at right angles; with one modality
sqrt(1 + |cosine|)."""
