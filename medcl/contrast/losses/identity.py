"""COMET's trial and patient losses: windows that share an id are positives (CLOCS)."""

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from medcl.contrast.core.blockwise import accurate, no_autocast
from medcl.contrast.core.gather import Group, gather
from medcl.contrast.pairings.pairs import same
from medcl.errors import UsageError


def identity(
    z1: Tensor,
    z2: Tensor,
    ids: Tensor,
    *,
    temperature: float = 0.1,
    diagonal: bool = False,
    group: Group = None,
) -> Tensor:
    """The loss of one level; see `identities`.

    Args:
        z1: (B, T, K) dense embeddings of the first view, or (B, K) pooled ones.
        z2: those of the second.
        ids: (B,) int64.
        temperature: of the softmax.
        diagonal: add CLOCS's two terms in which the two views of one sample are positives.
        group: processes whose samples are one batch, see `Scale`; each computes the whole loss of gathered embeddings.

    Returns:
        Scalar, float32 or float64; 0 with a gradient of 0 where nothing is positive.
    """
    return identities(z1, z2, {"": ids}, temperature=temperature, diagonal=diagonal, group=group)[""]


def identities(
    z1: Tensor,
    z2: Tensor,
    ids: Mapping[str, Tensor],
    *,
    temperature: float = 0.1,
    diagonal: bool = False,
    group: Group = None,
) -> dict[str, Tensor]:
    """The trial and patient losses of several levels, from one matrix of similarities.

    Each feature of each sample is normalised over time (||r_i.k|| = 1) and the whole is flattened to a vector of T K
    numbers. With s_ij = cos(r_i, r'_j) / temperature and E = exp(s), the terms are

        mean over i < j of one id of  -log E_ij / sum_k E_ik        (rows: the first view as anchor)
        mean over i > j of one id of  -log E_ij / sum_k E_kj        (columns: the second view as anchor)

    and the loss is the mean of those that exist. The denominators hold all samples, positives and the sample itself
    included; two views of one sample are no positive pair. COMET (Wang et al., NeurIPS 2023), after CLOCS (Kiyasseh
    et al., ICML 2021), which has the same two terms for i = j besides: `diagonal`.

    The normalisation over time is that of COMET's released code, which gives a quiet feature the weight of a loud one.
    Pooled embeddings (B, K) get the plain cosine of CLOCS. The loss depends on the order of the samples that share an
    id: of two, the earlier one is the anchor in both terms.

    Args:
        z1: (B, T, K) dense embeddings of the first view, or (B, K) pooled ones.
        z2: those of the second.
        ids: {level: (B,) int64}.
        temperature: of the softmax.
        diagonal: add CLOCS's two terms in which the two views of one sample are positives.
        group: processes whose samples are one batch, see `Scale`; each computes the whole loss of gathered embeddings.

    Returns:
        {level: scalar}, float32 or float64; 0 with a gradient of 0 where nothing is positive.

    Raises:
        UsageError: when the shapes differ or are not (B, T, K) or (B, K), when ids are not one integer a sample, or
            when the temperature is not positive.
    """
    z1, z2 = gather(z1, group), gather(z2, group)
    ids = {level: gather(own, group) for level, own in ids.items()}
    if z1.ndim not in (2, 3) or z1.shape != z2.shape or z1.numel() == 0:
        raise UsageError(
            "the two views must be (batch, time, features) or (batch, features) of one shape, "
            f"got {tuple(z1.shape)} and {tuple(z2.shape)}"
        )
    if not temperature > 0:
        raise UsageError(f"a temperature must be above 0, got {temperature}")
    for level, own in ids.items():
        if own.shape != z1.shape[:1]:
            raise UsageError(f"{level} ids must be of shape {tuple(z1.shape[:1])}, got {tuple(own.shape)}")
    with no_autocast(z1):
        s = cosine_over_time(accurate(z1), accurate(z2)) / temperature
        by_row, by_column = s.logsumexp(dim=1, keepdim=True) - s, s.logsumexp(dim=0, keepdim=True) - s
        return {
            level: _mean_of_terms(by_row, by_column, same(own).pairs().positive, diagonal) for level, own in ids.items()
        }


def _mean_of_terms(by_row: Tensor, by_column: Tensor, positives: Tensor, diagonal: bool) -> Tensor:
    upper, lower = positives.triu(1), positives.tril(-1)
    terms = [(by_row, upper), (by_column, lower)]
    if diagonal:
        two_views = torch.eye(len(positives), dtype=torch.bool, device=positives.device)
        terms += [(by_row, two_views), (by_column, two_views)]
    counts = torch.stack([pairs.sum() for _, pairs in terms])
    sums = torch.stack([torch.where(pairs, losses, 0.0).sum() for losses, pairs in terms])
    return (sums / counts.clamp(min=1)).sum() / (counts > 0).sum().clamp(min=1)


SMALLEST = 1e-12
"""A feature whose norm over time is below this counts as 0 throughout."""


def cosine_over_time(z1: Tensor, z2: Tensor) -> Tensor:
    """Cosines between all first and all second views, after normalising every feature of every sample over time.

    With n_itk = z_itk / ||z_i.k||, flattened to T K numbers a sample: s_ij = n1_i . n2_j / (||n1_i|| ||n2_j||). A
    feature that is 0 throughout stays 0, with a derivative of 0. Pooled embeddings get the plain cosine.

    One node of the graph: ||n_i||^2 is the number of features that are not 0, a constant, and the derivative through
    the normalisation takes one pass over the embeddings.

    Args:
        z1: (B, T, K) dense embeddings of the first view, or (B, K) pooled ones; float32 or float64.
        z2: those of the second.

    Returns:
        (B, B), first views in rows. It can be differentiated once.
    """
    # A pooled embedding is one feature with K steps.
    views = (z.unsqueeze(2) if z.ndim == 2 else z for z in (z1, z2))
    return cast(Tensor, _CosineOverTime.apply(*views))  # type: ignore[no-untyped-call]


class _CosineOverTime(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z1: Tensor, z2: Tensor) -> Tensor:
        scale1, scale2 = _scale(z1), _scale(z2)
        n1, n2 = z1 * scale1, z2 * scale2
        ctx.save_for_backward(n1, n2, scale1, scale2)
        return n1.flatten(1) @ n2.flatten(1).T

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        n1, n2, scale1, scale2 = ctx.saved_tensors
        with no_autocast(grad):
            return _derivative(grad, n1, n2, scale1), _derivative(grad.T, n2, n1, scale2)


def _scale(z: Tensor) -> Tensor:
    """Factors (B, 1, K) that make each sample's features equally long and the whole sample of length 1."""
    # torch.linalg.vector_norm over this axis takes twice as long on a CPU.
    norms = z.square().sum(dim=1, keepdim=True).sqrt_()
    live = norms > SMALLEST
    features = live.to(z.dtype).sum(dim=2, keepdim=True).clamp_(min=1)
    return torch.where(live, 1 / (norms * features.sqrt()), 0.0)


def _derivative(grad: Tensor, n: Tensor, other: Tensor, scale: Tensor) -> Tensor:
    """Derivative with respect to the view that was normalised to n."""
    result = (grad @ other.flatten(1)).view_as(n)
    # n_i.k has length 1 / sqrt(features): only what is across it changes the cosine.
    features = (scale > 0).sum(dim=2, keepdim=True)
    along = (result * n).sum(dim=1, keepdim=True).mul_(features)
    return result.addcmul_(n, along, value=-1).mul_(scale)
