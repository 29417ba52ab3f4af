"""SupReMix: contrast for regression, with mixtures of embeddings as hard positives and negatives."""

from dataclasses import dataclass
from typing import Unpack

import torch
from torch import Tensor

from medcl.contrast.core.anchors import Scale, counted, logsumexp_where, mean_over_anchors, over_anchors
from medcl.contrast.core.blockwise import Tensors, rows_at_once
from medcl.contrast.core.gather import processes
from medcl.contrast.pairings.pairs import Pairing, PairMasks, itself
from medcl.contrast.pairings.targets import gap, magnified, vector
from medcl.contrast.similarities.similarity import Similarity, cosine
from medcl.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class _Parts(PairMasks):
    """Pairs from which mixtures are made: only the anchor itself is positive.

    Attributes:
        gap: (n, M), how far the candidate's target lies above the anchor's.
        share: (n, M), how much of the anchor is in its mixture with a candidate.
    """

    gap: Tensor
    share: Tensor


def supremix(
    z1: Tensor,
    z2: Tensor,
    y: Tensor,
    *,
    window: float = 5.0,
    beta: tuple[int, int] = (2, 8),
    draws: Tensor | None = None,
    generator: torch.Generator | None = None,
    temperature: float | Tensor = 0.3,
    similarity: Similarity = cosine,
    **scale: Unpack[Scale],
) -> Tensor:
    """Contrast the 2N views of a batch by continuous targets, with mixtures among what they are compared with.

    For a view i, P(i) are the others with the same target, and

        mixed negatives: a z_i + (1 - a) z_k for every k with y_k != y_i, a ~ Beta; target a y_i + (1 - a) y_k
        mixed positives: c z_j + (1 - c) z_k for all y_j < y_i < y_k less than `window` away,
                         with c = (y_k - y_i) / (y_k - y_j), whose target is y_i

        l(i) = mean over P(i) and the mixed positives p of
               -log( exp(s_ip) / sum over all other views and all mixtures m of (|y_m - y_i| + 1) exp(s_im) )

    with s_im = <z_i, m> / temperature. Mixtures are neither brought back to unit length nor differentiated: only the
    anchor moves. SupReMix (Wu et al., Mixup Your Own Pairs: Supervised Contrastive Learning for Regression, 2023),
    made for brain age, bone age and ejection fraction. Both `window` and the weight |dy| + 1 are in the unit of the
    targets, years in the paper. The temperature decides how strongly the nearest targets are separated.

    The released code subtracts another maximum from the mixtures' similarities than from the others' before it adds
    their exponentials up, which changes their weight, and divides batches to fit in memory. Here the mixed positives,
    of which an anchor among M views may have M^2 / 4, are held for a block of anchors at a time.

    Args:
        z1: (N, D) first views.
        z2: (N, D) second views.
        y: (N,) targets; one that is not known (NaN) has no positive and makes no mixture, and is a negative.
        window: how far the targets of a mixed positive's parts are at most (<) from the anchor's.
        beta: of the anchor's share in mixed negatives; two whole numbers above 0.
        draws: (2, N, sum of beta - 1) in [0, 1], for each view; the same draws give the same loss.
        generator: of the draws where these are not given; default: torch's own.
        temperature: above 0.
        similarity: an inner product.
        **scale: `block` and `group`, see `Scale`.

    Returns:
        Scalar; views without a positive, real or mixed, do not count.

    Raises:
        UsageError: when shapes do not fit, `beta` is not two whole numbers, or the similarity is no inner product.
    """
    if not similarity.inner:
        raise UsageError(f"mixtures of embeddings are compared by an inner product, not by {similarity.name!r}")
    if min(beta) < 1:
        raise UsageError(f"beta must be two whole numbers above 0, got {beta}")
    shape = (2, len(y), sum(beta) - 1)
    if draws is None:
        draws = torch.rand(shape, generator=generator, device=z1.device if generator is None else generator.device)
    if draws.shape != shape:
        raise UsageError(f"draws must be of shape {shape}, got {tuple(draws.shape)}")
    z, targets, group = torch.cat([z1, z2]), vector(y).repeat(2), scale.get("group")
    if len(targets) != len(z):
        raise UsageError(f"a target for each of {len(z1)} samples is needed, got {len(y)}")
    alone, equal = itself(z), Pairing(lambda a, c: PairMasks(a[0][:, None] == c[0]), (targets,), (targets,))
    parts = _parts(targets, draws.to(z.device).flatten(0, 1), alone, beta[0])
    block = scale.get("block")
    if block is None and not torch.compiler.is_compiling():
        views = max(1, len(z) * processes(group))
        block = max(1, rows_at_once(views, z.device) // views)

    def of_mixtures(scores: Tensor, pairs: PairMasks, _: Tensors) -> Tensor:
        assert isinstance(pairs, _Parts)
        return _lines_of_mixtures(scores, pairs, window)

    real = over_anchors(
        _lines, z, z, magnified(equal.without(alone), targets), similarity=similarity, temperature=temperature, **scale
    )
    # A second pass, because no derivative goes to what is mixed.
    mixed = over_anchors(
        of_mixtures,
        z,
        z.detach(),
        parts,
        similarity=similarity,
        temperature=temperature,
        block=block,
        group=group,
    )
    attraction, count = real[:, 1] + mixed[:, 1], real[:, 2] + mixed[:, 2]
    losses = torch.logaddexp(real[:, 0], mixed[:, 0]) - attraction / count.clamp(min=1)
    return mean_over_anchors(counted(losses, count != 0), group)


def _parts(targets: Tensor, draws: Tensor, alone: Pairing, smallest: int) -> Pairing:
    """Of all pairs, what their mixtures are made of."""

    def rule(anchors: Tensors, candidates: Tensors) -> PairMasks:
        own = alone.rule(anchors[2:], candidates[2:]).positive
        # The differences of uniform draws, modulo 1, are uniform and belong to a pair without a draw for each pair; and
        # the p-th smallest of p + q - 1 uniform numbers has the distribution Beta(p, q).
        uniform = (anchors[1][:, None] - candidates[1][None]) % 1
        return _Parts(
            own, gap=gap(anchors[0], candidates[0]), share=uniform.kthvalue(smallest, dim=2).values.clamp(0, 1)
        )

    return Pairing(rule, (targets, draws, *alone.anchors), (targets, draws, *alone.candidates))


def _lines(scores: Tensor, pairs: PairMasks, _: Tensors) -> Tensor:
    """Normaliser, sum over positives and their number, (n, 3)."""
    weighed = scores if pairs.importance is None else scores + pairs.importance.to(scores.dtype).log()
    attraction = torch.where(pairs.positive, scores, 0.0).sum(dim=1)
    count = pairs.positive.sum(dim=1, dtype=scores.dtype)
    return torch.stack([logsumexp_where(weighed, pairs.candidate), attraction, count], dim=1)


def _lines_of_mixtures(scores: Tensor, parts: _Parts, window: float) -> Tensor:
    """As `_lines`, of the mixtures of each anchor."""
    above, below = (parts.gap > 0) & (parts.gap < window), (parts.gap < 0) & (parts.gap > -window)
    other = (parts.gap != 0) & ~parts.gap.isnan()
    y, share = parts.gap.nan_to_num(0.0).to(scores.dtype), parts.share.to(scores.dtype)

    own = torch.where(parts.positive, scores, 0.0).sum(dim=1, keepdim=True)
    negatives = share * own + (1 - share) * scores + ((1 - share) * y.abs()).log1p()

    between = below[:, :, None] & above[:, None, :]
    width = torch.where(between, y[:, None, :] - y[:, :, None], 1.0)
    lower = torch.where(between, y[:, None, :] / width, 0.0)
    positives = torch.where(between, lower * scores[:, :, None] + (1 - lower) * scores[:, None, :], 0.0).flatten(1)

    masks = torch.cat([other, between.flatten(1)], dim=1)
    normaliser = logsumexp_where(torch.cat([negatives, positives], dim=1), masks)
    return torch.stack([normaliser, positives.sum(dim=1), between.sum(dim=(1, 2), dtype=scores.dtype)], dim=1)
