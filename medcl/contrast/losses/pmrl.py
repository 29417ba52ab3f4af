"""Contrast of several modalities without an anchor, by the direction that they share (PMRL)."""

from collections.abc import Sequence
from typing import Unpack

import torch
from torch import Tensor

from medcl.contrast.core.anchors import Scale, counted, mean_over_anchors
from medcl.contrast.core.blockwise import accurate, no_autocast, unit
from medcl.contrast.losses.info_nce import info_nce
from medcl.contrast.pairings.pairs import itself
from medcl.errors import UsageError


def pmrl(
    modalities: Sequence[Tensor],
    *,
    temperature: float = 0.05,
    between: float | Tensor = 0.1,
    **scale: Unpack[Scale],
) -> Tensor:
    """Draw a sample's modalities into one direction, and the directions of different samples apart; no anchor.

    The unit vectors of sample i are the columns of a matrix (D, M) with the singular values s_i1 >= s_i2 >= ... and
    the first left singular vector u_i. With t the temperature and t' that between samples,

        L_intra = mean_i -log( exp(s_i1 / t) / sum_k exp(s_ik / t) )
        L_inter = mean_i -log( exp(u_i . u_i / t') / sum_j exp(u_i . u_j / t') )

    and the loss is L_intra + L_inter (Liu et al., Principled Multimodal Representation Learning, 2025). s_i1 is sqrt(M)
    where all modalities agree and 1 where they are at right angles. No modality is the anchor of the others, for
    records of which any modality may be the informative one. The temperature decides how soon nearly agreeing
    modalities are left alone: s_i1 differs from sqrt(M) by little, so it is small.

    The sign of u_i is arbitrary, and with it that of u_i . u_j: here u_i points to the side of the sum of the
    modalities, or of the first one where it lies across the sum; the released code takes the sign that the
    decomposition returns. It also takes negatives of one process only and adds a matching loss with a second encoder,
    which is not part of this one.

    Args:
        modalities: two or more (N, D), sample i in row i of each.
        temperature: above 0, of the singular values.
        between: above 0, of the leading directions of different samples.
        **scale: `block` and `group`, see `Scale`.

    Returns:
        Scalar. It can be differentiated once. Where the two largest singular values are equal, the direction is not
        defined and has no derivative.

    Raises:
        UsageError: for fewer than two modalities, shapes that do not fit, and temperatures that are not above 0.
    """
    if len(modalities) < 2 or any(x.shape != modalities[0].shape or x.ndim < 2 for x in modalities):
        shapes = ", ".join(str(tuple(x.shape)) for x in modalities)
        raise UsageError(f"pmrl takes two or more modalities (N, D) of one shape, got {shapes or 'none'}")
    if not temperature > 0:
        raise UsageError(f"a temperature must be above 0, got {temperature}")
    with no_autocast(modalities[0]):
        columns = torch.stack([unit(accurate(x).flatten(1)) for x in modalities], dim=2)
        values, directions = leading(columns)
        losses = (values / temperature).logsumexp(dim=1) - values[:, 0] / temperature
        intra = mean_over_anchors(counted(losses, torch.ones_like(losses, dtype=torch.bool)), scale.get("group"))
    return intra + info_nce(directions, directions, itself(directions), temperature=between, **scale)


def leading(columns: Tensor) -> tuple[Tensor, Tensor]:
    """Singular values, and the first left singular vectors on the side of the sum of the columns.

    Through the Gram matrix of the columns, which is small: a decomposition of (D, M) is slow in batches on a GPU.

    Args:
        columns: (N, D, M), M small.

    Returns:
        (N, min(D, M)), largest first, those below the root of the number format's precision counting as that and
        without derivative; and (N, D), with a derivative where the two largest values differ.
    """
    gram = columns.mT @ columns
    eps = torch.finfo(gram.dtype).eps
    # The decomposition refuses NaN; through `change` it reaches values and directions all the same.
    squares, vectors_ = torch.linalg.eigh(gram.detach().nan_to_num())
    # The derivative of an eigenvalue is v' dG v, that of the leading vector the sum of v_k (v_k' dG v) / gap_k; that of
    # all vectors, which autograd would take, is infinite wherever any two values are equal.
    change = vectors_.mT @ (gram - gram.detach()) @ vectors_
    values = (squares + change.diagonal(dim1=1, dim2=2)).flip(1)[:, : min(columns.shape[1:])].clamp(min=eps).sqrt()
    gaps = squares[:, -1:] - squares
    weights = torch.where(gaps > eps**0.5, change[:, :, -1] / gaps.clamp(min=eps), 0.0)
    vector = vectors_[:, :, -1] + (vectors_ * weights[:, None, :]).sum(dim=2)
    direction = unit((columns * vector[:, None, :]).sum(dim=2))
    side = (direction * columns.sum(dim=2)).sum(dim=1, keepdim=True)
    # Two modalities that disagree have a direction across their sum: rounding would choose the side.
    first = (direction * columns[:, :, 0]).sum(dim=1, keepdim=True)
    turned = torch.where(side.abs() > eps**0.5, side, first) < 0
    return values, torch.where(turned, -direction, direction)
