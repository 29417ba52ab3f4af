"""InfoNCE with any number of positives, yes or no or weighted (SupCon)."""

from collections.abc import Mapping
from typing import Literal, Unpack

import torch
from torch import Tensor
from torch.nn import functional as F

from medcl.contrast.core import groups
from medcl.contrast.core.anchors import (
    Scale,
    counted,
    logsumexp_where,
    mean_over,
    mean_over_anchors,
    negatives,
    over_anchors,
    prepare,
    weighed,
)
from medcl.contrast.core.blockwise import Tensors, no_autocast
from medcl.contrast.core.gather import Group, gathered
from medcl.contrast.pairings.pairs import Pairing, PairMasks, among_views, hard, matrix
from medcl.contrast.similarities.similarity import Embeddings, Similarity, cosine
from medcl.errors import UsageError

Log = Literal["outside", "inside"]
Denominator = Literal["all", "own"]


def info_nce(
    a: Embeddings,
    b: Embeddings,
    pairing: Pairing | Tensor,
    *,
    temperature: float | Tensor = 0.1,
    similarity: Similarity = cosine,
    log: Log = "outside",
    denominator: Denominator = "all",
    weights: Tensor | None = None,
    **scale: Unpack[Scale],
) -> Tensor:
    """Contrast anchors with candidates of which some are positive.

    With s_ij = sim(a_i, b_j) / temperature, w_ip the weight of positive p (1 for pairings of yes and no), W_i their
    sum, and Z_ip what a positive is compared with:

        outside: l(i) = -1/W_i sum_p w_ip log( exp(s_ip) / Z_ip )
        inside:  l(i) = -log( 1/W_i sum_p w_ip exp(s_ip) / Z_ip )

        all: Z_ip = sum over all candidates j of v_ij exp(s_ij), the positives among them
        own: Z_ip = v_ip exp(s_ip) + sum over the negatives j of v_ij exp(s_ij), without the other positives

    with v_ij the importance that the pairing gives a candidate (1 if it gives none). The loss is the mean of l over
    the anchors with a positive. `outside` and `inside` with `all` are L_out and L_in of Khosla et al., Supervised
    Contrastive Learning (NeurIPS 2020), eq. 2 and 3; with one positive both are InfoNCE (van den Oord et al., 2018);
    `own` is the pair loss of Chaitanya et al. (NeurIPS 2020). SupCon's released code multiplies L_out by
    temperature / 0.07 besides; this is the paper's formula.

    The temperature decides how many negatives matter: near 0.05 only the few most similar ones do, near 1 all alike.
    Medical images resemble each other more than natural ones, and records of one patient most of all: where these are
    negatives, 0.1 to 0.5 does less harm than 0.05. Take `own` where classes are large, so that positives do not push
    each other away.

    Args:
        a: (N, D) anchors, or what the similarity takes.
        b: (M, D) candidates.
        pairing: who is positive; a tensor (N, M) of bool or weights stands for `matrix`.
        temperature: above 0; a scalar tensor may be learned, (N,) gives every anchor its own.
        similarity: of embeddings.
        log: where the logarithm is taken, relative to the sum over positives.
        denominator: what a positive is compared with.
        weights: (N,) by which the losses of the anchors are multiplied before their mean; they have no derivative.
        **scale: `block` and `group`, see `Scale`.

    Returns:
        Scalar, computed in float32 or, for float64 embeddings, in float64. Anchors without a positive contribute
        nothing; if no anchor has a positive, 0 with a gradient of 0.

    Raises:
        UsageError: when shapes do not fit, the temperature is not above 0, or an option is unknown.

    Example:
        >>> import torch
        >>> from medcl.contrast import info_nce, same
        >>> a, b = torch.eye(4), torch.eye(4)
        >>> patients = torch.tensor([0, 0, 1, 2])
        >>> round(info_nce(a, b, same(patients), temperature=0.5).item(), 3)
        0.841
    """
    if log not in ("outside", "inside") or denominator not in ("all", "own"):
        raise UsageError(
            f"info_nce knows log outside or inside, denominator all or own; got {log!r} and {denominator!r}"
        )

    pairing = matrix(pairing) if isinstance(pairing, Tensor) else pairing
    if weights is not None and weights.shape != pairing.shape[:1]:
        raise UsageError(f"weights are one an anchor ({pairing.shape[0]},), got {tuple(weights.shape)}")
    if weights is None and similarity.inner and pairing.groups and (log, denominator) == ("outside", "all"):
        return _by_groups(a, b, {"": pairing}, similarity, temperature, **scale)[""]

    def formula(scores: Tensor, pairs: PairMasks, _: Tensors) -> Tensor:
        return _lines(scores, pairs, log, denominator)

    lines = over_anchors(formula, a, b, pairing, similarity=similarity, temperature=temperature, **scale)
    if weights is not None:
        lines = torch.stack([lines[:, 0] * weights.detach().to(lines), lines[:, 1]], dim=1)
    return mean_over_anchors(lines, scale.get("group"))


def info_nce_levels(
    a: Embeddings,
    b: Embeddings,
    levels: Mapping[str, Pairing],
    *,
    without: Pairing | None = None,
    temperature: float | Tensor = 0.1,
    similarity: Similarity = cosine,
    **scale: Unpack[Scale],
) -> dict[str, Tensor]:
    """InfoNCE at several levels of the hierarchy, from one pass over the similarities.

    Each level is `info_nce` with `log="outside"`, `denominator="all"`; the candidates, and with them the denominators,
    are the same at all levels. Add them up with weights: `sum(w[level] * loss for level, loss in losses.items())`.

    Args:
        a: (N, D) anchors.
        b: (M, D) candidates.
        levels: {level: pairing of yes and no}, such as `{"patient": same(patients), "trial": same(trials)}`.
        without: pairs that are neither positive nor negative at any level: `itself(a)`.
        temperature: as in `info_nce`.
        similarity: of embeddings.
        **scale: `block` and `group`, see `Scale`.

    Returns:
        {level: scalar}.

    Raises:
        UsageError: without a level, for soft pairings, and as in `info_nce`.

    Example:
        >>> import torch
        >>> from medcl.contrast import info_nce_levels, itself, same
        >>> z = torch.eye(4)[[0, 0, 1, 1]]
        >>> levels = {"patient": same(torch.tensor([0, 0, 1, 1])), "trial": same(torch.tensor([0, 1, 0, 1]))}
        >>> losses = info_nce_levels(z, z, levels, without=itself(z))
        >>> {level: round(loss.item(), 2) for level, loss in losses.items()}
        {'patient': 0.0, 'trial': 10.0}
    """
    if not levels or any(pairing.soft for pairing in levels.values()):
        raise UsageError("info_nce_levels takes one pairing of yes and no a level; use info_nce for weights")
    whole = {level: pairing if without is None else pairing.without(without) for level, pairing in levels.items()}
    kinds = {pairing.groups for pairing in whole.values()}
    if similarity.inner and (kinds <= {"whole", "places"} or kinds == {"without itself"}):
        return _by_groups(a, b, whole, similarity, temperature, **scale)
    stacked = _stack(list(levels.values()), without)

    def formula(scores: Tensor, pairs: PairMasks, _: Tensors) -> Tensor:
        normaliser = logsumexp_where(scores, pairs.candidate)
        columns = []
        for positive in pairs.positive.unbind(0):
            pulled, count = mean_over(scores, positive)
            columns.append(counted(normaliser - pulled, count > 0))
        return torch.cat(columns, dim=1)

    lines = over_anchors(formula, a, b, stacked, similarity=similarity, temperature=temperature, **scale)
    group = scale.get("group")
    return {level: mean_over_anchors(lines[:, 2 * i : 2 * i + 2], group) for i, level in enumerate(levels)}


def info_nce_views(
    z1: Tensor,
    z2: Tensor,
    ids: Tensor,
    *,
    temperature: float | Tensor = 0.1,
    similarity: Similarity = cosine,
    log: Log = "outside",
    denominator: Denominator = "all",
    **scale: Unpack[Scale],
) -> Tensor:
    """Contrast the 2N views of a batch: all views that share an id are positive, no view is compared with itself.

    With ids unique to a sample this is SimCLR's NT-Xent; with labels, SupCon; with patients or trials, COMET's and
    CLOCS's idea on pooled embeddings.

    Args:
        z1: (N, D) first views.
        z2: (N, D) second views.
        ids: (N,) int64 of one level.
        temperature: as in `info_nce`.
        similarity: as in `info_nce`.
        log: as in `info_nce`.
        denominator: as in `info_nce`.
        **scale: `block` and `group`, see `Scale`.

    Returns:
        Scalar, as that of `info_nce`.

    Raises:
        TypeError: when ids are not integers.
        UsageError: when shapes do not fit; see `info_nce`.

    Example:
        >>> import torch
        >>> from medcl.contrast import info_nce_views
        >>> z1, z2 = torch.eye(4), torch.eye(4)
        >>> round(info_nce_views(z1, z2, ids=torch.arange(4)).item(), 5)
        0.00027
    """
    z, pairing = torch.cat([z1, z2]), among_views(ids)
    return info_nce(
        z, z, pairing, temperature=temperature, similarity=similarity, log=log, denominator=denominator, **scale
    )


def _by_groups(
    a: Embeddings,
    b: Embeddings,
    levels: dict[str, Pairing],
    similarity: Similarity,
    temperature: float | Tensor,
    block: int | None = None,
    group: Group = None,
) -> dict[str, Tensor]:
    """Log outside, denominator all, for pairings by groups: the normaliser is shared, attraction needs no matrix."""
    first = next(iter(levels.values()))
    with no_autocast(a if isinstance(a, Tensor) else a[0]):
        anchors, candidates, paired, inverse = prepare(
            a, b, first, similarity=similarity, temperature=temperature, group=group
        )
        if any(pairing.shape != first.shape for pairing in levels.values()):
            raise UsageError(f"the levels are pairings of different sizes: {[p.shape for p in levels.values()]}")
        x, y = anchors[0], candidates[0]
        if not len(y):
            # No candidate in any process.
            return dict.fromkeys(levels, x.sum() * 0 + y.sum() * 0)
        found = [
            groups.find(paired if pairing is first else gathered(pairing, group), x.dtype)
            for pairing in levels.values()
        ]
        normaliser, *pulled = groups.attraction_and_repulsion(x, y, inverse, found, block=block).unbind(1)
        return {
            level: mean_over_anchors(counted(normaliser - own, of_level.count > 0), group)
            for level, own, of_level in zip(levels, pulled, found, strict=True)
        }


def _lines(scores: Tensor, pairs: PairMasks, log: Log, denominator: Denominator) -> Tensor:
    positive, candidates = pairs.positive, weighed(scores, pairs)
    if denominator == "all":
        normaliser = logsumexp_where(candidates, pairs.candidate)
        if log == "outside":
            attraction, total = mean_over(scores, positive)
            return counted(normaliser - attraction, total > 0)
        terms = scores - normaliser.masked_fill(normaliser == -torch.inf, 0.0)[:, None]
    else:
        against = logsumexp_where(candidates, negatives(pairs))[:, None]
        terms = scores - candidates - F.softplus(against - candidates)
    if log == "outside":
        value, total = mean_over(terms, positive)
        return counted(-value, total > 0)
    total = positive.sum(dim=1).to(scores.dtype)
    pulled = terms
    if positive.dtype != torch.bool:
        pulled = terms + positive.clamp(min=torch.finfo(scores.dtype).tiny).log()
    some = total > 0
    value = logsumexp_where(pulled, hard(positive))
    return counted(torch.where(some, total, 1.0).log() - torch.where(some, value, 0.0), some)


def _stack(pairings: list[Pairing], without: Pairing | None) -> Pairing:
    """One pairing whose positives are (levels, n, M)."""
    parts = [*pairings, *([] if without is None else [without])]
    shapes = {part.shape for part in parts}
    if len(shapes) > 1:
        raise UsageError(f"the levels are pairings of different sizes: {sorted(shapes)}")

    def rule(anchors: Tensors, candidates: Tensors) -> PairMasks:
        found, of_anchors, of_candidates = [], 0, 0
        for part in parts:
            own = anchors[of_anchors : of_anchors + len(part.anchors)]
            found.append(part.rule(own, candidates[of_candidates : of_candidates + len(part.candidates)]))
            of_anchors, of_candidates = of_anchors + len(part.anchors), of_candidates + len(part.candidates)
        stays = None if without is None else ~found.pop().positive
        if any(pairs.candidate is not None or pairs.importance is not None for pairs in found):
            raise UsageError("levels share their candidates: leave pairs out with `without`, not in one level")
        positive = torch.stack([pairs.positive for pairs in found])
        return PairMasks(positive if stays is None else positive & stays, stays)

    return Pairing(
        rule,
        tuple(t for part in parts for t in part.anchors),
        tuple(t for part in parts for t in part.candidates),
        local=any(part.local for part in parts),
    )
