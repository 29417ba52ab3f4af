"""How much a pair of views shows the same thing: weights of pairs by their foregrounds (GenView)."""

from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from medcl.contrast.core.gather import Group, gather
from medcl.errors import UsageError
from medcl.modality.spatial.segments import foreground, intensities
from medcl.pretrain.passes import Seen


def pair_weights(cells: Tensor, front: Tensor, sharpness: float, group: Group = None) -> Tensor:
    """Weigh pairs whose foregrounds agree more than those that agree in their background alone.

    With f and b the means of a view's cells in the foreground and in the background:

        q_i = exp(sharpness (cos(f_i, f_i') - cos(b_i, b_i')))        w_i = B q_i / sum over the batch of q

    (Li et al., GenView: Enhancing View Quality with Pretrained Generative Model for Self-Supervised Learning, ECCV
    2024, without its generated views).

    Args:
        cells: (2, n, P, D) of both views.
        front: (2, n, P) bool, which of them are foreground.
        sharpness: of the weights; 0 weighs all alike.
        group: processes that share the batch.

    Returns:
        (n,), of mean 1 over the batch, without derivative.
    """
    with torch.no_grad():
        cells = cells.float()
        agree = []
        for mask in (front, ~front):
            share = mask.to(cells.dtype)[..., None]
            mean = (cells * share).sum(dim=2) / share.sum(dim=2).clamp(min=1)
            agree.append(F.cosine_similarity(mean[0], mean[1], dim=1))
        quality = (sharpness * (agree[0] - agree[1])).exp()
        every = gather(quality, group)
        return quality * len(every) / every.sum()


def weights_of(seen: Seen, sharpness: float, group: Group) -> Tensor:
    """(2n,) of two views of images or volumes, by the trained encoder's cells; the brighter ones are foreground.

    Raises:
        UsageError: the encoder does not say where its cells lie.
    """
    if not hasattr(seen.encoder, "grid"):
        raise UsageError("agreement: weighs views of images and volumes by their cells, which this encoder has not")
    if not seen.n:
        return pair_weights(seen.x.new_zeros(2, 0, 1, 1), seen.x.new_zeros(2, 0, 1) > 0, sharpness, group)
    rows = slice(0, 2 * seen.n)
    grid = cast(Any, seen.encoder).grid(seen.x.shape[2:])
    front = foreground(intensities(seen.x[rows], grid))
    halves = [torch.unflatten(one, 0, (2, -1)) for one in (seen.dense[rows].detach(), front)]
    return pair_weights(halves[0], halves[1], sharpness, group).repeat(2)
