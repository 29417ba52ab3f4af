"""Contrast that corrects for negatives which are positives in truth, and weighs hard ones more (DCL of Chuang, HCL)."""

import math
from typing import Unpack

import torch
from torch import Tensor
from torch.nn import functional as F

from medcl.contrast.core.anchors import (
    Scale,
    counted,
    logsumexp_where,
    mean_over,
    mean_over_anchors,
    negatives,
    on_the_sphere,
    over_anchors,
    per_anchor,
    yes_or_no,
)
from medcl.contrast.core.blockwise import Tensors
from medcl.contrast.pairings.pairs import Pairing, PairMasks
from medcl.contrast.similarities.similarity import Embeddings, Similarity, cosine
from medcl.errors import UsageError


def debiased(
    a: Embeddings,
    b: Embeddings,
    pairing: Pairing | Tensor,
    *,
    tau_plus: float = 0.1,
    beta: float = 0.0,
    temperature: float | Tensor = 0.5,
    similarity: Similarity = cosine,
    **scale: Unpack[Scale],
) -> Tensor:
    """InfoNCE with an estimate of what true negatives would have given.

    With s_ij = cos(a_i, b_j) / temperature, P_i positives and N_i negatives of anchor i:

        E-(i) = sum over negatives of exp((1 + beta) s_ij) / sum over negatives of exp(beta s_ij)
        E+(i) = mean over positives of exp(s_ip)
        g(i) = max( (E-(i) - tau_plus E+(i)) / (1 - tau_plus), exp(-1 / temperature) )
        l(i) = -1/P_i sum_p log( exp(s_ip) / (exp(s_ip) + N_i g(i)) )

    The loss is the mean of l over the anchors with a positive and a negative. beta = 0 is Chuang et al., Debiased
    Contrastive Learning (NeurIPS 2020): a share tau_plus of what is drawn as negative is positive in truth, and its
    expected part is taken off again, never below what the least similar vectors would give. beta > 0 is Robinson et
    al., Contrastive Learning with Hard Negative Samples (ICLR 2021): negatives weigh exp(beta s_ij), the more the more
    alike. tau_plus = 0 and beta = 0 is InfoNCE with `denominator="own"`. Importance of candidates multiplies both sums
    of E- and counts in N_i.

    It suits unlabelled studies in which a finding is common: if a tenth of the chest X-rays are normal, two drawn at
    random agree that often, and tau_plus is the chance that two samples share what should be learned. Hard negatives
    of one scanner or one patient need `without` first, or beta weighs exactly these. The temperature (0.5 in both
    papers) also sets the floor; below 0.1 the estimate rests on one or two negatives.

    Everything is computed from logarithms. The released code of both papers does the same sums with exponentials, beta
    on similarities over temperature as here, and has one positive; there the number of negatives is that of the batch.

    Args:
        a: (N, D) anchors.
        b: (M, D) candidates.
        pairing: who is positive, yes or no; a tensor (N, M) bool stands for `matrix`.
        tau_plus: from 0 to below 1, the share of negatives that are positive in truth.
        beta: 0 or more, how much harder negatives weigh.
        temperature: above 0; a scalar tensor may be learned, (N,) gives every anchor its own.
        similarity: `cosine`: the floor holds for vectors of length 1.
        **scale: `block` and `group`, see `Scale`.

    Returns:
        Scalar; 0 with a gradient of 0 where no anchor has both a positive and a negative.

    Raises:
        UsageError: for another similarity, a soft pairing, tau_plus or beta out of range, and as in `over_anchors`.

    Example:
        >>> import torch
        >>> from medcl.contrast import among_views, debiased
        >>> z = torch.eye(3).repeat(2, 1)
        >>> pairing = among_views(torch.arange(3))
        >>> round(debiased(z, z, pairing, tau_plus=0.0).item(), 3)
        0.433
    """
    on_the_sphere(similarity, "debiased")
    pairing = yes_or_no(pairing, "debiased")
    if not (0 <= tau_plus < 1 and beta >= 0):
        raise UsageError(f"debiased takes tau_plus from 0 to below 1 and beta of 0 or more, got {tau_plus} and {beta}")

    def formula(scores: Tensor, pairs: PairMasks, rows: Tensors) -> Tensor:
        return _lines(scores, pairs, rows[0], tau_plus, beta)

    first = a if isinstance(a, Tensor) else a[0]
    rows = (per_anchor(temperature, first),)
    lines = over_anchors(formula, a, b, pairing, similarity=similarity, temperature=temperature, rows=rows, **scale)
    return mean_over_anchors(lines, scale.get("group"))


def _lines(scores: Tensor, pairs: PairMasks, temperature: Tensor, tau_plus: float, beta: float) -> Tensor:
    against = negatives(pairs)
    counts = pairs.positive.any(dim=1) & against.any(dim=1)
    shares = torch.zeros_like(scores) if pairs.importance is None else pairs.importance.to(scores.dtype).log()
    number = torch.where(counts, logsumexp_where(shares, against), 0.0)
    hardness = number if beta == 0 else torch.where(counts, logsumexp_where(beta * scores + shares, against), 0.0)
    drawn = torch.where(counts, logsumexp_where((1 + beta) * scores + shares, against), 0.0) - hardness
    if tau_plus > 0:
        # log(E- - tau_plus E+) = log E- + log(1 - exp(gap)), which exists for a gap below 0; else the floor is higher.
        some = pairs.positive.sum(dim=1).clamp(min=1).to(scores.dtype)
        pulled = torch.where(counts, logsumexp_where(scores, pairs.positive), 0.0) - some.log()
        gap = math.log(tau_plus) + pulled - drawn
        floor = -1 / temperature[:, 0]
        rest = drawn + torch.log(-torch.expm1(gap.masked_fill(gap >= 0, -1.0))) - math.log1p(-tau_plus)
        drawn = torch.where(gap < 0, torch.maximum(rest, floor), floor)
    losses, _ = mean_over(F.softplus((number + drawn)[:, None] - scores), pairs.positive)
    return counted(losses, counts)
