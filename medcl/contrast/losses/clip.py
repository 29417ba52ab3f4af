"""Contrast of two modalities in both directions (CLIP, ConVIRT), without their gap, or by a frozen model (CWCL)."""

from typing import Unpack

from torch import Tensor

from medcl.contrast.core.anchors import Scale
from medcl.contrast.losses.info_nce import Denominator, Log, info_nce
from medcl.contrast.losses.uniformity import alignment, uniformity
from medcl.contrast.pairings.neighbours import soft, softened
from medcl.contrast.pairings.pairs import Pairing, itself, matrix
from medcl.contrast.pairings.targets import smoothed
from medcl.contrast.similarities.similarity import Embeddings, Similarity, cosine, transposed
from medcl.errors import UsageError


def both_directions(pairing: Pairing | Tensor, temperature: float | Tensor, weight: float = 0.5) -> Pairing:
    """Check what a loss in both directions is given.

    Args:
        pairing: of `a` with `b`; a tensor (N, M) stands for `matrix`.
        temperature: of both directions.
        weight: of the direction from `a` to `b`.

    Returns:
        The pairing.

    Raises:
        UsageError: for a weight outside 0 to 1 and for one temperature an anchor.
    """
    if not 0 <= weight <= 1:
        raise UsageError(f"the weight of the direction from a to b must be from 0 to 1, got {weight}")
    if isinstance(temperature, Tensor) and temperature.numel() != 1:
        raise UsageError(
            f"a loss in both directions takes one temperature, got {tuple(temperature.shape)}: "
            "call info_nce for each direction to give every anchor its own"
        )
    return matrix(pairing) if isinstance(pairing, Tensor) else pairing


def clip(
    a: Embeddings,
    b: Embeddings,
    pairing: Pairing | Tensor,
    *,
    weight: float = 0.5,
    temperature: float | Tensor = 0.1,
    similarity: Similarity = cosine,
    log: Log = "outside",
    denominator: Denominator = "all",
    smoothing: float = 0.0,
    **scale: Unpack[Scale],
) -> Tensor:
    """Contrast images with reports and reports with images.

        L = weight * InfoNCE(a -> b) + (1 - weight) * InfoNCE(b -> a)

    Each direction is a mean over its own anchors, so that N images and M reports need not be equally many, and one
    report may belong to several images of a study. With `weight` lambda and image-report pairs this is ConVIRT (Zhang
    et al., MLHC 2022), lambda on the direction from images to texts; with 0.5, CLIP (Radford et al., ICML 2021). MoRE
    (text with X-ray, and text with ECG) is the sum of two of these, without a term between X-ray and ECG.

    Reports repeat each other ("no acute finding"): pair by `same` of a hash of the text instead of by sample, so that
    an image is not pushed away from the words that describe it. The temperature (ConVIRT 0.1, CLIP learned from 0.07)
    is shared by both directions; the released CLIP learns log(1 / temperature) and caps 1 / temperature at 100: pass
    `temperature=1 / log_scale.exp().clamp(max=100)`.

    Args:
        a: (N, D) embeddings of one modality, or what the similarity takes as anchors.
        b: (M, D) of the other, or what the similarity takes as candidates.
        pairing: of `a` with `b`; the other direction is its transpose.
        weight: from 0 to 1, of the direction from `a` to `b`.
        temperature: above 0, one number; a tensor may be learned.
        similarity: of `a` with `b`; the other direction is its transpose.
        log: as in `info_nce`.
        denominator: as in `info_nce`.
        smoothing: from 0 to below 1, the share of an anchor's target that all its candidates have in common, in each
            direction (see `smoothed`).
        **scale: `block` and `group`, see `Scale`; each direction gathers the candidates of the other side.

    Returns:
        Scalar, as that of `info_nce`.

    Raises:
        UsageError: for a weight or a smoothing out of range, for one temperature an anchor, and as in `info_nce`.

    Example:
        >>> import torch
        >>> from medcl.contrast import clip, same
        >>> images, reports = torch.eye(3), torch.eye(3)
        >>> text = torch.tensor([5, 5, 8])  # the first two reports have the same text
        >>> round(clip(images, reports, same(text), temperature=0.5).item(), 3)
        0.906
    """
    pairing = both_directions(pairing, temperature, weight)
    forth, backwards = (smoothed(one, smoothing) for one in (pairing, pairing.T))
    there = info_nce(
        a, b, forth, temperature=temperature, similarity=similarity, log=log, denominator=denominator, **scale
    )
    back = info_nce(
        b,
        a,
        backwards,
        temperature=temperature,
        similarity=transposed(similarity),
        log=log,
        denominator=denominator,
        **scale,
    )
    return weight * there + (1 - weight) * back


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


def cwcl(
    a: Embeddings,
    b: Embeddings,
    frozen: Tensor,
    pairing: Pairing | None = None,
    *,
    both: bool = False,
    sharpness: float = 0.0,
    temperature: float | Tensor = 0.07,
    similarity: Similarity = cosine,
    **scale: Unpack[Scale],
) -> Tensor:
    """Contrast two modalities: one way by the similarities in a frozen model, the other way by pairs, or by them too.

    With s_ij = sim(a_i, b_j) / temperature and w_ij = (cos(frozen_i, frozen_j) + 1) / 2,

        - mean_i sum_j w_ij / (sum_k w_ik) log( exp(s_ij) / sum_k exp(s_ik) )
        - mean_j log( exp(s_jj) / sum_k exp(s_kj) )

    Continuously weighted contrastive loss (Srinivasa et al., CWCL, NeurIPS 2023). `a` is the modality of the frozen
    model, usually its own output behind a projection: cells or radiographs that look alike to it attract each other's
    reports in proportion, so that near-duplicates, which archives are full of, are not pushed apart. A low
    temperature sharpens both softmaxes, but not the weights.

    As published, only the direction from a to b is weighted. Where b repeats itself, as reports do, the other one still
    pushes the images of two equal reports apart: `both` weighs it as well, each b_j attracting the a_i in proportion,
    which is not in the paper. The cosines of an encoder of reports lie near each other, so that the weights are nearly
    flat: with a `sharpness` they are the softmax of cosine / sharpness over the candidates (0.1, say).

    Args:
        a: (N, D) anchors.
        b: (N, D) of the other modality, in the same order.
        frozen: (N, E) of the modality of `a`.
        pairing: who belongs together in the direction from b to a, as of a with b; default: each with its own.
        both: whether the direction from b to a is weighted too, in the place of the pairing.
        sharpness: temperature of a softmax of the weights; 0 takes (cosine + 1) / 2.
        temperature: of both directions; above 0.
        similarity: of embeddings.
        **scale: `block` and `group`, see `Scale`.

    Returns:
        Scalar, the sum of the two directions.

    Raises:
        UsageError: when shapes do not fit.
    """
    # Of equal anchors and candidates, the weights of the other direction are these as well.
    weighted = softened(frozen.detach(), temperature=sharpness) if sharpness else soft(frozen)
    plain = itself(frozen) if pairing is None else pairing
    there = info_nce(a, b, weighted, temperature=temperature, similarity=similarity, **scale)
    other = weighted if both else plain.T
    return there + info_nce(b, a, other, temperature=temperature, similarity=transposed(similarity), **scale)
