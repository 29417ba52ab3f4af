"""Predict the visual words of an image from a view of it (OBoW)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from medcl.contrast.core.blockwise import accurate, no_autocast
from medcl.contrast.core.gather import Group, mean
from medcl.errors import UsageError


def visual_words(
    cells: Tensor, vocabulary: Tensor, *, sharpness: float = 10.0, spread: float | Tensor = 1.0
) -> tuple[Tensor, Tensor]:
    """Describe each image by how much of which words its cells are.

    With f_p the cells of an image, v_k the words and m the spread:

        a_pk = softmax over k of -sharpness |f_p - v_k|^2 / m        y_k = max_p a_pk / sum_l max_p a_pl

    Args:
        cells: (N, P, D), by the slowly following encoder.
        vocabulary: (K, D).
        sharpness: of the assignment.
        spread: of distances: a running mean of what is returned beside the words, so that the sharpness needs no change
            when features grow.

    Returns:
        (N, K) shares of the words in each image, without derivative; and the mean over all cells of the squared
        distance from the nearest word.

    Raises:
        UsageError: when shapes do not fit, or the sharpness is not above 0.
    """
    if cells.ndim != 3 or vocabulary.ndim != 2 or cells.shape[2] != vocabulary.shape[1] or not sharpness > 0:
        raise UsageError(
            f"words are of cells (N, P, D) by a vocabulary (K, D), with a sharpness above 0; got {tuple(cells.shape)}, "
            f"{tuple(vocabulary.shape)} and {sharpness}"
        )
    with torch.no_grad(), no_autocast(cells):
        distance = torch.cdist(accurate(cells), accurate(vocabulary)).square()
        assigned = (-sharpness * distance / spread).softmax(dim=2).amax(dim=1)
        return assigned / assigned.sum(dim=1, keepdim=True), distance.amin(dim=2).mean()


def obow(predictions: Tensor | Sequence[Tensor], words: Tensor, *, group: Group = None) -> Tensor:
    """The divergence of the words that are predicted from views of an image from those that it has.

        L = mean over views v and images i of sum_k y_ik log( y_ik / softmax_k(p_vi) )

    (Gidaris et al., OBoW: Online Bag-of-Visual-Words Generation for Self-Supervised Learning, CVPR 2021, whose
    cross-entropy differs from it by a constant). No image is a negative of another one. For scans and slides whose
    textures say more than the places where they lie.

    Args:
        predictions: V of (N, K), or (V, N, K): logits of the words, for each view.
        words: (N, K) shares, from `visual_words`.
        group: processes whose images are one batch.

    Returns:
        Scalar of 0 or more; 0 with a gradient of 0 without an image.

    Raises:
        UsageError: without a view, or when the shapes do not fit.
    """
    views = list(predictions)
    if not views or any(one.shape != words.shape for one in views):
        shapes = ", ".join(str(tuple(one.shape)) for one in views)
        raise UsageError(f"predictions of words {tuple(words.shape)} are of the same shape, got {shapes or 'none'}")
    with no_autocast(views[0]):
        shares = accurate(words.detach())
        entropy = torch.special.entr(shares).sum(dim=1)
        crossed = -torch.stack([(shares * accurate(one).log_softmax(dim=1)).sum(dim=1) for one in views]).mean(dim=0)
        losses = crossed - entropy
        return mean(losses.sum(), losses.new_tensor(float(len(losses))), group)
