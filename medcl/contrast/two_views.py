"""The contrast that COMET's observation and sample losses share: a vector, its other view, and the rest of its group."""

from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

BLOCK = 2**20


def contrast_views(a: Tensor, b: Tensor) -> Tensor:
    """Contrast every vector's two views with all other vectors of its group, by raw dot products.

    Within each group, for position i as seen in the first view,

        l(i) = log( sum_j exp(a_i . b_j) + sum_{j != i} exp(a_i . a_j) ) - a_i . b_i

    and likewise with a and b exchanged. The result is the mean over groups, positions and views.

    The derivative is known while the similarities are at hand, a block of groups at a time, so they are never all in
    memory: 2 G n K numbers are kept for the backward pass instead of more than 4 G n^2, and three of the four (n, n)
    products are computed (the fourth is a transpose). A second derivative does not exist.

    Args:
        a: (G, n, K) first views, float32 or float64.
        b: (G, n, K) second views.

    Returns:
        Scalar; 0 for n = 1.
    """
    return cast(Tensor, _ContrastViews.apply(a, b))  # type: ignore[no-untyped-call]


class _ContrastViews(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        groups, n, _ = a.shape
        derive = any(ctx.needs_input_grad)
        grad_a, grad_b = (torch.empty_like(x) if derive else x for x in (a, b))
        loss = a.new_zeros(())
        block = max(1, BLOCK // n**2)
        for x, y, grad_x, grad_y in zip(*(t.split(block) for t in (a, b, grad_a, grad_b)), strict=True):
            xx, yy, xy = x @ x.mT, y @ y.mT, x @ y.mT
            loss -= 2 * xy.diagonal(dim1=1, dim2=2).sum()
            from_x, log_x = _softmax_(xx, xy)
            from_y, log_y = _softmax_(yy, xy.mT)
            loss += log_x + log_y
            if derive:
                cross = from_x.add_(from_y.mT)
                cross.diagonal(dim1=1, dim2=2).sub_(2)
                torch.bmm(xx + xx.mT, x, out=grad_x).baddbmm_(cross, y)
                torch.bmm(yy + yy.mT, y, out=grad_y).baddbmm_(cross.mT, x)
        ctx.scale = 1 / (2 * groups * n)
        if derive:
            ctx.save_for_backward(grad_a, grad_b)
        return loss * ctx.scale

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        grad_a, grad_b = ctx.saved_tensors
        grad = grad * ctx.scale
        return grad * grad_a, grad * grad_b


def _softmax_(own: Tensor, cross: Tensor) -> tuple[Tensor, Tensor]:
    """Softmax of each row of [own without its diagonal, cross].

    Args:
        own: (G, n, n) similarities within a view; overwritten with their share of the softmax.
        cross: (G, n, n) similarities to the other view.

    Returns:
        The share of `cross`, and the sum of the rows' log-normalisers.
    """
    own.diagonal(dim1=1, dim2=2).fill_(-torch.inf)
    top = torch.maximum(own.amax(dim=2, keepdim=True), cross.amax(dim=2, keepdim=True))
    own.sub_(top).exp_()
    share = (cross - top).exp_()
    total = own.sum(dim=2, keepdim=True) + share.sum(dim=2, keepdim=True)
    own.div_(total)
    share.div_(total)
    return share, (top + total.log()).sum()
