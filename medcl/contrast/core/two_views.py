"""The contrast that COMET's observation and sample losses share: a vector, its other view, the rest of its group."""

from collections.abc import Sequence

import torch
from torch import Tensor

BLOCK = 2**20
"""Similarities of one kind that are held at a time: few enough to stay in a processor's cache, enough to fill a GPU."""
NEGLIGIBLE = -75.0
"""Exponents from here down become 0. Beside the 1 of the row's maximum no number format of ours holds exp(-75), but
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
    step = max(1, BLOCK // n**2)
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
