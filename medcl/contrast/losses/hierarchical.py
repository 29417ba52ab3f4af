"""COMET's observation and sample losses, alone and over a pyramid of time scales."""

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from medcl.contrast.core.gather import Group, gather, mean, processes
from medcl.contrast.core.halve import halve, unhalve
from medcl.contrast.core.precision import accurate, no_autocast
from medcl.contrast.core.two_views import contrast_views
from medcl.errors import UsageError

LEVELS = ("sample", "observation")


def observation(z1: Tensor, z2: Tensor) -> Tensor:
    """Contrast the time steps of each sample with one another (COMET's observation level, TS2Vec's temporal loss).

    With r = z1, r' = z2 and raw dot products, for sample i and step t over the 2T vectors of both views:

        l(i, t) = -log exp(r_it . r'_it) / ( sum_s exp(r_it . r'_is) + sum_{s != t} exp(r_it . r_is) )

    The loss is the mean over i, t and over both views as anchors. COMET (Wang et al., NeurIPS 2023);
    TS2Vec (Yue et al., AAAI 2022).

    Args:
        z1: (B, T, K) dense embeddings of the first view.
        z2: (B, T, K) those of the second.

    Returns:
        Scalar, float32 or float64; 0 with a gradient of 0 for T = 1. It can be differentiated once.

    Raises:
        UsageError: when the shapes differ or are not (B, T, K).
    """
    return _contrast(z1, z2, ("observation",), pooled=False)["observation"]


def sample(z1: Tensor, z2: Tensor) -> Tensor:
    """Contrast the samples of a batch with one another at each step (COMET's sample level, TS2Vec's instance loss).

    With r = z1, r' = z2 and raw dot products, for sample i and step t over the 2B vectors of that step:

        l(i, t) = -log exp(r_it . r'_it) / ( sum_j exp(r_it . r'_jt) + sum_{j != i} exp(r_it . r_jt) )

    The loss is the mean over i, t and over both views as anchors. COMET (Wang et al., NeurIPS 2023);
    TS2Vec (Yue et al., AAAI 2022).

    Args:
        z1: (B, T, K) dense embeddings of the first view.
        z2: (B, T, K) those of the second.

    Returns:
        Scalar, float32 or float64; 0 with a gradient of 0 for B = 1. It can be differentiated once.

    Raises:
        UsageError: when the shapes differ or are not (B, T, K).
    """
    return _contrast(z1, z2, ("sample",), pooled=False)["sample"]


def hierarchical(z1: Tensor, z2: Tensor, *, levels: Sequence[str] = LEVELS, group: Group = None) -> dict[str, Tensor]:
    """The observation and sample losses, each averaged over time scales.

    While T > 1: the losses, then max-pooling over time with kernel 2 (a last odd step is left out of the next scale).
    Each sum is divided by the number of scales, floor(log2 T). COMET (Wang et al., NeurIPS 2023). TS2Vec
    also adds its instance loss at T = 1; COMET does not. The values are those of COMET's released code, which pools
    once for each level and multiplies its weights into these two losses only.

    Args:
        z1: (B, T, K) dense embeddings of the first view.
        z2: (B, T, K) those of the second.
        levels: which of `sample` and `observation`; the pyramid is pooled once for both.
        group: processes whose samples are one batch, see `Scale`. The sample loss of all of them is computed by each,
            from gathered embeddings; an observation is contrasted within its own sample, so that nothing is sent.

    Returns:
        {level: scalar}, float32 or float64; 0 with a gradient of 0 for T = 1. Each can be differentiated once.

    Raises:
        UsageError: for another level, and when the shapes differ or are not (B, T, K).
    """
    unknown = [level for level in levels if level not in LEVELS]
    if unknown:
        raise UsageError(f"levels with a loss within the window are {', '.join(LEVELS)}, got {', '.join(unknown)}")
    if processes(group) == 1:
        return _contrast(z1, z2, tuple(levels), pooled=True)
    losses: dict[str, Tensor] = {}
    if "sample" in levels:
        losses |= _contrast(gather(z1, group), gather(z2, group), ("sample",), pooled=True)
    if "observation" in levels:
        # A process without samples adds nothing, and takes part.
        own = _contrast(z1, z2, ("observation",), pooled=True)["observation"] if len(z1) else (z1.sum() + z2.sum()) * 0
        count = torch.tensor(float(len(z1)), device=z1.device)
        losses["observation"] = mean(own * len(z1), count, group)
    return {level: losses[level] for level in levels}


def _contrast(z1: Tensor, z2: Tensor, levels: tuple[str, ...], *, pooled: bool) -> dict[str, Tensor]:
    if z1.ndim != 3 or z1.shape != z2.shape or z1.numel() == 0:
        raise UsageError(
            f"the two views must be (batch, time, features) of one shape, got {tuple(z1.shape)} and {tuple(z2.shape)}"
        )
    with no_autocast(z1):
        losses = cast(Tensor, _Pyramid.apply(accurate(z1), accurate(z2), levels, pooled))  # type: ignore[no-untyped-call]
    return dict(zip(levels, losses.unbind(), strict=True))


class _Pyramid(torch.autograd.Function):
    """All scales and levels in one node of the graph, whose derivatives are taken on the way forward.

    What stays in memory for the backward pass is one gradient a level and view, whatever the length of the window; the
    graph of the plain formula keeps several (2T, 2T) matrices a sample.
    """

    @staticmethod
    def forward(ctx: Any, z1: Tensor, z2: Tensor, levels: tuple[str, ...], pooled: bool) -> Tensor:
        scales = [(z1, z2)]
        while pooled and scales[-1][0].shape[1] > 3:
            scales.append((halve(scales[-1][0]), halve(scales[-1][1])))
        derive = any(ctx.needs_input_grad)
        outcomes = [_climb(scales, level, pooled=pooled, derive=derive) for level in levels]
        ctx.save_for_backward(*(grad for _, grads in outcomes for grad in grads))
        return torch.stack([loss for loss, _ in outcomes])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None]:
        derivatives = ctx.saved_tensors
        first, second = grad[0] * derivatives[0], grad[0] * derivatives[1]
        for index in range(1, len(grad)):
            first.addcmul_(derivatives[2 * index], grad[index])
            second.addcmul_(derivatives[2 * index + 1], grad[index])
        return first, second, None, None


def _climb(
    scales: list[tuple[Tensor, Tensor]], level: str, *, pooled: bool, derive: bool
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The loss of one level over all scales and, if asked for, its derivatives with respect to the finest views."""
    # At T = 1 a pyramid has no scale with a loss.
    weight = 0.0 if pooled and scales[0][0].shape[1] == 1 else 1 / len(scales)
    loss = scales[0][0].new_zeros(())
    grads: tuple[Tensor, ...] = ()
    for views in reversed(scales):
        if grads:
            grads = tuple(unhalve(grad, z) for grad, z in zip(grads, views, strict=True))
        elif derive:
            grads = tuple(torch.zeros_like(z, memory_format=torch.contiguous_format) for z in views)
        grouped = [z.transpose(0, 1) if level == "sample" else z for z in (*views, *grads)]
        loss += contrast_views(grouped[0], grouped[1], grouped[2:], weight)
    return loss, grads
