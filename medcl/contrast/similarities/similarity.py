"""How alike two embeddings are: a matrix of similarities from anchors and candidates."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from medcl.contrast.core.blockwise import Score, Tensors
from medcl.contrast.core.vectors import accurate, no_autocast, unit
from medcl.errors import UsageError

SMALLEST = 1e-12
"""A feature whose norm over time is below this counts as 0 throughout."""


def cosine_over_time(z1: Tensor, z2: Tensor) -> Tensor:
    """Cosines between all first and all second views, after normalising every feature of every sample over time.

    With n_itk = z_itk / ||z_i.k||, flattened to T K numbers a sample: s_ij = n1_i . n2_j / (||n1_i|| ||n2_j||). A
    feature that is 0 throughout stays 0, with a derivative of 0. Pooled embeddings get the plain cosine.

    One node of the graph: ||n_i||^2 is the number of features that are not 0, a constant, and the derivative through
    the normalisation takes one pass over the embeddings.

    Args:
        z1: (B, T, K) dense embeddings of the first view, or (B, K) pooled ones; float32 or float64.
        z2: those of the second.

    Returns:
        (B, B), first views in rows. It can be differentiated once.
    """
    # A pooled embedding is one feature with K steps.
    views = (z.unsqueeze(2) if z.ndim == 2 else z for z in (z1, z2))
    return cast(Tensor, _CosineOverTime.apply(*views))  # type: ignore[no-untyped-call]


class _CosineOverTime(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z1: Tensor, z2: Tensor) -> Tensor:
        scale1, scale2 = _scale(z1), _scale(z2)
        n1, n2 = z1 * scale1, z2 * scale2
        ctx.save_for_backward(n1, n2, scale1, scale2)
        return n1.flatten(1) @ n2.flatten(1).T

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        n1, n2, scale1, scale2 = ctx.saved_tensors
        with no_autocast(grad):
            return _derivative(grad, n1, n2, scale1), _derivative(grad.T, n2, n1, scale2)


def _scale(z: Tensor) -> Tensor:
    """Factors (B, 1, K) that make each sample's features equally long and the whole sample of length 1."""
    # torch.linalg.vector_norm over this axis takes twice as long on a CPU.
    norms = z.square().sum(dim=1, keepdim=True).sqrt_()
    live = norms > SMALLEST
    features = live.to(z.dtype).sum(dim=2, keepdim=True).clamp_(min=1)
    return torch.where(live, 1 / (norms * features.sqrt()), 0.0)


def _derivative(grad: Tensor, n: Tensor, other: Tensor, scale: Tensor) -> Tensor:
    """Derivative with respect to the view that was normalised to n."""
    result = (grad @ other.flatten(1)).view_as(n)
    # n_i.k has length 1 / sqrt(features): only what is across it changes the cosine.
    features = (scale > 0).sum(dim=2, keepdim=True)
    along = (result * n).sum(dim=1, keepdim=True).mul_(features)
    return result.addcmul_(n, along, value=-1).mul_(scale)


Embeddings = Tensor | Sequence[Tensor]
"""One tensor (N, ...), or several with the same N: the modalities of a sample."""


@dataclass(frozen=True)
class Similarity:
    """A similarity: what is done once to all embeddings, and what is done for each block of the matrix.

    Attributes:
        name: as in error messages and tables.
        score: prepared anchors (n, ...) and candidates (M, ...) to similarities (n, M).
        prepare: anchors and candidates before they are compared: unit length, products of modalities.
        inner: the score is the inner product of one vector an anchor and one a candidate.
        unit: these vectors have length 1, so that squared distances are 2 - 2 score.
    """

    name: str
    score: Score
    prepare: Callable[[Tensors, Tensors], tuple[Tensors, Tensors]]
    inner: bool = False
    unit: bool = False

    def prepared(self, a: Embeddings, b: Embeddings) -> tuple[Tensors, Tensors]:
        """Both sides in at least float32, ready to be scored.

        Raises:
            UsageError: when the modalities of one side differ in number of samples or the shapes do not fit.
        """
        sides = tuple(tuple(accurate(x) for x in ((side,) if isinstance(side, Tensor) else side)) for side in (a, b))
        for side in sides:
            if not side or any(x.ndim < 2 or len(x) != len(side[0]) for x in side):
                shapes = ", ".join(str(tuple(x.shape)) for x in side)
                raise UsageError(f"embeddings must be (batch, ...) tensors of one batch, got {shapes or 'none'}")
        return self.prepare(*sides)


def vectors(side: Tensors, similarity: str) -> Tensor:
    """The one tensor (N, D) that a similarity of vectors takes; more dimensions are flattened.

    Raises:
        UsageError: for several tensors.
    """
    if len(side) != 1:
        raise UsageError(f"similarity {similarity!r} compares one tensor with one, got {len(side)} modalities")
    return side[0].flatten(1)


def same_length(a: Tensor, b: Tensor) -> None:
    """Refuse anchors and candidates of different length.

    Raises:
        UsageError: when they differ.
    """
    if a.shape[1] != b.shape[1]:
        raise UsageError(f"anchors and candidates must be (N, D) and (M, D), got {tuple(a.shape)} and {tuple(b.shape)}")


def inner_product(anchors: Tensors, candidates: Tensors) -> Tensor:
    """(n, D) and (M, D) to (n, M)."""
    return anchors[0] @ candidates[0].T


def _vectors(name: str, *, anchors: bool, candidates: bool) -> Similarity:
    """An inner product after bringing one side or both to unit length."""

    def prepare(a: Tensors, b: Tensors) -> tuple[Tensors, Tensors]:
        x = vectors(a, name)
        if a[0] is b[0] and anchors == candidates:
            # One tensor on both sides stays one.
            x = unit(x) if anchors else x
            return (x,), (x,)
        y = vectors(b, name)
        same_length(x, y)
        return (unit(x) if anchors else x,), (unit(y) if candidates else y,)

    return Similarity(name, inner_product, prepare, inner=True, unit=anchors and candidates)


cosine = _vectors("cosine", anchors=True, candidates=True)
"""a . b / (||a|| ||b||); a vector of length 0 has cosine 0 with everything."""
dot = _vectors("dot", anchors=False, candidates=False)
"""a . b, as in TS2Vec and COMET's inner levels."""
one_sided = _vectors("one-sided", anchors=False, candidates=True)
"""a . b / ||b||: only the candidate is brought to unit length, over all its features and time steps, as in the decoding
of speech from brain recordings (Defossez et al., Nature Machine Intelligence 2023): a reliable recording may score
higher than an unreliable one, a loud sound not higher than a quiet one."""
