"""CLIP that keeps its two modalities from settling in two corners of the sphere."""

from typing import Unpack

from torch import Tensor

from medcl.contrast.core.anchors import Scale
from medcl.contrast.losses.clip import both_directions, clip
from medcl.contrast.losses.uniformity import alignment, uniformity
from medcl.contrast.pairings.pairs import Pairing
from medcl.contrast.similarities.similarity import Embeddings, Similarity, cosine


def clip_without_gap(
    a: Embeddings,
    b: Embeddings,
    pairing: Pairing | Tensor,
    *,
    align: float = 1.0,
    within: float = 1.0,
    across: float = 1.0,
    t: float = 2.0,
    temperature: float | Tensor = 0.1,
    similarity: Similarity = cosine,
    **scale: Unpack[Scale],
) -> Tensor:
    """CLIP plus alignment and uniformity, within each modality and across both.

        L = CLIP + align * mean ||a_i - b_p||^2
                 + within * 1/2 (log mean exp(-t ||a_i - a_j||^2) + log mean exp(-t ||b_i - b_j||^2))
                 + across * log mean exp(-t ||a_i - b_j||^2)

    the first mean over positives, those of `within` over all pairs i != j of one modality, that of `across` over all
    pairs that are not positive. Fahim, Murphy and Fyshe, It's Not a Modality Gap: Characterizing and Addressing the
    Contrastive Gap (2024): L_CUAXU with all weights 1, L_CUA with across = 0, CLIP with all three 0.

    The paper divides its sums over pairs by the number of samples and not of pairs, which adds a constant, and counts
    each vector with itself in `within`; here pairs are distinct, as in Wang and Isola (ICML 2020).

    Take it where image and report, or scan and recording, are to be compared or mixed with each other directly:
    retrieval in a pool of both, arithmetic between modalities, one classifier for either. The paper finds retrieval
    from one modality to the other unchanged, so do not expect it there. The temperature (the paper: 0.01) acts on CLIP
    alone; a small one widens the gap, larger weights close it.

    Args:
        a: (N, D) embeddings of one modality.
        b: (M, D) of the other.
        pairing: of `a` with `b`; a tensor (N, M) stands for `matrix`.
        align: weight of the alignment.
        within: weight of the uniformity within the modalities.
        across: weight of the cross-modal uniformity.
        t: of the uniformity.
        temperature: above 0, one number; a tensor may be learned.
        similarity: `cosine`.
        **scale: `block` and `group`, see `Scale`.

    Returns:
        Scalar.

    Raises:
        UsageError: as in `clip`, `alignment` and `uniformity`.
    """
    pairing = both_directions(pairing, temperature)
    spread = uniformity(a, t=t, similarity=similarity, **scale) + uniformity(b, t=t, similarity=similarity, **scale)
    return (
        clip(a, b, pairing, temperature=temperature, similarity=similarity, **scale)
        + align * alignment(a, b, pairing, similarity=similarity, **scale)
        + within * spread / 2
        + across * uniformity(a, b, pairing, t=t, similarity=similarity, **scale)
    )
