"""InfoNCE with many positives (SupCon's outer form)."""

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from medcl.contrast.pairs import same
from medcl.contrast.precision import accurate, no_autocast


def info_nce(
    a: Tensor,
    b: Tensor,
    positives: Tensor,
    *,
    temperature: float = 0.1,
    exclude: Tensor | None = None,
    cosine: bool = True,
) -> Tensor:
    """InfoNCE of anchors against candidates, every positive counted alike.

    With s_ij = cos(a_i, b_j) / temperature, P(i) the positives of i and A(i) all candidates that are not excluded:
    loss = mean over anchors with a positive of  -1/|P(i)| sum_{p in P(i)} log( exp(s_ip) / sum_{j in A(i)} exp(s_ij)
    ). This is L_out of Khosla et al., Supervised Contrastive Learning (NeurIPS 2020), eq. 2; with one positive it is
    van den Oord's InfoNCE.

    Args:
        a: (N, D) anchors.
        b: (M, D) candidates.
        positives: (N, M) bool.
        temperature: small values weigh the hardest negatives more.
        exclude: (N, M) bool, neither positive nor negative: the anchor itself, for one.
        cosine: normalise to unit length; else raw dot products.

    Returns:
        Scalar. Anchors without a positive contribute nothing; without any it is 0, with a gradient of 0.
    """
    with no_autocast(a):
        a, b = accurate(a), accurate(b)
        if cosine:
            a, b = F.normalize(a, dim=1), F.normalize(b, dim=1)
        s = a @ b.T / temperature
        if exclude is not None:
            s = s.masked_fill(exclude, -torch.inf)
            positives = positives & ~exclude
        count = positives.sum(dim=1)
        has = count > 0
        if exclude is not None:
            # A row whose every candidate is excluded has no positive either; its logsumexp of -inf would make NaN
            # gradients.
            s = s.masked_fill(~has[:, None], 0.0)
        log_denominator = torch.logsumexp(s, dim=1)
        attraction = torch.where(positives, s, 0.0).sum(dim=1) / count.clamp(min=1)
        loss = torch.where(has, log_denominator - attraction, 0.0)
        return loss.sum() / has.sum().clamp(min=1)


def info_nce_views(z1: Tensor, z2: Tensor, ids: Tensor, *, temperature: float = 0.1) -> Tensor:
    """InfoNCE over the 2B views of a batch: every view of the same id is a positive, the anchor itself is left out.

    Args:
        z1: (B, D) first views.
        z2: (B, D) second views.
        ids: (B,) int64 of one level.
        temperature: as in `info_nce`.

    Returns:
        Scalar.
    """
    z, both = torch.cat([z1, z2]), torch.cat([ids, ids])
    itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
    return info_nce(z, z, same(both, both), temperature=temperature, exclude=itself)
