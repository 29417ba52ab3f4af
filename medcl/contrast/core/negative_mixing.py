"""New negatives mixed from each anchor's hardest ones: drawn once, replayed at will."""

from dataclasses import dataclass

import torch
from torch import Tensor

from medcl.contrast.core.precision import no_autocast
from medcl.contrast.similarities.similarity import Similarity, cosine
from medcl.errors import UsageError


@dataclass(frozen=True)
class Mixing:
    """What is mixed with what, drawn once: the same mixing of the same embeddings gives the same negatives.

    Attributes:
        first: (N, S) int64, rank from 0 (hardest) of one real negative; unused where the anchor itself is mixed.
        second: (N, S) int64, rank of the other.
        share: (N, S), of the first one; of the anchor in the last columns.
        with_query: how many of the last columns mix the anchor itself with `second`.
    """

    first: Tensor
    second: Tensor
    share: Tensor
    with_query: int = 0


def draw_mixing(
    anchors: int,
    *,
    hardest: int,
    synthetic: int,
    with_query: int = 0,
    generator: torch.Generator | None = None,
    device: torch.device | str = "cpu",
) -> Mixing:
    """Draw two of the `hardest` negatives and a share for each synthetic negative.

    Args:
        anchors: N.
        hardest: real negatives of an anchor that are mixed, 1 or more.
        synthetic: mixtures of two negatives an anchor, with shares uniform from 0 to 1.
        with_query: mixtures of the anchor and a negative, with shares of the anchor uniform from 0 to 0.5.
        generator: of `device`; default: torch's.
        device: of the embeddings.

    Returns:
        Mixing of S = synthetic + with_query negatives an anchor.

    Raises:
        UsageError: without a negative to mix or a mixture to make.
    """
    if hardest < 1 or synthetic < 0 or with_query < 0 or synthetic + with_query < 1:
        raise UsageError(f"cannot make {synthetic} + {with_query} negatives of the {hardest} hardest")
    shape = (anchors, synthetic + with_query)
    first = torch.randint(hardest, shape, generator=generator, device=device)
    step = torch.randint(1, max(hardest, 2), shape, generator=generator, device=device)
    share = torch.rand(shape, generator=generator, device=device)
    share[:, synthetic:] /= 2
    return Mixing(first, (first + step) % hardest, share, with_query)


def mix_negatives(
    queries: Tensor,
    negatives: Tensor,
    indices: Tensor,
    available: Tensor,
    mixing: Mixing,
    similarity: Similarity = cosine,
) -> Tensor:
    """Mix each anchor's hardest negatives with each other, and with the anchor itself.

    h = share n_first + (1 - share) n_second, and share q + (1 - share) n_second in the last columns, of vectors as the
    similarity prepares candidates, then prepared again: of length 1 for cosines.

    Args:
        queries: (N, D) anchors q.
        negatives: (M, D) real candidates n.
        indices: (N, k) int64, the hardest negatives of each anchor among them, hardest first.
        available: (N,) how many of these it has; ranks beyond start again from the hardest.
        mixing: of these anchors.
        similarity: an inner product.

    Returns:
        (N, S, D) synthetic negatives, without derivative.

    Raises:
        UsageError: for a similarity that is no inner product of vectors, or a mixing of other anchors.
    """
    if not similarity.inner:
        raise UsageError(f"mixtures of embeddings need an inner product, not {similarity.name!r}: cosine, dot")
    if len(mixing.first) != len(queries):
        raise UsageError(f"the mixing is of {len(mixing.first)} anchors, there are {len(queries)}")
    with torch.no_grad(), no_autocast(queries):
        (q,), (n,) = (similarity.prepared(side, side)[1] for side in (queries, negatives))
        ranks = torch.stack([mixing.first, mixing.second]) % available.clamp(min=1)[:, None]
        first, second = n[indices[torch.arange(len(q), device=q.device)[:, None], ranks]]
        plain = mixing.first.shape[1] - mixing.with_query
        first = torch.cat([first[:, :plain], q[:, None].expand(-1, mixing.with_query, -1)], dim=1)
        mixed = second + mixing.share.to(q)[:, :, None] * (first - second)
        return similarity.prepared(q, mixed.flatten(0, 1))[1][0].view_as(mixed)
