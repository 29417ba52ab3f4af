"""Losses over rows of a similarity matrix, a block of rows at a time, and the numbers in which they are computed."""

from collections.abc import Callable, Iterator
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from medcl.errors import UsageError


def accurate(x: Tensor) -> Tensor:
    """At least float32, whatever the encoder ran in: exponentials of half-precision similarities overflow."""
    return x if x.dtype == torch.float64 else x.float()


def no_autocast(x: Tensor) -> torch.autocast:
    """A context in which nothing on the device of `x` is cast to half precision, used around every loss."""
    return torch.autocast(x.device.type, enabled=False)


SMALLEST = 1e-12
"""A vector shorter than this has no direction: it stays 0, with a derivative of 0."""


def unit(x: Tensor) -> Tensor:
    """Divide each vector by its length.

    As `torch.nn.functional.normalize`, but keeping the result for the backward pass instead of the input, which
    nothing else needs, and without an explosion of the derivative at 0.

    Args:
        x: (N, D).

    Returns:
        (N, D).
    """
    return cast(Tensor, _Unit.apply(x))  # type: ignore[no-untyped-call]


class _Unit(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        lengths = torch.linalg.vector_norm(x, dim=1, keepdim=True)
        inverse = torch.where(lengths > SMALLEST, 1 / lengths, 0.0)
        result = x * inverse
        ctx.save_for_backward(result, inverse)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        result, inverse = ctx.saved_tensors
        along = torch.linalg.vecdot(grad, result)[:, None]
        return torch.addcmul(grad, result, along, value=-1).mul_(inverse)


Tensors = tuple[Tensor, ...]
Score = Callable[[Tensors, Tensors], Tensor]
"""Anchors (n, ...) and candidates (M, ...) to similarities (n, M)."""
Formula = Callable[[Tensor, Tensors, Tensors], Tensor]
"""Similarities (n, M), what belongs to these anchors (n, ...), what is shared, to one line of numbers each (n, K)."""

ON_CPU = 2**19
"""Similarities of one block on a CPU: few enough for the passes over them to stay in its caches."""
SHARE = 1 / 64
"""Share of a GPU's free memory that one block of similarities may take; a formula needs several of that size."""


def rows_at_once(width: int, device: torch.device) -> int:
    """Anchors a block, from the memory that is free: all of them where they fit.

    Args:
        width: candidates.
        device: where the similarities are computed.

    Returns:
        At least 1 row on a GPU and 128 on a CPU, where fewer would leave matrix products without work.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return max(1, int(free * SHARE) // (4 * max(width, 1)))
    return max(128, ON_CPU // max(width, 1))


def by_rows(
    score: Score,
    formula: Formula,
    anchors: Tensors,
    candidates: Tensors,
    rows: Tensors = (),
    shared: Tensors = (),
    *,
    inner: bool = False,
    block: int | None = None,
) -> Tensor:
    """Apply a formula to the rows of a similarity matrix.

    One block is plain autograd: it compiles without a graph break and can be differentiated twice. Several blocks
    are one node of the graph, which keeps nothing but its inputs and recomputes a block's similarities in the backward
    pass, so that memory grows with N + M and not with N M.

    Args:
        score: similarities of a block of anchors with all candidates.
        formula: what becomes of a block of similarities.
        anchors: (N, ...) each.
        candidates: (M, ...) each.
        rows: further tensors (N, ...) of which the formula gets the block's part: ids, temperatures.
        shared: further tensors that the formula gets whole: ids of the candidates, a bias.
        inner: the score is `anchors[0] @ candidates[0].T`, so that its derivative can be added up in place.
        block: anchors a block; default: from the memory that is free.

    Returns:
        (N, K), what the formula returned.

    Raises:
        UsageError: a block without a row.
    """
    if block is not None and block < 1:
        raise UsageError(f"block {block}: at least one anchor at a time")
    count, width = len(anchors[0]), len(candidates[0])
    if block is None:
        # The compiler fuses the dense path, and cannot ask for free memory.
        block = count if torch.compiler.is_compiling() else rows_at_once(width, anchors[0].device)
    if block >= count:
        return formula(score(anchors, candidates), rows, shared)
    plan = _Plan(score, formula, len(anchors), len(candidates), len(rows), inner, block)
    return cast(Tensor, _ByRows.apply(plan, *anchors, *candidates, *rows, *shared))  # type: ignore[no-untyped-call]


class _Plan:
    """Which of the tensors of one call is what."""

    def __init__(
        self, score: Score, formula: Formula, anchors: int, candidates: int, rows: int, inner: bool, block: int
    ) -> None:
        self.score, self.formula, self.inner, self.block = score, formula, inner, block
        self.ends = (anchors, anchors + candidates, anchors + candidates + rows)

    def parts(self, tensors: Tensors, rows: slice) -> tuple[Tensors, Tensors, Tensors, Tensors]:
        first, second, third = self.ends
        of_anchors, of_rows = tensors[:first], tensors[second:third]
        return (
            tuple(t[rows] for t in of_anchors),
            tensors[first:second],
            tuple(t[rows] for t in of_rows),
            tensors[third:],
        )

    def by_row(self, index: int) -> bool:
        return index < self.ends[0] or self.ends[1] <= index < self.ends[2]

    def blocks(self, count: int) -> Iterator[slice]:
        return (slice(start, start + self.block) for start in range(0, count, self.block))


class _ByRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, plan: _Plan, *tensors: Tensor) -> Tensor:
        ctx.plan = plan
        ctx.save_for_backward(*tensors)
        results = []
        for block in plan.blocks(len(tensors[0])):
            anchors, candidates, rows, shared = plan.parts(tensors, block)
            results.append(plan.formula(plan.score(anchors, candidates), rows, shared))
        return torch.cat(results)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        plan: _Plan = ctx.plan
        tensors: Tensors = ctx.saved_tensors
        wanted = ctx.needs_input_grad[1:]
        sums = [torch.zeros_like(t) if want else None for t, want in zip(tensors, wanted, strict=True)]
        with no_autocast(grad):
            for block in plan.blocks(len(tensors[0])):
                _add_block(plan, tensors, sums, block, grad[block])
        return (None, *sums)


def _add_block(plan: _Plan, tensors: Tensors, sums: list[Tensor | None], block: slice, grad: Tensor) -> None:
    """Add what one block of anchors contributes to the derivatives."""
    with torch.enable_grad():
        leaves = tuple(
            (t[block] if plan.by_row(i) else t).detach().requires_grad_(sums[i] is not None)
            for i, t in enumerate(tensors)
        )
        # The leaves of rows are cut already.
        anchors, candidates, rows, shared = plan.parts(leaves, slice(None))
        if plan.inner:
            with torch.no_grad():
                scores = plan.score(anchors, candidates)
            scores.requires_grad_()
        else:
            scores = plan.score(anchors, candidates)
        result = plan.formula(scores, rows, shared)
    skipped = set(range(plan.ends[1])) if plan.inner else set()
    indices = [i for i, total in enumerate(sums) if total is not None and i not in skipped]
    sources = [leaves[i] for i in indices] + ([scores] if plan.inner else [])
    if not result.requires_grad or not sources:
        return
    found = torch.autograd.grad(result, sources, grad, allow_unused=True)
    for i, derivative in zip(indices, found, strict=False):
        total = sums[i]
        if derivative is not None and total is not None:
            (total[block] if plan.by_row(i) else total).add_(derivative)
    if plan.inner and found[-1] is not None:
        of_anchors, of_candidates = sums[0], sums[plan.ends[0]]
        if of_anchors is not None:
            torch.mm(found[-1], leaves[plan.ends[0]].detach(), out=of_anchors[block])
        if of_candidates is not None:
            of_candidates.addmm_(found[-1].T, leaves[0].detach())


def over_samples(
    formula: Callable[[Tensors], Tensor], tensors: Tensors, *, numbers: int, block: int | None = None
) -> Tensor:
    """Apply a formula to blocks of samples; what it needs in between is recomputed for the derivative.

    Args:
        formula: tensors (n, ...) of these samples to one line of numbers a sample (n, K).
        tensors: (N, ...) each.
        numbers: number of intermediate values of a sample, for the size of a block.
        block: samples at a time; default: from the memory that is free.

    Returns:
        (N, K).
    """
    if block is None and not torch.compiler.is_compiling():
        block = rows_at_once(numbers, tensors[0].device)
    nothing = tensors[0].new_zeros(1)
    return by_rows(lambda own, _: formula(own), lambda lines, *_: lines, tensors, (nothing,), block=block)
