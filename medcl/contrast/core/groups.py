"""InfoNCE where positives are groups of equal ids and the similarity is an inner product: no matrix is held.

Everything that is positive for an anchor is then one vector, the sum of its group, so that attraction takes N + M
products instead of N M; and repulsion is the logarithm of a sum over all candidates, the same at every level.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from medcl.contrast.core.blockwise import no_autocast, rows_at_once
from medcl.contrast.pairings.pairs import Pairing
from medcl.errors import UsageError

SMALL = 2**20
"""Similarities that are kept for the backward pass without a second thought."""


@dataclass(frozen=True)
class Groups:
    """Which candidates are positive for an anchor, by the number of their group.

    Attributes:
        of_anchor: (N,) group of each anchor; an arbitrary one where `count` is 0.
        of_candidate: (M,).
        own: (N,) column of the anchor's own place, which is left out, -1 for none; None where nothing is left out.
        inside: (N,) whether the own place is one of the group; None with `own`.
        count: (N,) positives, as floating-point numbers.
    """

    of_anchor: Tensor
    of_candidate: Tensor
    own: Tensor | None
    inside: Tensor | None
    count: Tensor

    def share(self, rows: slice) -> Tensor:
        """(rows, 1) of each positive in the mean of those of an anchor: 1 / count, 0 without one."""
        count = self.count[rows, None]
        return torch.where(count > 0, 1 / count.clamp(min=1), 0.0)


def find(pairing: Pairing, dtype: torch.dtype) -> Groups:
    """The groups of a pairing whose `groups` is set."""
    ids_a, ids_b = pairing.anchors[0], pairing.candidates[0]
    ordered, _ = ids_b.sort()
    # An id's first appearance among the sorted ones numbers its group: its shape, unlike that of the different ids, is
    # known before.
    of_b, of_a = torch.searchsorted(ordered, ids_b), torch.searchsorted(ordered, ids_a).clamp(max=len(ordered) - 1)
    sizes = torch.zeros(len(ids_b), dtype=dtype, device=ids_b.device)
    sizes.index_add_(0, of_b, torch.ones_like(sizes))
    count = torch.where(ordered[of_a] == ids_a, sizes[of_a], 0.0)
    if pairing.groups != "without itself":
        return Groups(of_a, of_b, None, None, count)
    own = _columns(pairing.anchors[1], pairing.candidates[1])
    inside = (own >= 0) & (ids_b[own.clamp(min=0)] == ids_a)
    return Groups(of_a, of_b, own, inside, count - inside.to(dtype))


def attraction_and_repulsion(
    a: Tensor, b: Tensor, scale: Tensor, levels: list[Groups], *, block: int | None = None
) -> Tensor:
    """What pulls and what pushes each anchor, with s_ij = scale_i a_i . b_j.

    In blocks of rows, whose softmax is recomputed in the backward pass from the logarithms: four matrix products, where
    a dense implementation that keeps the matrix has three, but a few passes over a block in the processor's cache where
    that one has as many over memory. A single block is kept.

    Args:
        a: (N, D) anchors.
        b: (M, D) candidates; may be the same tensor.
        scale: (N, 1), 1 / temperature.
        levels: groups of each level, with the same column left out.
        block: rows at a time; default: from the memory that is free. Compiled, all rows are one block of plain
            autograd.

    Returns:
        (N, 1 + levels): log sum_j exp(s_ij), then for each level the mean of s_ip over the positives p, 0 without one.
        The logarithm is -inf, with a derivative of 0, where no candidate is left.

    Raises:
        UsageError: a block without a row.
    """
    if block is not None and block < 1:
        raise UsageError(f"block {block}: at least one anchor at a time")
    if not torch.compiler.is_compiling():
        if block is None:
            block = len(a) if len(a) * len(b) <= SMALL else rows_at_once(len(b), a.device)
        return cast(Tensor, _Contrast.apply(a, b, scale, levels, max(1, min(block, len(a)))))  # type: ignore[no-untyped-call]
    anchors = a * scale
    columns = [_row_logsumexp(anchors @ b.T, levels[0].own)]
    for level in levels:
        sums = torch.zeros_like(b).index_add(0, level.of_candidate, b)
        columns.append((anchors * _mean_positive(b, sums, level, slice(None))).sum(dim=1))
    return torch.stack(columns, dim=1)


class _Contrast(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, scale: Tensor, levels: list[Groups], block: int) -> Tensor:
        result = a.new_empty(len(a), 1 + len(levels))
        buffer = a.new_empty(block, len(b))
        means: list[Tensor] = []
        own = levels[0].own
        for rows in _blocks(len(a), block):
            scores = torch.mm(a[rows] * scale[rows], b.T, out=buffer[: len(a[rows])])
            if own is not None:
                _leave_out(scores, own[rows])
            top = scores.amax(dim=1, keepdim=True)
            top = torch.where(top == -torch.inf, 0.0, top)
            total = scores.sub_(top).exp_().sum(dim=1)
            result[rows, 0] = total.log() + top.squeeze(1)
        sums = torch.empty_like(b)
        for index, level in enumerate(levels, start=1):
            sums.zero_().index_add_(0, level.of_candidate, b)
            for rows in _blocks(len(a), block):
                positives = _mean_positive(b, sums, level, rows)
                result[rows, index] = (a[rows] * positives).sum(dim=1)
                if block >= len(a):
                    means.append(positives)
        result[:, 1:] *= scale
        kept = (scores, total, *means) if block >= len(a) > 0 else ()
        ctx.save_for_backward(a, b, scale, result, *kept)
        ctx.levels, ctx.block, ctx.shared = levels, block, a is b
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        a, b, scale, result, *kept = ctx.saved_tensors
        levels: list[Groups] = ctx.levels
        # Of one tensor as anchors and candidates the two derivatives are one sum.
        of_a = torch.zeros_like(a)
        of_b = of_a if ctx.shared else torch.zeros_like(b)
        of_scale = torch.zeros_like(scale) if ctx.needs_input_grad[2] else None

        def add(rows: slice, derivative: Tensor) -> None:
            """Of the scaled anchors."""
            of_a[rows].addcmul_(derivative, scale[rows])
            if of_scale is not None:
                of_scale[rows] += (derivative * a[rows]).sum(dim=1, keepdim=True)

        with no_autocast(grad):
            buffer = None if kept else a.new_empty(ctx.block, len(b))
            # Where nothing is left there is no softmax: exp(-inf - 0) = 0 everywhere.
            shift = torch.where(result[:, :1] == -torch.inf, 0.0, -result[:, :1])
            for rows in _blocks(len(a), ctx.block):
                anchors, weight = a[rows] * scale[rows], grad[rows, :1]
                if buffer is None:
                    share, total = kept[:2]
                    weight = weight / torch.where(total > 0, total, 1.0)[:, None]
                else:
                    share = torch.addmm(shift[rows], anchors, b.T, out=buffer[: len(anchors)])
                    own = levels[0].own
                    if own is not None:
                        _leave_out(share, own[rows])
                    share.exp_()
                add(rows, (share @ b).mul_(weight))
                of_b.addmm_(share.T, anchors.mul_(weight))
            del buffer
            sums = torch.empty_like(b)
            for index, level in enumerate(levels, start=1):
                weights = grad[:, index, None]
                if not kept:
                    sums.zero_().index_add_(0, level.of_candidate, b)
                for rows in _blocks(len(a), ctx.block):
                    positives = kept[1 + index] if kept else _mean_positive(b, sums, level, rows)
                    add(rows, positives * weights[rows])
                sums.zero_()
                for rows in _blocks(len(a), ctx.block):
                    pulling = a[rows] * (weights[rows] * scale[rows] * level.share(rows))
                    sums.index_add_(0, level.of_anchor[rows], pulling)
                    if level.own is not None and level.inside is not None:
                        inside = level.inside[rows, None].to(a.dtype)
                        of_b.index_add_(0, level.own[rows].clamp(min=0), pulling.mul_(-inside))
                for rows in _blocks(len(b), ctx.block):
                    of_b[rows] += sums[level.of_candidate[rows]]
        return of_a, None if ctx.shared else of_b, of_scale, None, None


def _mean_positive(b: Tensor, sums: Tensor, level: Groups, rows: slice) -> Tensor:
    """(rows, D), of each anchor; 0 without a positive."""
    total = sums[level.of_anchor[rows]]
    if level.own is not None and level.inside is not None:
        itself = b[level.own[rows].clamp(min=0)]
        total = total.addcmul_(itself, level.inside[rows, None].to(b.dtype), value=-1)
    return total.mul_(level.share(rows))


def _row_logsumexp(scores: Tensor, own: Tensor | None) -> Tensor:
    if own is None:
        return scores.logsumexp(dim=1)
    _leave_out(scores, own)
    if scores.shape[1] > 1:
        return scores.logsumexp(dim=1)
    # A row of nothing but -inf has a logsumexp without a derivative.
    return torch.where(own >= 0, -torch.inf, torch.where(own[:, None] >= 0, 0.0, scores).logsumexp(dim=1))


def _leave_out(scores: Tensor, own: Tensor) -> None:
    """Make the own column of each row -inf, in place."""
    out = torch.where(own[:, None] >= 0, -torch.inf, torch.zeros((), dtype=scores.dtype, device=scores.device))
    scores.scatter_add_(1, own.clamp(min=0)[:, None], out)


def _blocks(count: int, block: int) -> Iterator[slice]:
    return (slice(start, min(start + block, count)) for start in range(0, count, block))


def _columns(places_a: Tensor, places_b: Tensor) -> Tensor:
    """The column whose place is that of each anchor; -1 for none. Places differ from one another."""
    ordered, order = places_b.sort()
    index = torch.searchsorted(ordered, places_a).clamp(max=len(ordered) - 1)
    return torch.where(ordered[index] == places_a, order[index], -1)
