"""InfoNCE with kernels of the distance other than the Gaussian one (Kernel-InfoNCE)."""

from typing import Literal, Unpack

import torch
from torch import Tensor

from medcl.contrast.core.anchors import Scale
from medcl.contrast.core.blockwise import Tensors, unit
from medcl.contrast.losses.info_nce import info_nce
from medcl.contrast.pairings.pairs import Pairing
from medcl.contrast.similarities.similarity import Sides, Similarity, same_length, vectors
from medcl.errors import UsageError

Mixture = Literal["sum", "concatenated"]


def kernel_info_nce(
    a: Tensor,
    b: Tensor,
    pairing: Pairing | Tensor,
    *,
    power: float = 1.0,
    share: float = 0.5,
    mixture: Mixture = "sum",
    temperature: float | Tensor = 0.1,
    **scale: Unpack[Scale],
) -> Tensor:
    """InfoNCE whose exponentials are kernels of the distance between unit vectors, mixed with the Gaussian one.

        k_g(u, v) = exp(-|u - v|^g / temperature)        L_g = -mean log( k_g(a_i, b_p) / sum_j k_g(a_i, b_j) )

        sum:           share L_power(a, b) + (1 - share) L_2(a, b)
        concatenated:  share L_power(first halves) + (1 - share) L_2(second halves of the features, each of length 1)

    with the candidates j and several positives p as in `info_nce` (Tan, Zhang, Yang and Yuan, Contrastive Learning Is
    Spectral Clustering on Similarity Graph, ICLR 2024). L_2 is InfoNCE of cosines at half the temperature. The paper
    shows that such losses do spectral clustering on the graph of positives; a power below 2 falls off more slowly, so
    that what is far apart is pushed away more, and near neighbours less. Their powers are 0.5 and 1.

    Args:
        a: (N, D) anchors.
        b: (M, D) candidates.
        pairing: who is positive, and how much, as in `info_nce`.
        power: of the distance, above 0 and at most 2.
        share: of the loss with this power, from 0 to 1; the rest is that of the Gaussian kernel.
        mixture: whether both are of the whole vectors, or each of one half of the features.
        temperature: above 0, as in `info_nce`.
        **scale: `block` and `group`, see `Scale`.

    Returns:
        Scalar, as that of `info_nce`.

    Raises:
        UsageError: for a power, share or mixture that there is not, and as in `info_nce`.
    """
    if not 0 < power <= 2 or not 0 <= share <= 1 or mixture not in ("sum", "concatenated"):
        raise UsageError(
            "kernel_info_nce takes a power above 0 and at most 2, a share from 0 to 1, and a mixture sum or "
            f"concatenated; got {power}, {share} and {mixture!r}"
        )
    half = a.shape[-1] // 2 if mixture == "concatenated" else None
    if half == 0:
        raise UsageError(f"a mixture of two halves needs two features or more, got {a.shape[-1]}")
    first, second = slice(None, half), slice(half, None)
    parts = []
    for weight, exponent, own in ((share, power, first), (1 - share, 2.0, second)):
        if weight:
            one, other = (a[..., own], b[..., own]) if half else (a, b)
            parts.append(
                weight
                * info_nce(one, other, pairing, temperature=temperature, similarity=minus_distance(exponent), **scale)
            )
    return torch.stack(parts).sum()


def minus_distance(power: float) -> Similarity:
    """The similarity -|u - v|^power of unit vectors; that of equal vectors has a derivative of 0.

    Args:
        power: above 0 and at most 2.

    Returns:
        A similarity of one vector with one.
    """

    def prepare(a: Tensors, b: Tensors) -> Sides:
        x, y = vectors(a, "minus_distance"), vectors(b, "minus_distance")
        same_length(x, y)
        return (unit(x),), (unit(y),)

    def score(anchors: Tensors, candidates: Tensors) -> Tensor:
        squared = 2 - 2 * anchors[0] @ candidates[0].T
        if power == 2:
            return -squared
        # Rounding leaves what is equal a little apart, or below 0, where a root has no derivative.
        smallest = 1e-12 if squared.dtype == torch.float64 else 1e-6
        return -(squared.clamp(min=smallest) ** (power / 2))

    return Similarity("minus_distance", score, prepare)
