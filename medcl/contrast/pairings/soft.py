"""Soft positives from the similarities of a model that is not trained, or is trained along."""

from typing import Unpack

from torch import Tensor
from torch.nn import functional as F

from medcl.contrast.core.anchors import Scale
from medcl.contrast.core.blockwise import Tensors
from medcl.contrast.core.vectors import accurate, no_autocast
from medcl.contrast.losses.clip import transposed
from medcl.contrast.losses.info_nce import info_nce
from medcl.contrast.pairings.pairs import Pairing, Pairs, itself
from medcl.contrast.similarities.similarity import Embeddings, Similarity, cosine
from medcl.errors import UsageError


def soft(frozen_a: Tensor, frozen_b: Tensor | None = None) -> Pairing:
    """Positive by the weight (cos(frozen_a, frozen_b) + 1) / 2.

    Args:
        frozen_a: (N, E) embeddings of the anchors by a model that is not trained; no derivative is taken.
        frozen_b: (M, E) those of the candidates by the same model; default: the same ones.

    Returns:
        The pairing, of weights from 0 to 1.

    Raises:
        UsageError: when shapes do not fit.
    """
    a, b = _units(frozen_a.detach(), None if frozen_b is None else frozen_b.detach())

    def rule(anchors: Tensors, candidates: Tensors) -> Pairs:
        return Pairs((anchors[0] @ candidates[0].T).add(1).div(2).clamp(0, 1))

    return Pairing(rule, (a,), (b,), soft=True)


def softened(target_a: Tensor, target_b: Tensor | None = None, *, temperature: float) -> Pairing:
    """Positive by the softmax over the candidates of cos(target_a, target_b) / temperature.

    The weights of an anchor add up to 1, over the candidates of all processes. They have a derivative where the targets
    have one; detach them if they are to teach only. Pairs that are left out (`without`) stay in the softmax.

    Args:
        target_a: (N, E) embeddings of the anchors by the model that teaches.
        target_b: (M, E) those of the candidates; default: the same ones.
        temperature: above 0; the lower, the nearer to one positive an anchor.

    Returns:
        The pairing, of weights from 0 to 1.

    Raises:
        UsageError: when shapes do not fit or the temperature is not above 0.
    """
    if not temperature > 0:
        raise UsageError(f"a temperature must be above 0, got {temperature}")
    a, b = _units(target_a, target_b)

    def rule(anchors: Tensors, candidates: Tensors) -> Pairs:
        return Pairs((anchors[0] @ candidates[0].T / temperature).softmax(dim=1))

    return Pairing(rule, (a,), (b,), soft=True)


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
    reports in proportion, so that near-duplicates, which archives are full of, are not told apart by force. A low
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


def _units(a: Tensor, b: Tensor | None) -> tuple[Tensor, Tensor]:
    b = a if b is None else b
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise UsageError(f"embeddings of one model must be (N, E) and (M, E), got {a.shape} and {b.shape}")
    with no_autocast(a):
        return F.normalize(accurate(a), dim=1), F.normalize(accurate(b), dim=1)
