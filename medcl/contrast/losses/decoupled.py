"""Contrast without the positive in the denominator (DCL, DCLW, InfoLOOB)."""

from typing import Unpack

import torch
from torch import Tensor

from medcl.contrast.core.anchors import (
    Scale,
    counted,
    logsumexp_where,
    mean_over,
    mean_over_anchors,
    negatives,
    over_anchors,
    per_anchor,
    weighed,
)
from medcl.contrast.core.blockwise import Tensors
from medcl.contrast.core.gather import gather
from medcl.contrast.pairings.pairs import Pairing, PairMasks, hard
from medcl.contrast.similarities.similarity import Embeddings, Similarity, cosine
from medcl.errors import UsageError


def decoupled(
    a: Embeddings,
    b: Embeddings,
    pairing: Pairing | Tensor,
    *,
    sigma: float | None = None,
    temperature: float | Tensor = 0.1,
    similarity: Similarity = cosine,
    **scale: Unpack[Scale],
) -> Tensor:
    """InfoNCE whose denominator holds the negatives only.

    With s_ij = sim(a_i, b_j) / temperature, w_ip the weight of positive p and W_i their sum:

        l(i) = -1/W_i sum_p w_ip m_ip s_ip + log sum over the negatives j of v_ij exp(s_ij)

    with v_ij the importance that the pairing gives a candidate (1 if it gives none), and m_ip = 1 (DCL) or, with
    `sigma`, a positive that is close already counting less (DCLW):

        m_ip = 2 - exp(sim(a_i, b_p) / sigma) / mean over anchors of the mean over positives of exp(sim / sigma)

    The loss is the mean of l over the anchors with a positive and a negative. Yeh et al., Decoupled Contrastive
    Learning (ECCV 2022), who take sigma 0.5; with `among_views` as pairing the negatives are both views of all other
    samples, as there. Without `sigma` it is the leave-one-out bound InfoLOOB (Poole et al., ICML 2019), which CLOOB
    (Fuerst et al., NeurIPS 2022) applies to retrieved embeddings and multiplies by the temperature. Several positives
    are this library's extension: none of them is in the denominator.

    InfoNCE's gradient is scaled by 1 - p, p the positive's softmax, and fades when few negatives leave p near 1. Here
    it does not: take it for volumes and long recordings, where a batch holds 8 to 64 samples. The loss may fall
    below 0. The temperature acts as in `info_nce`; so does what it does to false negatives.

    The weights of DCLW are differentiated, as in the implementations in use; the mean in m_ip is over the anchors of
    all processes, where these take their own batch.

    Args:
        a: (N, D) anchors, or what the similarity takes.
        b: (M, D) candidates.
        pairing: who is positive, as yes or no or weights; a tensor (N, M) stands for `matrix`.
        sigma: above 0, for DCLW; None: DCL.
        temperature: above 0; a scalar tensor may be learned, (N,) gives every anchor its own.
        similarity: of embeddings.
        **scale: `block` and `group`, see `Scale`.

    Returns:
        Scalar; 0 with a gradient of 0 where no anchor has both a positive and a negative.

    Raises:
        UsageError: for a sigma that is not above 0, and as in `over_anchors`.

    Example:
        >>> import torch
        >>> from medcl.contrast import among_views, decoupled
        >>> z = torch.eye(3).repeat(2, 1)  # two views of three samples
        >>> round(decoupled(z, z, among_views(torch.arange(3))).item(), 3)
        -8.614
    """
    group = scale.get("group")
    if sigma is None:
        lines = over_anchors(_plain, a, b, pairing, similarity=similarity, temperature=temperature, **scale)
        return mean_over_anchors(lines, group)
    if not sigma > 0:
        raise UsageError(f"decoupled takes a sigma above 0, got {sigma}")

    def formula(scores: Tensor, pairs: PairMasks, rows: Tensors) -> Tensor:
        # The scores come divided by the temperature, which the weights do not know.
        closeness = scores * rows[0] / sigma
        positive = hard(pairs.positive)
        weights = pairs.positive.to(scores.dtype)
        some = (weights.sum(dim=1) > 0)[:, None]
        logs = torch.where(positive, weights, 1.0).log()
        shares = (closeness + logs).masked_fill(~positive & some, -torch.inf).softmax(dim=1)
        total = torch.where(some[:, 0], weights.sum(dim=1), 1.0)
        strength = logsumexp_where(closeness + logs, positive) - total.log()
        close, _ = mean_over(scores, torch.where(positive, shares, 0.0))
        plain, counts = _plain_parts(scores, pairs)
        return torch.stack(
            [*(torch.where(counts, x, 0.0) for x in (plain[0], plain[1], close, strength)), counts.to(scores.dtype)], 1
        )

    first = a if isinstance(a, Tensor) else a[0]
    rows = (per_anchor(temperature, first),)
    lines = over_anchors(formula, a, b, pairing, similarity=similarity, temperature=temperature, rows=rows, **scale)
    # The weights are relative to all anchors: every process computes the whole loss from everyone's lines.
    attraction, repulsion, close, strength, counts = gather(lines, group).unbind(1)
    relative = counts.sum() * strength.masked_fill(counts == 0, torch.finfo(lines.dtype).min).softmax(dim=0)
    losses = torch.where(counts > 0, repulsion - 2 * attraction + relative * close, 0.0)
    return losses.sum() / counts.sum().clamp(min=1)


def _plain(scores: Tensor, pairs: PairMasks, _: Tensors) -> Tensor:
    (attraction, repulsion), counts = _plain_parts(scores, pairs)
    return counted(repulsion - attraction, counts)


def _plain_parts(scores: Tensor, pairs: PairMasks) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """The mean over positives and the logarithm of the sum over negatives, (n,) each, and which anchors have both."""
    attraction, total = mean_over(scores, pairs.positive)
    against = negatives(pairs)
    repulsion = logsumexp_where(weighed(scores, pairs), against)
    return (attraction, repulsion), (total > 0) & against.any(dim=1)
