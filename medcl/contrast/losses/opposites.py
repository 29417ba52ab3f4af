"""Texts that say the opposite of what is there, as negatives of their own record: the terms of CE-CLIP and DeGLA."""

from typing import Unpack

import torch
from torch import Tensor
from torch.nn import functional as F

from medcl.contrast.core.anchors import Scale, block_and_group
from medcl.contrast.core.blockwise import accurate, no_autocast
from medcl.contrast.core.gather import Group, gather, mean
from medcl.errors import UsageError

MOST = 10.0
"""Of the margins, in the unit of the logits."""


def opposites(
    a: Tensor,
    b: Tensor,
    wrong: Tensor,
    valid: Tensor | None = None,
    *,
    temperature: float | Tensor = 0.07,
    **scale: Unpack[Scale],
) -> Tensor:
    """Tell what belongs to an anchor from its own opposites, and from nothing else.

        l(i) = -log( exp(s(a_i, b_i)) / (exp(s(a_i, b_i)) + sum_k exp(s(a_i, w_ik))) ),   s = cosine / temperature

    Of DeGLA (Hu et al., 2025) the image-grounded term, with a the images, b their texts and w the texts with one word
    exchanged, and the text-grounded one, with a the texts and b the same by a slowly following encoder, temperature
    0.1. The released code masks the latter so that most of an anchor's negatives are other anchors'; here each has its
    own. Equal reports of other patients are no negatives here, whatever the batch holds.

    Args:
        a: (N, D) anchors.
        b: (N, D) what belongs to each.
        wrong: (N, K, D) the opposites of b.
        valid: (N, K) bool, which of them there are; default: all. An anchor without any does not count.
        temperature: above 0.
        **scale: `group`, see `Scale`; anchors are seen one by one, so that `block` changes nothing.

    Returns:
        Scalar, the mean over the anchors that have an opposite; 0 where none has.

    Raises:
        UsageError: when shapes do not fit.
    """
    _, group = block_and_group(**scale)
    own, other, there = _logits(a, b, wrong, valid, temperature)
    lines = torch.logsumexp(torch.cat([own, other.masked_fill(~there, -torch.inf)], dim=1), dim=1) - own[:, 0]
    return _mean(lines, there.any(dim=1), group)


def all_opposites(
    a: Tensor,
    b: Tensor,
    wrong: Tensor,
    valid: Tensor | None = None,
    texts: tuple[Tensor, Tensor] | None = None,
    *,
    temperature: float | Tensor = 0.07,
    group: Group = None,
) -> Tensor:
    """Tell a text's image from the opposites of all texts, among texts alone.

        l(i) = -log( exp(s(a_i, b_i)) / (exp(s(a_i, b_i)) + sum_jk exp(s(b_i, w_jk))) )

    The intra-modal term of CE-CLIP (Zhang et al., CVPR 2024) as it is published and was released first; since
    27 March 2024 the released code has no positive and pulls every text to one opposite.

    Args:
        a: (N, D) images.
        b: (N, D) their texts.
        wrong: (N, K, D) opposites of the texts.
        valid: (N, K) bool, which of them there are; default: all.
        texts: (N,) and (N, K) int64 numbers of the texts and of their opposites: an opposite that says what the text
            says is left out.
        temperature: above 0.
        group: processes, whose opposites count as well.

    Returns:
        Scalar; 0 where there is no opposite anywhere.

    Raises:
        UsageError: when shapes do not fit.
    """
    own, _, there = _logits(a, b, wrong, valid, temperature)
    kept = there if texts is None else there & (texts[1] != texts[0][:, None])
    every, counted = gather(wrong.flatten(0, 1), group), gather(there.flatten(), group)
    with no_autocast(b):
        said, opposite = (F.normalize(accurate(one), dim=-1) for one in (b, every))
        logits = said @ opposite.T / temperature
    out = ~counted[None].expand_as(logits)
    if texts is not None:
        out = out | (gather(texts[1].flatten(), group)[None] == texts[0][:, None])
    lines = torch.logsumexp(torch.cat([own, logits.masked_fill(out, -torch.inf)], dim=1), dim=1) - own[:, 0]
    return _mean(lines, (~out).any(dim=1) | kept.any(dim=1), group)


def ranked_opposites(
    a: Tensor,
    b: Tensor,
    wrong: Tensor,
    margins: Tensor,
    valid: Tensor | None = None,
    *,
    temperature: float | Tensor = 0.07,
    group: Group = None,
) -> Tensor:
    """Keep an image nearer to its text than to an opposite by a margin of its kind.

        mean over valid (i, k) of max(0, margin_k + s(a_i, w_ik) - s(a_i, b_i))

    The cross-modal rank term of CE-CLIP (Zhang et al., CVPR 2024). `opposite_gaps` of a step are the margins of the
    next one, so that they grow with what is reached.

    Args:
        a: (N, D) images.
        b: (N, D) their texts.
        wrong: (N, K, D) opposites of the texts, a kind each.
        margins: (K,) of the kinds, in the unit of the logits.
        valid: (N, K) bool, which of them there are; default: all.
        temperature: above 0.
        group: processes.

    Returns:
        Scalar; 0 where there is no opposite.

    Raises:
        UsageError: when shapes do not fit.
    """
    own, other, there = _logits(a, b, wrong, valid, temperature)
    short = (margins.to(other) + other - own).clamp(min=0).masked_fill(~there, 0)
    return mean(short.sum(), there.sum().to(short), group)


@torch.no_grad()
def opposite_gaps(
    a: Tensor,
    b: Tensor,
    wrong: Tensor,
    valid: Tensor | None = None,
    *,
    temperature: float | Tensor = 0.07,
    group: Group = None,
) -> Tensor:
    """By how much images are nearer to their texts than to opposites: (K,) from 0 to `MOST`, the mean of each kind."""
    own, other, there = _logits(a, b, wrong, valid, temperature)
    gap = (own - other).masked_fill(~there, 0)
    sums, counts = gather(gap.sum(dim=0)[None], group).sum(dim=0), gather(there.sum(dim=0)[None], group).sum(dim=0)
    return (sums / counts.clamp(min=1)).clamp(0, MOST)


def _logits(
    a: Tensor, b: Tensor, wrong: Tensor, valid: Tensor | None, temperature: float | Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """(N, 1) of what belongs together, (N, K) of the opposites, (N, K) which of these there are."""
    if a.ndim != 2 or a.shape != b.shape or wrong.ndim != 3 or wrong.shape[::2] != a.shape:
        raise UsageError(
            f"anchors and partners (N, D) and opposites (N, K, D) expected, got {tuple(a.shape)}, {tuple(b.shape)} "
            f"and {tuple(wrong.shape)}"
        )
    if valid is not None and (valid.shape != wrong.shape[:2] or valid.dtype != torch.bool):
        raise UsageError(
            f"valid must be bool of shape {tuple(wrong.shape[:2])}, got {valid.dtype} {tuple(valid.shape)}"
        )
    with no_autocast(a):
        a, b, wrong = (F.normalize(accurate(one), dim=-1) for one in (a, b, wrong))
        own = (a * b).sum(dim=1, keepdim=True) / temperature
        other = (a[:, None] * wrong).sum(dim=2) / temperature
    there = torch.ones_like(other, dtype=torch.bool) if valid is None else valid
    return own, other, there


def _mean(lines: Tensor, counts: Tensor, group: Group) -> Tensor:
    return mean(lines.masked_fill(~counts, 0).sum(), counts.sum().to(lines), group)
