"""The similarity of COMET's trial and patient losses."""

from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from medcl.contrast.core.precision import no_autocast

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
