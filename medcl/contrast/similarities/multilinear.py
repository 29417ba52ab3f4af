"""Tuples of three and more modalities: the multilinear inner product, and which tuple is the own one."""

import torch
from torch import Tensor

from medcl.contrast.core.blockwise import Tensors
from medcl.contrast.core.vectors import unit
from medcl.contrast.pairings.pairs import PairMasks
from medcl.contrast.similarities.similarity import Similarity, inner_product, same_length, vectors


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
