"""Order each anchor's distances so that positives come before negatives, by differentiable sorting (GroCo)."""

import math
from typing import Unpack

import torch
from torch import Tensor
from torch.nn import functional as F

from medcl.contrast.core.anchors import Scale, counted, mean_over_anchors, over_anchors, yes_or_no
from medcl.contrast.core.anchors import negatives as negatives_of
from medcl.contrast.core.blockwise import Tensors
from medcl.contrast.pairings.pairs import Pairing, PairMasks
from medcl.contrast.similarities.similarity import Embeddings, Similarity, cosine
from medcl.errors import UsageError


def groco(
    a: Embeddings,
    b: Embeddings,
    pairing: Pairing | Tensor,
    *,
    positives: int = 4,
    negatives: int = 10,
    temperature: float | Tensor = 1.0,
    similarity: Similarity = cosine,
    **scale: Unpack[Scale],
) -> Tensor:
    """Sort an anchor's positives and negatives softly, and ask for each to end in its own group.

    Of anchor i the P least similar positives and the K most similar negatives (at most `positives` and `negatives`) are
    put in ascending order of s = sim / temperature, negatives before positives, and sorted by an odd-even network of
    P + K layers. A layer compares neighbours x, y and exchanges them in part:

        w = 1/2 - arctan(y - x) / pi,   (x, y) -> ((1 - w) x + w y, w x + (1 - w) y)

    Its layers multiply to a permutation matrix of probabilities. With g_k the probability that element k ends among the
    P most similar: l(i) = -1/(P + K) ( sum over positives of log g_k + sum over negatives of log(1 - g_k) ), and the
    loss is the mean of l over the anchors with a positive and a negative. Shvetsova et al., Learning by Sorting:
    Self-supervised Learning with Group Ordering Constraints (ICCV 2023), with the Cauchy swap of Petersen et al.,
    Monotonic Differentiable Sorting Networks (ICLR 2022). The order within a group is free.

    The released code takes the negatives from the anchors' own view, lets no derivative through positives and
    negatives (pass `b.detach()` for that), and takes all positives; here several levels of ids can make many. An anchor
    with fewer than P + K gets the network of the size it needs.

    Only what is near the border between the groups counts: local neighbourhoods, as retrieval and k-nearest neighbours
    need them. Use several positives (views, windows of a recording), fewer negatives than could be false. The
    temperature is the inverse of the paper's steepness, 1 there by default: swaps are soft over differences of about
    its size, and far pairs keep a gradient, since the Cauchy distribution has long tails.

    Args:
        a: (N, D) anchors, or what the similarity takes.
        b: (M, D) candidates.
        pairing: who is positive, yes or no; a tensor (N, M) bool stands for `matrix`.
        positives: at most so many positives of an anchor, 1 or more.
        negatives: at most so many negatives, 1 or more; time grows with the square of both together.
        temperature: above 0; a scalar tensor may be learned, (N,) gives every anchor its own.
        similarity: of embeddings.
        **scale: `block` and `group`, see `Scale`.

    Returns:
        Scalar; 0 with a gradient of 0 where no anchor has both a positive and a negative.

    Raises:
        UsageError: for a limit below 1, a soft pairing, and as in `over_anchors`.
    """
    if positives < 1 or negatives < 1:
        raise UsageError(f"groco sorts at least one positive and one negative, got {positives} and {negatives}")
    pairing = yes_or_no(pairing, "groco")

    def formula(scores: Tensor, pairs: PairMasks, _: Tensors) -> Tensor:
        return _lines(scores, pairs, min(positives, scores.shape[1]), min(negatives, scores.shape[1]))

    lines = over_anchors(formula, a, b, pairing, similarity=similarity, temperature=temperature, **scale)
    return mean_over_anchors(lines, scale.get("group"))


def _lines(scores: Tensor, pairs: PairMasks, positives: int, negatives: int) -> Tensor:
    near = scores.masked_fill(~negatives_of(pairs), -torch.inf).topk(negatives, dim=1).values.flip(1)
    far = scores.masked_fill(~pairs.positive, torch.inf).topk(positives, dim=1, largest=False).values
    values = torch.cat([near, far], dim=1)
    # Missing negatives are the first places, missing positives the last: what there is lies side by side.
    there = values.isfinite()
    values = values.masked_fill(~there, 0.0)
    swaps = _swaps(values, there, (negatives - there[:, :negatives].sum(dim=1))[:, None])
    first = torch.arange(positives + negatives, device=scores.device) < negatives
    # Which of both groups an element ends in, from the last layer back to the first.
    groups = (torch.stack([first, ~first])[:, None] & there).to(scores.dtype)
    for swap in reversed(swaps):
        groups = _exchange(groups, swap)
    right = torch.where(first, groups[0], groups[1]).clamp(min=torch.finfo(scores.dtype).tiny, max=1.0)
    losses = torch.where(there, -right.log(), 0.0).sum(dim=1) / there.sum(dim=1).clamp(min=1)
    return counted(losses, there[:, :negatives].any(dim=1) & there[:, negatives:].any(dim=1))


def _swaps(values: Tensor, there: Tensor, start: Tensor) -> list[Tensor]:
    """What each layer exchanges between neighbours, (n, W - 1), sorting values (n, W) that begin at start (n, 1)."""
    width = values.shape[1]
    size = there.sum(dim=1, keepdim=True)
    places = torch.arange(width - 1, device=values.device) - start
    both = there[:, 1:] & there[:, :-1]
    swaps = []
    for layer in range(width):
        compared = both & ((places + layer) % 2 == 0) & (layer < size)
        # arctan2(1, x) is pi/2 - arctan(x), exact for large x too.
        share = torch.atan2(torch.ones_like(values[:, 1:]), values[:, 1:] - values[:, :-1]) / math.pi
        swaps.append(torch.where(compared, share, 0.0))
        values = _exchange(values, swaps[-1])
    return swaps


def _exchange(x: Tensor, swap: Tensor) -> Tensor:
    """Neighbours (..., W) exchange this share (..., W - 1) of what they hold."""
    moved = swap * (x[..., 1:] - x[..., :-1])
    return x + F.pad(moved, (0, 1)) - F.pad(moved, (1, 0))
