"""How alike two embeddings are: a matrix of similarities from anchors and candidates."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from medcl.contrast.core.blockwise import Score, Tensors, accurate, unit
from medcl.errors import UsageError

Embeddings = Tensor | Sequence[Tensor]
"""One tensor (N, ...), or several with the same N: the modalities of a sample."""
Sides = tuple[Tensors, Tensors]
"""Anchors and candidates. An alias, since torch.compile does not trace a subscript in a nested function's signature."""


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
    prepare: Callable[[Tensors, Tensors], Sides]
    inner: bool = False
    unit: bool = False

    def prepared(self, a: Embeddings, b: Embeddings) -> Sides:
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

    def prepare(a: Tensors, b: Tensors) -> Sides:
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


def transposed(similarity: Similarity) -> Similarity:
    """The same similarity with the sides exchanged: words as anchors and images as candidates, or tuples as anchors.

    Args:
        similarity: of anchors `a` with candidates `b`.

    Returns:
        A similarity of anchors `b` with candidates `a`, whose matrix is the transpose.
    """

    def score(anchors: Tensors, candidates: Tensors) -> Tensor:
        return similarity.score(candidates, anchors).T

    def prepare(a: Tensors, b: Tensors) -> Sides:
        candidates, anchors = similarity.prepare(b, a)
        return anchors, candidates

    return Similarity(similarity.name, score, prepare, inner=similarity.inner, unit=similarity.unit)
