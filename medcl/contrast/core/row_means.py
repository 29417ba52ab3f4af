"""What losses take from a row of similarities: who is negative, the mean over positives, the anchor's temperature."""

import torch
from torch import Tensor

from medcl.contrast.pairings.pairs import Pairing, Pairs, hard, matrix
from medcl.contrast.similarities.similarity import Similarity
from medcl.errors import UsageError


def negatives(pairs: Pairs) -> Tensor:
    """Candidates that are not positive and have some importance, (n, M) bool."""
    others = ~hard(pairs.positive)
    if pairs.importance is not None:
        others = others & (pairs.importance > 0)
    return others if pairs.candidate is None else pairs.candidate & others


def weighed(scores: Tensor, pairs: Pairs) -> Tensor:
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
