"""Contrast of two modalities in both directions (CLIP, ConVIRT), with any similarity."""

from typing import Unpack

from torch import Tensor

from medcl.contrast.core.anchors import Scale
from medcl.contrast.losses.info_nce import Denominator, Log, info_nce
from medcl.contrast.pairings.pairs import Pairing, matrix
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
        **scale: `block` and `group`, see `Scale`; each direction gathers the candidates of the other side.

    Returns:
        Scalar, as that of `info_nce`.

    Raises:
        UsageError: for a weight outside 0 to 1, for one temperature an anchor, and as in `info_nce`.
    """
    pairing = both_directions(pairing, temperature, weight)
    there = info_nce(
        a, b, pairing, temperature=temperature, similarity=similarity, log=log, denominator=denominator, **scale
    )
    back = info_nce(
        b,
        a,
        pairing.T,
        temperature=temperature,
        similarity=transposed(similarity),
        log=log,
        denominator=denominator,
        **scale,
    )
    return weight * there + (1 - weight) * back
