"""Alignment of whitened views, which needs no negatives (W-MSE)."""

from collections.abc import Sequence
from itertools import combinations
from typing import Unpack

import torch
from torch import Tensor

from medcl.contrast.core.anchors import Scale, block_and_group
from medcl.contrast.core.blockwise import accurate, no_autocast, unit
from medcl.contrast.core.gather import gather
from medcl.errors import UsageError


def w_mse(
    views: Tensor | Sequence[Tensor],
    *,
    part: int = 0,
    draws: int = 1,
    ridge: float = 1e-3,
    generator: torch.Generator | None = None,
    **scale: Unpack[Scale],
) -> Tensor:
    """Draw the views of a sample together after whitening each view, so that features cannot all become the same.

    With w_il the whitened vector of view l of sample i, brought to length 1:

        L = mean over samples i and pairs of views l < m of |w_il - w_im|^2 = 2 - 2 w_il . w_im

    (Ermolov, Siarohin, Sangineto and Sebe, Whitening for Self-Supervised Representation Learning, ICML 2021, eq. 4 and
    5). Each view is whitened by its own mean and covariance over random parts of the batch, the same parts in all
    views, by Cholesky decomposition. For small batches, in which negatives are scarce or likely false ones: all that is
    asked of the batch is to be larger than twice the number of features.

    It differs from the paper in the ridge, a share of the mean variance that is added to all variances, without which
    the covariance of few samples has no inverse in float32.

    Args:
        views: K of (N, D), or (K, N, D): sample i in row i of each.
        part: samples that are whitened together, better more than 2 D; 0 is the whole batch. The batch is divided into
            as many parts of about equal size as it has of this one.
        draws: of the division into parts, over which the loss is averaged.
        ridge: added to the covariance, as a share of the mean variance.
        generator: draws the division, on the CPU and the same in all processes; default: torch's own.
        **scale: `group`, see `Scale`: processes are whitened together. `block` has no effect.

    Returns:
        Scalar from 0 to 4.

    Raises:
        UsageError: for fewer than two views, shapes that do not fit, and numbers that are negative.
    """
    views = list(views.unbind(0)) if isinstance(views, Tensor) else list(views)
    if len(views) < 2 or any(view.shape != views[0].shape or view.ndim < 2 for view in views):
        shapes = ", ".join(str(tuple(view.shape)) for view in views)
        raise UsageError(f"two or more views (N, D) of one shape are needed, got {shapes or 'none'}")
    if part < 0 or draws < 1 or ridge < 0:
        raise UsageError(f"w_mse takes a part and ridge of 0 or more and a draw at least, got {part}, {ridge}, {draws}")
    _, group = block_and_group(**scale)
    with no_autocast(views[0]):
        # Every process whitens the batch of all, and has the whole loss.
        every = [gather(accurate(view).flatten(1), group) for view in views]
        count = len(every[0])
        parts = max(1, count // part) if part else 1
        terms = []
        for _ in range(draws):
            order = torch.randperm(count, generator=generator).to(every[0].device) if parts > 1 else None
            divided = [(x if order is None else x[order]).tensor_split(parts) for x in every]
            for own in zip(*divided, strict=True):
                units = [unit(whitened(x, ridge)) for x in own]
                terms += [(2 - 2 * (u * v).sum(dim=1)).sum() for u, v in combinations(units, 2)]
        pairs = len(views) * (len(views) - 1) // 2
        loss = torch.stack(terms).sum() / max(1, count * pairs * draws)
        # A decomposition may skip what is not a number: the loss does not.
        return loss + torch.stack([x.sum() * 0 for x in views]).sum()


def whitened(x: Tensor, ridge: float = 0.0) -> Tensor:
    """Vectors (n, D) of mean 0 and, where n is larger than D, of the identity as covariance.

    Args:
        x: (n, D), at least float32.
        ridge: added to the covariance, as a share of the mean variance.

    Returns:
        (n, D).
    """
    centred = x - x.mean(dim=0)
    covariance = centred.T @ centred / max(1, len(x) - 1)
    smallest = torch.finfo(x.dtype).tiny ** 0.5
    added = ridge * covariance.diagonal().mean() + smallest
    factor, _ = torch.linalg.cholesky_ex(covariance + added * torch.eye(x.shape[1], dtype=x.dtype, device=x.device))
    solved: Tensor = torch.linalg.solve_triangular(factor, centred.T, upper=False)
    return solved.T
