"""COMET's observation and sample losses, alone and over a pyramid of time scales."""

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from medcl.contrast.core.blockwise import accurate, no_autocast, rows_at_once
from medcl.contrast.core.gather import Group, gather, mean, processes
from medcl.errors import UsageError


def halve(z: Tensor) -> Tensor:
    """Max-pool (B, T, K) over time with kernel 2, to (B, T // 2, K); a last odd step is left out."""
    return torch.maximum(*_pairs(z))


def unhalve(grad: Tensor, z: Tensor) -> Tensor:
    """Bring a derivative with respect to `halve(z)` back to z: the first of two equal steps gets it, as in max_pool1d.

    Args:
        grad: (B, T // 2, K).
        z: (B, T, K).

    Returns:
        (B, T, K), 0 at steps that were not the maximum.
    """
    full = torch.empty_like(z, memory_format=torch.contiguous_format)
    full[:, -1] = 0
    even, odd = _pairs(full)
    first, second = _pairs(z)
    if torch.compiler.is_compiling():
        # The compiler fuses this, and refuses an `out=` that is every second step of a tensor.
        even.copy_(torch.where(first >= second, grad, 0.0))
        odd.copy_(torch.where(first >= second, 0.0, grad))
        return full
    # A comparison written as numbers: multiplying by a bool tensor would convert it in a second pass.
    torch.ge(first, second, out=even)
    even.mul_(grad)
    torch.sub(grad, even, out=odd)
    return full


def _pairs(z: Tensor) -> tuple[Tensor, Tensor]:
    """Views of the even and of the odd steps."""
    length = z.shape[1] // 2 * 2
    return z[:, 0:length:2], z[:, 1:length:2]


BLOCK = 2**20
"""Similarities of one kind that are held at a time: few enough to stay in a processor's cache."""
NEGLIGIBLE = -75.0
"""Exponents from here down become 0. Next to the 1 of the row's maximum no number format of ours holds exp(-75), but
products with denormal weights make a CPU several times slower."""


def contrast_views(a: Tensor, b: Tensor, grads: Sequence[Tensor], scale: float) -> Tensor:
    """Contrast every vector's two views with all other vectors of its group, by raw dot products.

    Within each group, for position i as seen in the first view,

        l(i) = log( sum_j exp(a_i . b_j) + sum_{j != i} exp(a_i . a_j) ) - a_i . b_i

    and likewise with a and b exchanged. The derivative is taken here, while the similarities are at hand, a block of
    groups at a time: they are never all in memory, and only three of the four (n, n) products are computed, because
    the fourth is a transpose.

    Args:
        a: (G, n, K) first views, float32 or float64; of any strides.
        b: (G, n, K) second views.
        grads: the derivatives with respect to a and b are added to these, (G, n, K) each; empty to do without.
        scale: what value and derivatives are multiplied by.

    Returns:
        Scalar, `scale` times the mean of l over groups, positions and views; 0 for n = 1.
    """
    groups, n, _ = a.shape
    scale /= 2 * groups * n
    total = a.new_zeros(())
    step = max(1, _held(a.device) // n**2)
    for start in range(0, groups, step):
        block = slice(start, start + step)
        x, y = a[block], b[block]
        xx, yy, xy = torch.bmm(x, x.mT), torch.bmm(y, y.mT), torch.bmm(x, y.mT)
        from_x, log_x = _softmax_(xx, xy)
        from_y, log_y = _softmax_(yy, xy.mT)
        # Row by row before the sum: where the positives win, both terms are large and nearly equal.
        total += (log_x + log_y - 2 * xy.diagonal(dim1=1, dim2=2)).sum()
        if grads:
            cross = from_x.add_(from_y.mT)
            cross.diagonal(dim1=1, dim2=2).sub_(2)
            grads[0][block].baddbmm_(xx + xx.mT, x, alpha=scale).baddbmm_(cross, y, alpha=scale)
            grads[1][block].baddbmm_(yy + yy.mT, y, alpha=scale).baddbmm_(cross.mT, x, alpha=scale)
    return total * scale


def _held(device: torch.device) -> int:
    """Similarities of one kind that are held at a time.

    On a GPU, where many small kernels wait for the CPU that starts them, as many as memory allows.
    """
    if device.type == "cuda" and not torch.compiler.is_compiling():
        return rows_at_once(1, device)
    return BLOCK


def _softmax_(own: Tensor, cross: Tensor) -> tuple[Tensor, Tensor]:
    """Softmax of each row of [own without its diagonal, cross].

    Args:
        own: (G, n, n) similarities within a view; overwritten with their share of the softmax.
        cross: (G, n, n) similarities to the other view.

    Returns:
        The share of `cross`, and the log-normaliser of each row, (G, n).
    """
    own.diagonal(dim1=1, dim2=2).fill_(-torch.inf)
    top = torch.maximum(own.amax(dim=2, keepdim=True), cross.amax(dim=2, keepdim=True))
    own = torch.threshold_(own.sub_(top), NEGLIGIBLE, -torch.inf).exp_()
    share = torch.threshold_(cross - top, NEGLIGIBLE, -torch.inf).exp_()
    total = own.sum(dim=2, keepdim=True) + share.sum(dim=2, keepdim=True)
    own.div_(total)
    share.div_(total)
    return share, (top + total.log()).squeeze(2)


LEVELS = ("sample", "observation")


def observation(z1: Tensor, z2: Tensor) -> Tensor:
    """Contrast the time steps of each sample with one another (COMET's observation level, TS2Vec's temporal loss).

    With r = z1 and r' = z2, (B, T, K) each, and raw dot products, for sample i and step t over the 2T vectors of both
    views:

        l(i, t) = -log exp(r_it . r'_it) / ( sum_s exp(r_it . r'_is) + sum_{s != t} exp(r_it . r_is) )

    The loss is the mean over i, t and over both views as anchors. COMET (Wang et al., NeurIPS 2023);
    TS2Vec (Yue et al., AAAI 2022). 0 with a gradient of 0 for T = 1. It can be differentiated once.

    Raises:
        UsageError: when the shapes differ or are not (B, T, K).
    """
    return _contrast(z1, z2, ("observation",), pooled=False)["observation"]


def sample(z1: Tensor, z2: Tensor) -> Tensor:
    """Contrast the samples of a batch with one another at each step (COMET's sample level, TS2Vec's instance loss).

    As `observation`, over the 2B vectors of step t in both views; 0 with a gradient of 0 for B = 1:

        l(i, t) = -log exp(r_it . r'_it) / ( sum_j exp(r_it . r'_jt) + sum_{j != i} exp(r_it . r_jt) )
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
        # A process without samples adds nothing, and joins the collectives.
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
