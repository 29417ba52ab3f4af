"""Synthetic hard negatives, mixed from the hardest real ones (MoCHi)."""

from dataclasses import dataclass
from typing import Any, Unpack

import torch
from torch import Tensor

from medcl.contrast.core.anchors import (
    Scale,
    counted,
    logsumexp_where,
    mean_over,
    mean_over_anchors,
    negatives,
    over_anchors,
    per_anchor,
    weighed,
    yes_or_no,
)
from medcl.contrast.core.blockwise import Tensors, no_autocast
from medcl.contrast.core.gather import Group, gather, own_rows, rows_before
from medcl.contrast.pairings.pairs import Pairing, PairMasks
from medcl.contrast.similarities.similarity import Embeddings, Similarity, cosine
from medcl.errors import UsageError


@dataclass(frozen=True)
class NegativeMixing:
    """What is mixed with what, drawn once: the same mixing of the same embeddings gives the same negatives.

    Attributes:
        first: (N, S) int64, rank from 0 (hardest) of one real negative; unused where the anchor itself is mixed.
        second: (N, S) int64, rank of the other.
        share: (N, S), of the first one; of the anchor in the last columns.
        with_query: number of last columns that mix the anchor itself with `second`.
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
) -> NegativeMixing:
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
    return NegativeMixing(first, (first + step) % hardest, share, with_query)


def draw_own_mixing(
    anchors: Tensor, blocks: int, group: Group, *, generator: torch.Generator, **sizes: Any
) -> NegativeMixing:
    """As `draw_mixing`, the same in any number of processes: drawn on the CPU for the anchors of all of them.

    Args:
        anchors: (blocks * n, D), of this process.
        blocks: views of a sample.
        group: processes that share the batch.
        generator: on the CPU, the same in all processes.
        **sizes: of `draw_mixing`.
    """
    before, total = rows_before(len(anchors) // blocks, anchors, group)
    drawn = draw_mixing(blocks * total, **sizes, generator=generator)
    rows = own_rows(len(anchors) // blocks, blocks, before, total)
    first, second, share = (one[rows].to(anchors.device) for one in (drawn.first, drawn.second, drawn.share))
    return NegativeMixing(first, second, share, drawn.with_query)


def mix_negatives(
    queries: Tensor,
    negatives: Tensor,
    indices: Tensor,
    available: Tensor,
    mixing: NegativeMixing,
    similarity: Similarity = cosine,
) -> Tensor:
    """Mix each anchor's hardest negatives with each other, and with the anchor itself.

    h = share n_first + (1 - share) n_second, and share q + (1 - share) n_second in the last columns, of vectors as the
    similarity prepares candidates, then prepared again: of length 1 for cosines.

    Args:
        queries: (N, D) anchors q.
        negatives: (M, D) real candidates n.
        indices: (N, k) int64, the hardest negatives of each anchor among them, hardest first.
        available: (N,) number of these that it has; ranks beyond start again from the hardest.
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


def mochi(
    a: Embeddings,
    b: Embeddings,
    pairing: Pairing | Tensor,
    *,
    hardest: int = 256,
    synthetic: int = 256,
    with_query: int = 32,
    generator: torch.Generator | None = None,
    mixing: NegativeMixing | None = None,
    temperature: float | Tensor = 0.2,
    similarity: Similarity = cosine,
    **scale: Unpack[Scale],
) -> Tensor:
    """InfoNCE whose denominator also holds negatives mixed from each anchor's hardest ones.

        l(i) = -1/P_i sum_p log( exp(s_ip) / (sum over candidates j of v_ij exp(s_ij) + sum_h exp(s_ih)) )

    with s = sim / temperature, P_i positives, v_ij the importance that the pairing gives a candidate (1 if it gives
    none), and h the synthetic negatives of `mix_negatives`, through which no derivative goes. The loss is the mean of l
    over the anchors with a positive; an anchor without negatives has no synthetic ones. Kalantidis et al., Hard
    Negative Mixing for Contrastive Learning (NeurIPS 2020): with a queue behind `b` and one positive it is theirs. They
    mix only after some epochs, when hard negatives begin to mean something; several positives are an extension.

    For small or uniform data sets, where few negatives are hard: they are multiplied, at the price of N S D numbers of
    memory. Hard negatives of a medical data set are often the same patient or the same finding: leave these out of the
    pairing first (`without`). The temperature (MoCo 0.2) decides how much the synthetic ones outweigh the real: at 0.05
    hardly anything else counts.

    Args:
        a: (N, D) anchors.
        b: (M, D) candidates.
        pairing: who is positive, yes or no; a tensor (N, M) bool stands for `matrix`.
        hardest: real negatives of an anchor that are mixed; fewer where there are fewer.
        synthetic: mixtures of two of them an anchor.
        with_query: mixtures of one of them with the anchor.
        generator: draws them.
        mixing: replays what was drawn instead, for the anchors of this process.
        temperature: above 0; a scalar tensor may be learned, (N,) gives every anchor its own.
        similarity: `cosine`, `one_sided` or `dot`: mixtures are vectors.
        **scale: `block` and `group`, see `Scale`.

    Returns:
        Scalar; 0 with a gradient of 0 where no anchor has a positive.

    Raises:
        UsageError: for another similarity, a soft pairing, a mixing of other anchors, and as in `over_anchors`.
    """
    if not similarity.inner or not (isinstance(a, Tensor) and isinstance(b, Tensor)):
        raise UsageError(f"mixtures of embeddings need an inner product, not {similarity.name!r}: cosine, dot")
    pairing = yes_or_no(pairing, "mochi")
    group = scale.get("group")
    if mixing is None:
        sizes = {"hardest": hardest, "synthetic": synthetic, "with_query": with_query}
        mixing = draw_mixing(len(a), **sizes, generator=generator, device=a.device)

    def hard(scores: Tensor, pairs: PairMasks, _: Tensors) -> Tensor:
        against = negatives(pairs)
        order = scores.masked_fill(~against, -torch.inf).topk(min(hardest, scores.shape[1]), dim=1).indices
        return torch.cat([order, against.sum(dim=1, keepdim=True).clamp(max=order.shape[1])], dim=1)

    with torch.no_grad():
        found = over_anchors(hard, a, b, pairing, similarity=similarity, **scale)
        others = gather(b, group)
    if not len(others):
        # Without a candidate there is nothing to compare with or to mix.
        return (a.sum() + b.sum()) * 0
    mixed = mix_negatives(a, others, found[:, :-1], found[:, -1], mixing, similarity)
    with no_autocast(a):
        query = similarity.prepared(a, b)[0][0]
        extra = torch.einsum("nd,nsd->ns", query, mixed) / per_anchor(temperature, a)

    def formula(scores: Tensor, pairs: PairMasks, rows: Tensors) -> Tensor:
        attraction, total = mean_over(scores, pairs.positive)
        real = logsumexp_where(weighed(scores, pairs), pairs.candidate)
        made = torch.where(negatives(pairs).any(dim=1), rows[0].logsumexp(dim=1), -torch.inf)
        return counted(torch.where(total > 0, torch.logaddexp(real, made), 0.0) - attraction, total > 0)

    lines = over_anchors(formula, a, b, pairing, similarity=similarity, temperature=temperature, rows=(extra,), **scale)
    return mean_over_anchors(lines, group)
