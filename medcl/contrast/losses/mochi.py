"""Synthetic hard negatives, mixed from the hardest real ones (MoCHi)."""

from typing import Unpack

import torch
from torch import Tensor

from medcl.contrast.core.anchors import Scale, counted, logsumexp_where, mean_over_anchors, over_anchors
from medcl.contrast.core.blockwise import Tensors
from medcl.contrast.core.gather import gather
from medcl.contrast.core.negative_mixing import Mixing, draw_mixing, mix_negatives
from medcl.contrast.core.precision import no_autocast
from medcl.contrast.core.row_means import mean_over, negatives, per_anchor, weighed, yes_or_no
from medcl.contrast.pairings.pairs import Pairing, Pairs
from medcl.contrast.similarities.similarity import Embeddings, Similarity, cosine
from medcl.errors import UsageError


def mochi(
    a: Embeddings,
    b: Embeddings,
    pairing: Pairing | Tensor,
    *,
    hardest: int = 256,
    synthetic: int = 256,
    with_query: int = 32,
    generator: torch.Generator | None = None,
    mixing: Mixing | None = None,
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

    def hard(scores: Tensor, pairs: Pairs, _: Tensors) -> Tensor:
        against = negatives(pairs)
        order = scores.masked_fill(~against, -torch.inf).topk(min(hardest, scores.shape[1]), dim=1).indices
        return torch.cat([order, against.sum(dim=1, keepdim=True).clamp(max=order.shape[1])], dim=1)

    with torch.no_grad():
        found = over_anchors(hard, a, b, pairing, similarity=similarity, **scale)
        others = gather(b, group)
    if not len(others):
        # Nobody to compare with or to mix.
        return (a.sum() + b.sum()) * 0
    mixed = mix_negatives(a, others, found[:, :-1], found[:, -1], mixing, similarity)
    with no_autocast(a):
        query = similarity.prepared(a, b)[0][0]
        extra = torch.einsum("nd,nsd->ns", query, mixed) / per_anchor(temperature, a)

    def formula(scores: Tensor, pairs: Pairs, rows: Tensors) -> Tensor:
        attraction, total = mean_over(scores, pairs.positive)
        real = logsumexp_where(weighed(scores, pairs), pairs.candidate)
        made = torch.where(negatives(pairs).any(dim=1), rows[0].logsumexp(dim=1), -torch.inf)
        return counted(torch.where(total > 0, torch.logaddexp(real, made), 0.0) - attraction, total > 0)

    lines = over_anchors(formula, a, b, pairing, similarity=similarity, temperature=temperature, rows=(extra,), **scale)
    return mean_over_anchors(lines, group)
