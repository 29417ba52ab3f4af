"""From embeddings and a pairing to one line of numbers an anchor, and from these to a loss."""

from collections.abc import Callable
from dataclasses import replace
from typing import TypedDict

import torch
from torch import Tensor
from torch.nn import functional as F

from medcl.contrast.core.blockwise import Tensors, by_rows, no_autocast
from medcl.contrast.core.gather import Group, gather, gathered, mean
from medcl.contrast.pairings.pairs import Pairing, PairMasks, hard, matrix
from medcl.contrast.similarities.similarity import Embeddings, Similarity
from medcl.errors import UsageError


def negatives(pairs: PairMasks) -> Tensor:
    """Candidates that are not positive and have some importance, (n, M) bool."""
    others = ~hard(pairs.positive)
    if pairs.importance is not None:
        others = others & (pairs.importance > 0)
    return others if pairs.candidate is None else pairs.candidate & others


def weighed(scores: Tensor, pairs: PairMasks) -> Tensor:
    """Scores (n, M) plus the logarithm of the candidates' importance: what enters a denominator."""
    return scores if pairs.importance is None else scores + pairs.importance.log().to(scores.dtype)


def mean_over(terms: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """The mean of each row's terms with these weights, and the weights' sum.

    Args:
        terms: (n, M); anything, infinite too, where the weight is 0.
        weights: (n, M), bool or 0 or more.

    Returns:
        (n,) both; the mean is 0 where the sum is.
    """
    weights = weights.to(terms.dtype)
    total = weights.sum(dim=1)
    summed = (weights * terms.masked_fill(weights == 0, 0.0)).sum(dim=1)
    return summed / torch.where(total > 0, total, 1.0), total


def per_anchor(value: float | Tensor, like: Tensor, name: str = "temperature") -> Tensor:
    """A number of the loss as (N, 1), so that it is cut into blocks with its anchors and can be learned.

    Args:
        value: a number, a scalar tensor or one an anchor (N,).
        like: anything (N, ...) of the anchors.
        name: for the message.

    Returns:
        (N, 1), at least float32.

    Raises:
        UsageError: for a tensor of another shape.
    """
    count = len(like)
    dtype = torch.float64 if like.dtype == torch.float64 else torch.float32
    if not isinstance(value, Tensor):
        return torch.full((count, 1), value, dtype=dtype, device=like.device)
    if value.ndim > 1 or (value.ndim == 1 and len(value) not in (1, count)):
        raise UsageError(f"a {name} is a scalar or one an anchor ({count},), got {tuple(value.shape)}")
    return value.to(dtype).reshape(-1, 1).expand(count, 1)


def yes_or_no(pairing: Pairing | Tensor, loss: str) -> Pairing:
    """The pairing of a loss that has no use for weights.

    Raises:
        UsageError: for a soft pairing.
    """
    pairing = matrix(pairing) if isinstance(pairing, Tensor) else pairing
    if pairing.soft:
        raise UsageError(f"{loss} takes positives as yes or no, got weights: compare them with a threshold first")
    return pairing


def on_the_sphere(similarity: Similarity, loss: str) -> None:
    """Refuse similarities that are not cosines, for a loss of squared distances 2 - 2 cos.

    Raises:
        UsageError: when one side keeps its length.
    """
    if not (similarity.inner and similarity.unit):
        raise UsageError(f"{loss} needs vectors of length 1: take the cosine, not {similarity.name!r}")


RowFormula = Callable[[Tensor, PairMasks, Tensors], Tensor]
"""Similarities over temperature (n, M), their pairs, and further tensors of these anchors, to (n, K)."""


class Scale(TypedDict, total=False):
    """How a loss is computed, which does not change its value; every loss takes these.

    Attributes:
        block: anchors at a time; default: from the memory that is free.
        group: processes whose candidates are all contrasted with this process's anchors, such as
            `torch.distributed.group.WORLD`. The mean of the loss over processes, and the mean of the gradients that
            DistributedDataParallel takes, are those of one process with all samples. Default: this process alone.
    """

    block: int | None
    group: Group


def block_and_group(block: int | None = None, group: Group = None) -> tuple[int | None, Group]:
    """The two entries of a `Scale` that is passed as keywords, so that Python refuses any other word."""
    return block, group


def over_anchors(
    formula: RowFormula,
    a: Embeddings,
    b: Embeddings,
    pairing: Pairing | Tensor,
    *,
    similarity: Similarity,
    temperature: float | Tensor = 1.0,
    rows: Tensors = (),
    block: int | None = None,
    group: Group = None,
) -> Tensor:
    """Apply a formula to each anchor's similarities with all candidates, blockwise and across processes.

    Args:
        formula: of the similarities divided by the temperature and of the pairs.
        a: (N, ...) anchors.
        b: (M, ...) candidates.
        pairing: of N with M; a tensor (N, M) stands for `matrix`.
        similarity: of embeddings.
        temperature: above 0; a scalar that may be learned, or one an anchor (N,).
        rows: further tensors (N, ...) for the formula.
        block: see `Scale`.
        group: see `Scale`.

    Returns:
        (N, K), in float32 or, for float64 embeddings, in float64.

    Raises:
        UsageError: when shapes do not fit or a temperature is not above 0.
    """
    with no_autocast(a if isinstance(a, Tensor) else a[0]):
        anchors, candidates, pairing, scale = prepare(
            a, b, pairing, similarity=similarity, temperature=temperature, group=group
        )
        if similarity.inner:
            # One pass over the anchors instead of one over the matrix.
            anchors = (anchors[0] * scale,)
        else:
            rows = (*rows, scale)
        of_anchors = len(pairing.anchors)
        if not len(candidates[0]):
            # Without a candidate: one that is left out gives the formula a column to compute with.
            nothing = scale.new_zeros(len(scale), 1)
            pairs = pairing.rule(pairing.anchors, pairing.candidates)
            importance = None if pairs.importance is None else F.pad(pairs.importance, (0, 1), value=1)
            positive = F.pad(pairs.positive, (0, 1))
            padded = replace(pairs, positive=positive, candidate=nothing.bool(), importance=importance)
            return _with(formula(nothing, padded, rows if similarity.inner else rows[:-1]), (*anchors, *candidates))

        def of_block(scores: Tensor, rows: Tensors, shared: Tensors) -> Tensor:
            if not similarity.inner:
                scores, rows = scores * rows[-1], rows[:-1]
            return formula(scores, pairing.rule(rows[:of_anchors], shared), rows[of_anchors:])

        lines = by_rows(
            similarity.score,
            of_block,
            anchors,
            candidates,
            (*pairing.anchors, *rows),
            pairing.candidates,
            inner=similarity.inner,
            block=block,
        )
        # A maximum, a sorting or a mask of a formula may skip NaN: the loss never does.
        return _with(lines, tuple(x.detach() for x in (*anchors, *candidates)))


def _with(lines: Tensor, tensors: Tensors) -> Tensor:
    """Lines that depend, with a derivative of 0, on tensors which they may have stepped over; indices stay."""
    if not lines.is_floating_point():
        return lines
    return lines + sum((x.sum() * 0 for x in tensors if x.is_floating_point()), lines.new_zeros(()))


def prepare(
    a: Embeddings,
    b: Embeddings,
    pairing: Pairing | Tensor,
    *,
    similarity: Similarity,
    temperature: float | Tensor,
    group: Group,
) -> tuple[Tensors, Tensors, Pairing, Tensor]:
    """Everything that is done once to a batch: checks, unit length, candidates of all processes.

    Returns:
        Anchors; candidates; their pairing; and 1 / temperature, (N, 1).
    """
    pairing = matrix(pairing) if isinstance(pairing, Tensor) else pairing
    above_zero(temperature)
    anchors, candidates = similarity.prepared(a, b)
    if pairing.shape != (len(anchors[0]), len(candidates[0])):
        raise UsageError(
            f"the pairing is of {pairing.shape[0]} anchors and {pairing.shape[1]} candidates, the embeddings are "
            f"{len(anchors[0])} and {len(candidates[0])}"
        )
    pairing = gathered(pairing, group)
    candidates = tuple(gather(x, group) for x in candidates)
    scale = per_anchor(temperature, anchors[0]).reciprocal()
    return anchors, candidates, pairing, scale


def above_zero(temperature: float | Tensor) -> None:
    """Refuse a temperature of 0 or below.

    A tensor on a GPU is not looked at, since every step would have to wait for it: there 0 gives infinities. A tensor
    that is not a number passes, and makes the loss not a number.

    Raises:
        UsageError: with the temperature.
    """
    if not isinstance(temperature, Tensor):
        refused = not temperature > 0
    else:
        looked_at = temperature.device.type == "cpu" and not torch.compiler.is_compiling()
        refused = looked_at and bool((temperature <= 0).any())
    if refused:
        lowest = temperature.min().item() if isinstance(temperature, Tensor) else temperature
        raise UsageError(f"a temperature must be above 0, got {lowest}")


def mean_over_anchors(lines: Tensor, group: Group) -> Tensor:
    """The mean of the losses in column 0, weighted by column 1 (0 for anchors that do not count).

    Args:
        lines: (N, 2): the loss times its weight, the weight.
        group: see `Scale`.

    Returns:
        Scalar; 0 with a gradient of 0 where nothing counts.
    """
    losses, weights = lines.unbind(1)
    return mean(losses.sum(), weights.sum(), group)


def counted(losses: Tensor, counts: Tensor) -> Tensor:
    """Lines (n, 2) for `mean_over_anchors`: losses (n,) where `counts` (n,) is true."""
    return torch.stack([torch.where(counts, losses, 0.0), counts.to(losses.dtype)], dim=1)


def logsumexp_where(scores: Tensor, mask: Tensor | None) -> Tensor:
    """The log of the sum of exp over each row where the mask is true; -inf, without derivative, where it is nowhere.

    Args:
        scores: (n, M).
        mask: (n, M) bool; None: everywhere.

    Returns:
        (n,).
    """
    if mask is None:
        return scores.logsumexp(dim=1)
    some = mask.any(dim=1)
    # A row of nothing but -inf has a logsumexp without a derivative: such rows stay finite and are left out after.
    kept = scores.masked_fill(~mask & some[:, None], -torch.inf)
    return torch.where(some, kept.logsumexp(dim=1), -torch.inf)
