"""Contrast of two modalities by the similarities in a frozen model (CWCL)."""

from typing import Unpack

from torch import Tensor

from medcl.contrast.core.anchors import Scale
from medcl.contrast.losses.info_nce import info_nce
from medcl.contrast.pairings.pairs import Pairing, itself
from medcl.contrast.pairings.soft import soft
from medcl.contrast.similarities.similarity import Embeddings, Similarity, cosine, transposed


def cwcl(
    a: Embeddings,
    b: Embeddings,
    frozen: Tensor,
    pairing: Pairing | None = None,
    *,
    temperature: float | Tensor = 0.07,
    similarity: Similarity = cosine,
    **scale: Unpack[Scale],
) -> Tensor:
    """Contrast two modalities: one way by the similarities in a frozen model, the other way by pairs.

    With s_ij = sim(a_i, b_j) / temperature and w_ij = (cos(frozen_i, frozen_j) + 1) / 2,

        - mean_i sum_j w_ij / (sum_k w_ik) log( exp(s_ij) / sum_k exp(s_ik) )
        - mean_j log( exp(s_jj) / sum_k exp(s_kj) )

    Continuously weighted contrastive loss (Srinivasa et al., CWCL, NeurIPS 2023). `a` is the modality of the frozen
    model, usually its own output behind a projection: cells or radiographs that look alike to it attract each other's
    reports in proportion, so that near-duplicates, which archives are full of, are not pushed apart. A low
    temperature sharpens both softmaxes, but not the weights.

    Args:
        a: (N, D) anchors.
        b: (N, D) of the other modality, in the same order.
        frozen: (N, E) of the modality of `a`.
        pairing: who belongs together in the direction from b to a, as of a with b; default: each with its own.
        temperature: of both directions; above 0.
        similarity: of embeddings.
        **scale: `block` and `group`, see `Scale`.

    Returns:
        Scalar, the sum of the two directions.

    Raises:
        UsageError: when shapes do not fit.
    """
    plain = itself(frozen) if pairing is None else pairing
    there = info_nce(a, b, soft(frozen), temperature=temperature, similarity=similarity, **scale)
    return there + info_nce(b, a, plain.T, temperature=temperature, similarity=transposed(similarity), **scale)
