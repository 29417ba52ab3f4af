"""Model-aware contrast (MACL): the better positives agree, the higher the temperature."""

from typing import Unpack

import torch
from torch import Tensor

from medcl.contrast.core.anchors import Scale, counted, logsumexp_where, mean_over_anchors, over_anchors
from medcl.contrast.core.blockwise import Tensors
from medcl.contrast.core.gather import gather
from medcl.contrast.pairings.pairs import Pairing, PairMasks, matrix
from medcl.contrast.similarities.similarity import Embeddings, Similarity, cosine
from medcl.errors import UsageError

LOWEST = 0.1
"""Share of its temperature below which none falls, however badly the positives agree."""


def macl(
    a: Embeddings,
    b: Embeddings,
    pairing: Pairing | Tensor,
    *,
    temperature: float = 0.1,
    alpha: float = 0.5,
    threshold: float = 0.0,
    reweighted: bool = True,
    similarity: Similarity = cosine,
    **scale: Unpack[Scale],
) -> Tensor:
    """InfoNCE whose temperature follows the alignment of positives, and whose hard pairs do not starve easy ones.

    With A the mean cosine of all positive pairs of the batch and t = temperature (1 + alpha (A - threshold)), but at
    least a tenth of the temperature,

        P_ip = exp(cos(a_i, b_p) / t) / sum over all candidates j of exp(cos(a_i, b_j) / t)
        l(i) = mean over the positives p of  -log(P_ip) / (1 - P_ip)

    where neither A nor 1 - P_ip is differentiated. Without the division, the gradient of a pair carries a factor
    1 - P_ip that vanishes as the pair becomes separable, the sooner the fewer candidates there are. MACL (Huang et al.,
    Model-Aware Contrastive Learning: Towards Escaping the Dilemmas, ICML 2023). Early in training the temperature is
    low and all negatives are pushed; later it is higher and leaves alike images of different patients, of which there
    are many, alike. For batches of a few hundred and less.

    Args:
        a: (N, D) anchors.
        b: (M, D) candidates.
        pairing: who is positive, by yes and no; a tensor (N, M) of bool stands for `matrix`.
        temperature: at an alignment of `threshold`; above 0.
        alpha: how much the temperature follows; 0: not at all.
        threshold: an alignment from -1 to 1.
        reweighted: divide by 1 - P_ip.
        similarity: a cosine: of unit vectors.
        **scale: `block` and `group`, see `Scale`.

    Returns:
        Scalar; anchors without a positive do not count.

    Raises:
        UsageError: for weights as positives, a similarity that is not of unit vectors, and numbers out of range.
    """
    pairing = matrix(pairing) if isinstance(pairing, Tensor) else pairing
    if pairing.soft or not similarity.unit:
        raise UsageError("the alignment of positives is the mean cosine of pairs of yes and no")
    if not (temperature > 0 and alpha >= 0):
        raise UsageError(f"temperature must be above 0 and alpha at least 0, got {temperature} and {alpha}")
    group = scale.get("group")
    with torch.no_grad():
        sums, counts = gather(over_anchors(_alignment, a, b, pairing, similarity=similarity, **scale), group).sum(0)
        alignment = sums / counts.clamp(min=1)

    def formula(scores: Tensor, pairs: PairMasks, _: Tensors) -> Tensor:
        normaliser = logsumexp_where(scores, pairs.candidate)
        losses = normaliser.masked_fill(normaliser == -torch.inf, 0.0)[:, None] - scores
        if reweighted:
            # Where rounding makes P 1, the loss and its derivative are 0.
            smallest = torch.finfo(scores.dtype).eps
            losses = losses / (-losses.detach().neg().expm1()).clamp(min=smallest)
        count = pairs.positive.sum(dim=1)
        return counted(torch.where(pairs.positive, losses, 0.0).sum(dim=1) / count.clamp(min=1), count > 0)

    adapted = temperature * (1 + alpha * (alignment - threshold)).clamp(min=LOWEST)
    lines = over_anchors(formula, a, b, pairing, similarity=similarity, temperature=adapted, **scale)
    return mean_over_anchors(lines, group)


def _alignment(scores: Tensor, pairs: PairMasks, _: Tensors) -> Tensor:
    """Sum over positives and their number, (n, 2)."""
    positive = pairs.positive
    return torch.stack([torch.where(positive, scores, 0.0).sum(1), positive.sum(1, dtype=scores.dtype)], dim=1)
