"""Consistency of the pixels of two views that show the same place (PixPro)."""

import torch
from torch import Tensor
from torch.nn import functional as F

from medcl.contrast.core.blockwise import accurate, no_autocast
from medcl.contrast.core.gather import Group, mean
from medcl.errors import UsageError


def propagate(cells: Tensor, transformed: Tensor, *, sharpness: float = 2.0) -> Tensor:
    """Smooth each cell of a map by the cells of the same image that are like it.

    With x the cells and g(x) their transform:

        y_i = sum_j max(cos(x_i, x_j), 0)^sharpness g(x_j)

    the pixel propagation module of Xie et al., Propagate Yourself (CVPR 2021), eq. 3 and 4. The released code brings
    g(x) to unit length before it is summed; pass `F.normalize(transformed, dim=2)` for that.

    Args:
        cells: (N, S, D), x.
        transformed: (N, S, E), g(x).
        sharpness: exponent of the similarity, above 0; 2 in the paper.

    Returns:
        (N, S, E), y.

    Raises:
        UsageError: when shapes do not fit, or the exponent is not above 0.
    """
    if cells.ndim != 3 or cells.shape[:2] != transformed.shape[:2] or transformed.ndim != 3:
        raise UsageError(
            f"cells must be (batch, cells, width) twice, got {tuple(cells.shape)} and {tuple(transformed.shape)}"
        )
    if not sharpness > 0:
        raise UsageError(f"the sharpness must be above 0, got {sharpness}")
    with no_autocast(cells):
        x = F.normalize(accurate(cells), dim=2)
        return (x @ x.mT).clamp(min=0).pow(sharpness) @ accurate(transformed)


def same_place(
    places_a: Tensor, places_b: Tensor, diagonal_a: Tensor, diagonal_b: Tensor, *, within: float = 0.7
) -> Tensor:
    """Which cells of two views show the same place of the original.

    Those whose centres are less than `within` diagonals apart, of the larger cell of both views.

    Args:
        places_a: (N, S, axes) centres of the cells of the first views, in the original image.
        places_b: (N, R, axes) of the second ones.
        diagonal_a: (N,) length of the diagonal of a cell of the first views, in the unit of the places.
        diagonal_b: (N,) of the second ones.
        within: above 0; 0.7 in the paper.

    Returns:
        (N, S, R) bool.

    Raises:
        UsageError: when `within` is not above 0.
    """
    if not within > 0:
        raise UsageError(f"cells are the same place within more than 0 diagonals, got {within}")
    # Differences one by one: from products they cancel where places are large and close.
    distance = torch.cdist(accurate(places_a), accurate(places_b), compute_mode="donot_use_mm_for_euclid_dist")
    return distance < within * torch.maximum(diagonal_a, diagonal_b)[:, None, None]


def pixpro(smoothed: Tensor, cells: Tensor, positive: Tensor, *, group: Group = None) -> Tensor:
    """Bring a smoothed cell of one view close to the cells of the other that show the same place.

    With y of the first view from `propagate` and x' the cells of the second from a momentum encoder, the loss of an
    image is the mean of -cos(y_i, x'_j) over its positive pairs; that of the batch is the mean over the images that
    have one. The paper's loss is the sum of both directions, each -cos(y_i, x'_j) and -cos(y_j, x'_i).

    There are no negatives: the momentum encoder and the propagation, which only one side passes, keep the cells from
    becoming all the same.

    Args:
        smoothed: (N, S, D), y.
        cells: (N, R, D), x', without derivative.
        positive: (N, S, R) bool, from `same_place`.
        group: processes whose images are one batch.

    Returns:
        Scalar from -1 to 1; 0 with a gradient of 0 where no cell shows the same place as another.

    Raises:
        UsageError: when shapes do not fit.
    """
    expected = (*smoothed.shape[:2], cells.shape[1])
    if positive.shape != expected or positive.dtype != torch.bool:
        raise UsageError(
            f"pairs must be bool of shape {expected}, got {positive.dtype} of shape {tuple(positive.shape)}"
        )
    with no_autocast(smoothed):
        y, x = (F.normalize(accurate(one), dim=2) for one in (smoothed, cells))
        pairs = positive.sum(dim=(1, 2))
        losses = -(y @ x.mT * positive).sum(dim=(1, 2)) / pairs.clamp(min=1)
        return mean(losses.sum(), (pairs > 0).sum().to(losses.dtype), group)
