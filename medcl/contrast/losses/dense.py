"""Contrast of the cells of two views' feature maps that show the same thing (DenseCL)."""

from typing import Unpack

import torch
from torch import Tensor
from torch.nn import functional as F

from medcl.contrast.core.anchors import Scale, counted, logsumexp_where, mean_over_anchors, over_anchors
from medcl.contrast.core.blockwise import Tensors, accurate, no_autocast
from medcl.contrast.pairings.pairs import Pairing, PairMasks
from medcl.contrast.similarities.similarity import cosine
from medcl.errors import UsageError


def corresponding(features_a: Tensor, features_b: Tensor) -> Tensor:
    """For each cell of one view, the cell of the other whose features are most alike by cosine.

    DenseCL takes the features before the projection heads, which agree on what is where before the heads do.

    Args:
        features_a: (N, S, C) features of the S cells of each image: `map.flatten(2).mT` of a map (N, C, height, width).
        features_b: (N, R, C) of the other view.

    Returns:
        (N, S) int64, which of the R cells; without derivative.

    Raises:
        UsageError: when the shapes do not fit.
    """
    _check(features_a, features_b)
    with torch.no_grad(), no_autocast(features_a):
        a, b = (F.normalize(accurate(x), dim=2) for x in (features_a, features_b))
        return (a @ b.mT).argmax(dim=2)


def dense(
    cells_a: Tensor,
    cells_b: Tensor,
    positives: Tensor,
    negatives: Tensor,
    *,
    pairing: Pairing | None = None,
    temperature: float | Tensor = 0.2,
    **scale: Unpack[Scale],
) -> Tensor:
    """Contrast each cell with its corresponding cell of the other view, and with negatives of other images.

    With r_s a cell of one view, t_s its corresponding cell of the other, n_k the negatives, all at unit length, and
    temperature t:

        l(s) = -log( exp(r_s . t_s / t) / ( exp(r_s . t_s / t) + sum_k exp(r_s . n_k / t) ) )

    The loss is the mean of l over all cells of all images (Wang et al., DenseCL, CVPR 2021, eq. 2). There, n_k are the
    queue of a momentum encoder, each the mean over the cells of another image, and the loss is added to MoCo's at equal
    weights. For slices of which small structures matter, which a loss of pooled embeddings averages out. The
    temperature (0.2) is above that of pooled embeddings: cells of different images are often the same tissue.

    Args:
        cells_a: (N, S, D) projected cells: `map.flatten(2).mT` of a map (N, D, height, width).
        cells_b: (N, R, D) of the other view; keys of a momentum encoder come without derivative.
        positives: (N, S) int64 from `corresponding`.
        negatives: (K, D).
        pairing: of the N images with the K negatives: what is positive, such as pooled cells of the same image, is left
            out. Default: all are negative, as with a queue.
        temperature: above 0, one number; a tensor may be learned.
        **scale: `block`, of cells, and `group`, see `Scale`. Negatives of all processes are gathered: where these hold
            the same queue, leave `group` out.

    Returns:
        Scalar. Without any negative the loss is 0.

    Raises:
        UsageError: when the shapes do not fit, and for more than one temperature.
    """
    _check(cells_a, cells_b)
    images, cells, width = cells_a.shape
    if positives.shape != (images, cells) or positives.is_floating_point():
        raise UsageError(
            f"positives must be indices {(images, cells)}, got {positives.dtype} of shape {tuple(positives.shape)}"
        )
    if isinstance(temperature, Tensor) and temperature.numel() != 1:
        raise UsageError(f"dense takes one temperature, got {tuple(temperature.shape)}")
    if pairing is None:
        pairing = Pairing(_nothing_positive, (positives,), (negatives[:, 0].detach(),))
    if pairing.shape != (images, len(negatives)):
        raise UsageError(f"the pairing is of {pairing.shape}, the images and negatives are {(images, len(negatives))}")
    pairing = Pairing(
        pairing.rule,
        tuple(x.repeat_interleave(cells, dim=0) for x in pairing.anchors),
        pairing.candidates,
        pairing.soft,
        pairing.local,
    )
    with no_autocast(cells_a):
        a, b = (F.normalize(accurate(x), dim=2) for x in (cells_a, cells_b))
        own = (a * b.gather(1, positives[..., None].expand(-1, -1, width))).sum(dim=2).flatten() / temperature

    def formula(scores: Tensor, pairs: PairMasks, rows: Tensors) -> Tensor:
        negative = pairs.positive == 0
        against = logsumexp_where(scores, negative if pairs.candidate is None else negative & pairs.candidate)
        losses = torch.logaddexp(against, rows[0]) - rows[0]
        return counted(losses, torch.ones_like(losses, dtype=torch.bool))

    lines = over_anchors(
        formula,
        a.flatten(0, 1),
        negatives,
        pairing,
        similarity=cosine,
        temperature=temperature,
        rows=(own,),
        **scale,
    )
    return mean_over_anchors(lines, scale.get("group"))


def _check(a: Tensor, b: Tensor) -> None:
    if a.ndim != 3 or b.ndim != 3 or len(a) != len(b) or a.shape[2] != b.shape[2]:
        raise UsageError(
            f"cells must be (batch, cells, width) of the same images, got {tuple(a.shape)} and {tuple(b.shape)}; "
            "a map (batch, width, height, width) becomes cells by flatten(2).mT"
        )


def _nothing_positive(anchors: Tensors, candidates: Tensors) -> PairMasks:
    shape = (len(anchors[0]), len(candidates[0]))
    return PairMasks(torch.zeros(shape, dtype=torch.bool, device=anchors[0].device))
