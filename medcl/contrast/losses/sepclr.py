"""SepCLR: what patients and controls have in common, separated from what only patients have."""

from collections.abc import Sequence
from typing import Unpack

import torch
from torch import Tensor
from torch.nn import functional as F

from medcl.contrast.core.anchors import Scale, over_anchors
from medcl.contrast.core.blockwise import Tensors, accurate, no_autocast
from medcl.contrast.core.gather import Group, gather, mean
from medcl.contrast.pairings.pairs import Pairing, PairMasks, itself
from medcl.contrast.similarities.similarity import Embeddings, Similarity, same_length
from medcl.errors import UsageError


def _prepare(a: Tensors, b: Tensors) -> tuple[Tensors, Tensors]:
    x, y = (torch.cat([part.flatten(1) for part in side], dim=1) for side in (a, b))
    same_length(x, y)
    return (x,), (y,)


def _score(anchors: Tensors, candidates: Tensors) -> Tensor:
    # Difference by difference: salient embeddings are not of unit length, and products would cancel.
    return -torch.cdist(anchors[0], candidates[0], compute_mode="donot_use_mm_for_euclid_dist").square()


nearness = Similarity("nearness", _score, _prepare)
"""-||a - b||^2, of several tensors the sum."""


def align(
    a: Tensor, b: Tensor | None = None, rows: Tensor | None = None, *, temperature: float = 0.5, group: Group = None
) -> Tensor:
    """Alignment, mean_i ||a_i - b_i||^2 / (2 temperature): two views agree, or an embedding is the null vector.

    Args:
        a: (N, D).
        b: (N, D); default: null vectors.
        rows: (N,) bool, which ones count; default: all.
        temperature: t, above 0.
        group: processes over all of whose rows the mean is taken.

    Returns:
        Scalar; 0 where no row counts.

    Raises:
        UsageError: when shapes differ.
    """
    if (b is not None and a.shape != b.shape) or (rows is not None and rows.shape != a.shape[:1]):
        raise UsageError("two embeddings of one shape, and a yes or no for each row, are aligned")
    with no_autocast(a):
        distance = accurate(a) if b is None else accurate(a) - accurate(b)
        losses = distance.square().flatten(1).sum(dim=1) / (2 * temperature)
        counted = torch.ones_like(losses, dtype=torch.bool) if rows is None else rows
        return mean(torch.where(counted, losses, 0.0).sum(), counted.sum(dtype=losses.dtype), group)


def uniform(a: Embeddings, *, temperature: float = 0.5, **scale: Unpack[Scale]) -> Tensor:
    """Uniformity, log mean_{i < j} exp( -||a_i - a_j||^2 / (2 temperature) ): the lower, the more evenly spread.

    Args:
        a: (N, D).
        temperature: t, above 0: how near two embeddings are that repel each other.
        **scale: `block` and `group`, see `Scale`.

    Returns:
        Scalar, the same in all processes; 0 for one row.
    """
    totals, counts = _kernel_sums(a, temperature, alone=False, scale=scale).unbind(1)
    pairs = counts.sum()
    # Every row has others, or there is one row only.
    total = torch.where(pairs != 0, totals, 0.0).logsumexp(dim=0)
    return torch.where(pairs != 0, total - pairs.clamp(min=1).log(), 0.0)


def joint_entropy(common: Tensor, salient: Tensor, *, temperature: float = 0.5, **scale: Unpack[Scale]) -> Tensor:
    """k-JEM, mean_i log mean_j exp( -(||c_i - c_j||^2 + ||s_i - s_j||^2) / (2 temperature) ).

    Minus the joint entropy of both spaces, by a kernel density in which an embedding is its own neighbour. With the
    entropy of each held up by `uniform`, a high joint entropy is a low mutual information.

    Args:
        common: (N, C).
        salient: (N, S).
        temperature: t, above 0.
        **scale: `block` and `group`, see `Scale`.

    Returns:
        Scalar, the same in all processes.
    """
    totals, counts = _kernel_sums((common, salient), temperature, alone=True, scale=scale).unbind(1)
    return (totals - counts.log()).sum() / max(len(totals), 1)


def _kernel_sums(a: Embeddings, temperature: float, *, alone: bool, scale: Scale) -> Tensor:
    """For every row of all processes, the log of the sum of kernels over the others (and itself), and their number."""
    first = a if isinstance(a, Tensor) else a[0]
    places = itself(first).anchors
    everything = Pairing(lambda x, y: PairMasks(x[0][:, None] == y[0]), places, places)

    def formula(scores: Tensor, pairs: PairMasks, _: Tensors) -> Tensor:
        if not alone:
            # Not -inf, which has no derivative where a row is alone.
            scores = scores.masked_fill(pairs.positive, torch.finfo(scores.dtype).min)
        count = scores.new_full((len(scores),), scores.shape[1] - (0 if alone else 1))
        return torch.stack([scores.logsumexp(dim=1), count], dim=1)

    lines = over_anchors(formula, a, a, everything, similarity=nearness, temperature=2 * temperature, **scale)
    return gather(lines, scale.get("group"))


def sepclr(
    common: Sequence[Tensor],
    salient: Sequence[Tensor],
    target: Tensor,
    *,
    salient_weight: float = 1.0,
    background_weight: float = 10.0,
    information_weight: float = 10.0,
    temperature: float = 0.5,
    **scale: Unpack[Scale],
) -> Tensor:
    """Separate what only the target set varies in from what it shares with a background set.

    Of two views each, c on the unit sphere and s as it is, s' = s in targets and the null vector in the background:

        align(c_1, c_2) + 2 uniform(c)
        + salient_weight (align(s_1, s_2 | target) + 2 uniform(s'))
        + background_weight align(s, 0 | background)
        + information_weight joint_entropy(c, s')

    where terms of one view are the mean over both. SepCLR with k-JEM (Louiset et al., Separating common from salient
    patterns with Contrastive Representation Learning, ICLR 2024): with controls as background and patients as target,
    a probe for the disease's subtypes should find them in s and not in c, and age and scanner in c. The temperature is
    the width of all kernels: salient embeddings, which are free to grow, count as different beyond it. The paper weighs
    1, 10, 10 on CheXpert and 100 for the background of ODIR.

    Args:
        common: the two views (N, C) by the common encoder.
        salient: the two views (N, S) by the salient encoder.
        target: (N,) bool: true in the target set, false in the background.
        salient_weight: see above.
        background_weight: see above.
        information_weight: see above.
        temperature: t, above 0.
        **scale: `block` and `group`, see `Scale`.

    Returns:
        Scalar.

    Raises:
        UsageError: when there are not two views each, when shapes do not fit, or when `target` is not bool.
    """
    if len(common) != 2 or len(salient) != 2:
        raise UsageError(f"two views of each encoder are needed, got {len(common)} and {len(salient)}")
    if target.dtype != torch.bool or target.shape != common[0].shape[:1]:
        raise UsageError(f"target must be bool of shape ({len(common[0])},), got {target.dtype} {tuple(target.shape)}")
    t, group = temperature, scale.get("group")
    with no_autocast(common[0]):
        (c1, c2), (s1, s2) = [F.normalize(accurate(c), dim=1) for c in common], [accurate(s) for s in salient]
        kept1, kept2 = (torch.where(target[:, None], s, 0.0) for s in (s1, s2))
        shared = align(c1, c2, temperature=t, group=group)
        own = align(s1, s2, target, temperature=t, group=group)
        null = sum(align(s, None, ~target, temperature=t, group=group) for s in (s1, s2)) / 2
        spread = sum(uniform(c, temperature=t, **scale) for c in (c1, c2))
        own_spread = sum(uniform(s, temperature=t, **scale) for s in (kept1, kept2))
        both = ((c1, kept1), (c2, kept2))
        information = sum(joint_entropy(c, s, temperature=t, **scale) for c, s in both) / 2
    own = salient_weight * (own + own_spread)
    return shared + spread + own + background_weight * null + information_weight * information
