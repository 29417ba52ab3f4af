"""The area under the ROC curve as a loss: every positive above every negative (MW loss)."""

from dataclasses import dataclass
from typing import Literal, Unpack

import torch
from torch import Tensor
from torch.nn import functional as F

from medcl.contrast.core.anchors import (
    RowFormula,
    Scale,
    counted,
    mean_over_anchors,
    negatives,
    over_anchors,
    yes_or_no,
)
from medcl.contrast.core.blockwise import ON_CPU, Tensors, by_rows
from medcl.contrast.pairings.pairs import Pairing, PairMasks
from medcl.contrast.similarities.similarity import Embeddings, Similarity, cosine
from medcl.errors import UsageError

Over = Literal["anchor", "batch"]
Surrogate = Literal["logistic", "squared_hinge"]


def auc(
    a: Embeddings,
    b: Embeddings,
    pairing: Pairing | Tensor,
    *,
    over: Over = "anchor",
    surrogate: Surrogate = "logistic",
    margin: float = 1.0,
    positives: int = 8,
    temperature: float | Tensor = 0.1,
    similarity: Similarity = cosine,
    **scale: Unpack[Scale],
) -> Tensor:
    """How far positives are from scoring above negatives, pair by pair.

    With s_ij = sim(a_i, b_j) / temperature, P_i and N_i the positives and negatives of anchor i, v_ij the importance of
    a candidate (1 if the pairing gives none) and f a smooth stand-in for [s_n > s_p]:

        anchor: l(i) = 1/(|P_i| sum_n v_in) sum_p sum_n v_in f(s_in - s_ip), averaged over the anchors
        batch:  L = mean of f(s_kn - s_ip), weighed by v_kn, over all positives ip and negatives kn of all anchors

        logistic: f(x) = log(1 + exp(x))      squared_hinge: f(x) = max(0, margin + x)^2

    1 - AUC is the mean of [s_n > s_p] (Mann and Whitney, 1947): `anchor` bounds the mean over anchors of each one's own
    (in units of log 2 and of margin^2), `batch` that of all scores together. `batch` with `logistic` is the MW loss of
    Sheikholeslami et al., Optimizing What Matters: AUC-Driven Learning for Robust Neural Retrieval (2025), eq. 2; the
    sum of their eq. 3 is not divided by the number of negatives. The squared hinge and its consistency for the AUC:
    Gao and Zhou, On the Consistency of AUC Pairwise Optimization (2015).

    InfoNCE does not change when all scores of an anchor move together, so that its scores cannot be compared between
    anchors. Take `batch` where one threshold has to hold for all: is this the same patient, does this report fit? Take
    `anchor` for rankings. Each pair counts once and hard negatives are not singled out, which forgives wrong negatives
    and learns slower. The temperature (the paper: 0.01) sets from which difference on a pair counts as settled; the
    margin is in the same unit, similarity over temperature.

    Memory grows as that of `info_nce`, whatever the number of positives; `batch` compares N P scores with N M ones:
    for batches of a few hundred.

    Args:
        a: (N, D) anchors, or what the similarity takes.
        b: (M, D) candidates.
        pairing: who is positive, yes or no; a tensor (N, M) bool stands for `matrix`.
        over: which pairs of positive and negative are compared.
        surrogate: f.
        margin: of the squared hinge, above 0.
        positives: of an anchor with more, only so many, the least similar ones, are compared: exact up to this number.
        temperature: above 0; a scalar tensor may be learned, (N,) gives every anchor its own.
        similarity: of embeddings.
        **scale: `block` and `group`, see `Scale`.

    Returns:
        Scalar; 0 with a gradient of 0 where there is no pair of a positive and a negative.

    Raises:
        UsageError: for an unknown option, a soft pairing, and as in `over_anchors`.
    """
    if over not in ("anchor", "batch") or surrogate not in ("logistic", "squared_hinge"):
        raise UsageError(
            f"auc is over anchor or batch, logistic or squared_hinge; got over={over!r}, surrogate={surrogate!r}"
        )
    if positives < 1 or not margin > 0:
        raise UsageError(f"auc takes at least one positive and a margin above 0, got {positives} and {margin}")
    pairing = yes_or_no(pairing, "auc")

    def cost(differences: Tensor) -> Tensor:
        return F.softplus(differences) if surrogate == "logistic" else (margin + differences).relu().square()

    def least_similar(scores: Tensor, pairs: PairMasks) -> tuple[Tensor, Tensor]:
        kept = scores.masked_fill(~pairs.positive, torch.inf)
        kept = kept.topk(min(positives, scores.shape[1]), dim=1, largest=False).values
        return kept.masked_fill(kept.isinf(), 0.0), kept.isfinite()

    def against(scores: Tensor, pairs: PairMasks, pulled: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
        """Sums of costs (n,) and weights of the negatives (n,); pulled and there: (positives, n or 1)."""
        weights = negatives(pairs).to(scores.dtype)
        weights = weights if pairs.importance is None else weights * pairs.importance
        by_positive = by_rows(
            lambda one, all_: all_[0] - one[0][:, :, None],
            lambda differences, rows, shared: (cost(differences) * shared[0]).sum(dim=2) * rows[0],
            (pulled,),
            (scores,),
            (there.to(scores.dtype),),
            (weights,),
            # One positive after the other, unless that is little work.
            block=None if torch.compiler.is_compiling() else max(1, ON_CPU // max(scores.numel(), 1)),
        )
        return by_positive.sum(dim=0), weights.sum(dim=1)

    def of_anchor(scores: Tensor, pairs: PairMasks, _: Tensors) -> Tensor:
        pulled, there = least_similar(scores, pairs)
        costs, weights = against(scores, pairs, pulled.T, there.T)
        number = there.sum(dim=1) * weights
        return counted(costs / torch.where(number > 0, number, 1.0), number > 0)

    def of_batch(scores: Tensor, pairs: PairMasks, _: Tensors) -> Tensor:
        assert isinstance(pairs, _Compared)
        costs, weights = against(scores, pairs, pairs.pulled[:, None], pairs.there[:, None])
        return torch.stack([costs, weights * pairs.there.sum()], dim=1)

    def pulled_lines(scores: Tensor, pairs: PairMasks, _: Tensors) -> Tensor:
        return torch.cat([x.to(scores.dtype) for x in least_similar(scores, pairs)], dim=1)

    def lines(formula: RowFormula, pairing: Pairing) -> Tensor:
        return over_anchors(formula, a, b, pairing, similarity=similarity, temperature=temperature, **scale)

    if over == "anchor":
        return mean_over_anchors(lines(of_anchor, pairing), scale.get("group"))
    pulled, there = lines(pulled_lines, pairing).chunk(2, dim=1)
    compared = _with_positives(pairing, pulled.flatten(), there.flatten() > 0)
    return mean_over_anchors(lines(of_batch, compared), scale.get("group"))


@dataclass(frozen=True, kw_only=True)
class _Compared(PairMasks):
    """Pairs, and the scores (Q,) of the positives of all anchors where `there`."""

    pulled: Tensor
    there: Tensor


def _with_positives(pairing: Pairing, pulled: Tensor, there: Tensor) -> Pairing:
    """The pairing with scores that travel between processes as the candidates' ids do."""

    def rule(anchors: Tensors, candidates: Tensors) -> PairMasks:
        *ids, scores, flags = candidates
        pairs = pairing.rule(anchors, tuple(ids))
        return _Compared(pairs.positive, pairs.candidate, pairs.importance, pulled=scores, there=flags)

    return Pairing(rule, pairing.anchors, (*pairing.candidates, pulled, there), local=pairing.local)
