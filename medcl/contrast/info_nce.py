"""InfoNCE with any number of positives (SupCon)."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from medcl.contrast.pairs import same_among_views
from medcl.contrast.precision import accurate, no_autocast
from medcl.errors import UsageError


def info_nce(
    a: Tensor,
    b: Tensor,
    positives: Tensor,
    *,
    temperature: float = 0.1,
    exclude: Tensor | None = None,
    similarity: Literal["cosine", "dot"] = "cosine",
    log: Literal["outside", "inside"] = "outside",
) -> Tensor:
    """Contrast anchors with candidates of which some are positive.

    With s_ij = cos(a_i, b_j) / temperature (or a_i . b_j / temperature), P(i) the positives of anchor i and A(i) all
    candidates that are not excluded, positives among them:

        outside: l(i) = -1/|P(i)| sum_{p in P(i)} log( exp(s_ip) / sum_{j in A(i)} exp(s_ij) )
        inside:  l(i) = -log( 1/|P(i)| sum_{p in P(i)} exp(s_ip) / sum_{j in A(i)} exp(s_ij) )

    The loss is the mean of l over the anchors with a positive. These are L_out and L_in of Khosla et al., Supervised
    Contrastive Learning (NeurIPS 2020), eq. 2 and 3; with one positive an anchor both are InfoNCE (van den Oord et al.,
    2018). SupCon's released code multiplies L_out by temperature / 0.07 besides; this is the paper's formula.

    Args:
        a: (N, D) anchors.
        b: (M, D) candidates.
        positives: (N, M) bool; those that are also excluded do not count.
        temperature: above 0; the smaller, the more the nearest negatives weigh.
        exclude: (N, M) bool, neither positive nor negative: the anchor itself, for one.
        similarity: `cosine` brings a and b to unit length first.
        log: where the logarithm is taken, relative to the sum over positives.

    Returns:
        Scalar, computed in float32 or, for float64 embeddings, in float64. Anchors without a positive contribute
        nothing; if there is none with a positive, 0 with a gradient of 0.

    Raises:
        UsageError: when shapes do not fit, a mask is not bool, the temperature is not above 0, or an option is unknown.
    """
    _check(a, b, {"positives": positives} | ({} if exclude is None else {"exclude": exclude}))
    if not temperature > 0:
        raise UsageError(f"a temperature must be above 0, got {temperature}")
    if similarity not in ("cosine", "dot") or log not in ("outside", "inside"):
        raise UsageError(f"info_nce knows cosine or dot, log outside or inside; got {similarity!r} and {log!r}")
    with no_autocast(a):
        a, b = accurate(a), accurate(b)
        if similarity == "cosine":
            a, b = F.normalize(a, dim=1), F.normalize(b, dim=1)
        s = a @ b.T / temperature
        if exclude is not None:
            positives = positives & ~exclude
        count = positives.sum(dim=1, dtype=s.dtype)
        counts = count > 0
        if exclude is not None:
            # Rows that do not count stay finite: a row of nothing but -inf has a logsumexp without a derivative.
            s = s.masked_fill(exclude & counts[:, None], -torch.inf)
        if log == "outside":
            attraction = torch.where(positives, s, 0.0).sum(dim=1) / count.clamp(min=1)
        else:
            pulled = torch.where(positives | ~counts[:, None], s, -torch.inf)
            attraction = pulled.logsumexp(dim=1) - count.clamp(min=1).log()
        losses = torch.where(counts, s.logsumexp(dim=1) - attraction, 0.0)
        return losses.sum() / counts.sum().clamp(min=1)


def info_nce_views(
    z1: Tensor,
    z2: Tensor,
    ids: Tensor,
    *,
    temperature: float = 0.1,
    similarity: Literal["cosine", "dot"] = "cosine",
    log: Literal["outside", "inside"] = "outside",
) -> Tensor:
    """Contrast the 2N views of a batch: all views that share an id are positive, no view is compared with itself.

    With ids unique to a sample this is SimCLR's NT-Xent; with labels, SupCon; with patients or trials, COMET's and
    CLOCS's idea on pooled embeddings.

    Args:
        z1: (N, D) first views.
        z2: (N, D) second views.
        ids: (N,) int64 of one level.
        temperature: see `info_nce`.
        similarity: see `info_nce`.
        log: see `info_nce`.

    Returns:
        Scalar, as that of `info_nce`.

    Raises:
        TypeError: when ids are not integers.
        UsageError: when shapes do not fit; see `info_nce`.
    """
    z = torch.cat([z1, z2])
    positives, alone = same_among_views(ids)
    return info_nce(z, z, positives, temperature=temperature, exclude=alone, similarity=similarity, log=log)


def _check(a: Tensor, b: Tensor, masks: dict[str, Tensor]) -> None:
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise UsageError(f"anchors and candidates must be (N, D) and (M, D), got {tuple(a.shape)} and {tuple(b.shape)}")
    for name, mask in masks.items():
        if mask.shape != (len(a), len(b)) or mask.dtype != torch.bool:
            raise UsageError(
                f"{name} must be bool of shape {(len(a), len(b))}, got {mask.dtype} of shape {tuple(mask.shape)}"
            )
