"""Positives from the nearest neighbours of the raw data, or soft ones from the similarities of a model."""

import torch
from torch import Tensor
from torch.nn import functional as F

from medcl.contrast.core.blockwise import Tensors, accurate, no_autocast, rows_at_once
from medcl.contrast.pairings.pairs import Pairing, PairMasks, matrix
from medcl.errors import UsageError


@torch.no_grad()
def neighbours(features: Tensor, labels: Tensor, k: int = 1, *, p: float = 2.0, block: int | None = None) -> Tensor:
    """The nearest samples with the same label.

    Args:
        features: (N, ...) raw data, standardised so that distances mean something; flattened.
        labels: (N,) integers; samples with a negative label are not labelled and have no neighbours.
        k: neighbours a sample.
        p: of the Minkowski distance (sum |x - y|^p)^(1/p), above 0.
        block: samples at a time; default: from the memory that is free.

    Returns:
        (N, k) int64 rows, nearest first; -1 where there are no more with this label.

    Raises:
        TypeError: when labels are not integers.
        UsageError: when shapes do not fit or a number is not above 0.
    """
    if labels.is_floating_point() or labels.dtype == torch.bool:
        raise TypeError(f"labels must be integers, got {labels.dtype}")
    if features.ndim < 2 or labels.shape != features.shape[:1]:
        raise UsageError(f"features (N, ...) and labels (N,) expected, got {features.shape} and {labels.shape}")
    if k < 1 or not p > 0 or (block is not None and block < 1):
        raise UsageError(f"k, p and block must be above 0, got {k}, {p} and {block}")
    x, count = accurate(features).flatten(1), len(features)
    rows, step = torch.arange(count, device=x.device), block or rows_at_once(count, x.device)
    found = []
    for start in range(0, count, step):
        part = slice(start, start + step)
        distance = torch.cdist(x[part], x, p=p, compute_mode="donot_use_mm_for_euclid_dist")
        other = (labels[part, None] != labels) | (labels[part, None] < 0) | (rows[part, None] == rows)
        values, nearest = distance.masked_fill_(other, torch.inf).topk(min(k, count), dim=1, largest=False)
        found.append(nearest.masked_fill_(values == torch.inf, -1))
    result = torch.cat(found) if found else rows.new_empty(0, k)
    return torch.nn.functional.pad(result, (0, k - result.shape[1]), value=-1)


@torch.no_grad()
def nearest(features: Tensor, labels: Tensor, k: int = 1, *, p: float = 2.0, block: int | None = None) -> Tensor:
    """Groups in which every sample is with its nearest neighbours of the same label.

    Temporal-SCL (Noroozizadeh et al., Temporal Supervised Contrastive Learning for Modeling Patient Risk Progression,
    ML4H 2023) replaces augmentation, which a table of vital signs does not have: the snapshot of a
    patient and its nearest neighbour in the space of raw features that has the same outcome are one class of SupCon.
    Computed once for the training data: `info_nce(z, z, same(groups[rows]).without(itself(z)))`.

    The released code goes through the samples in order, skips those that a group holds already, and puts some into
    several groups. Here a sample has one id, whatever the order: groups that share a sample are one. Chains form, at
    k = 1 of about three samples in the mean; take `neighbours` for positives that belong to one sample only.

    Args:
        features: as in `neighbours`.
        labels: as in `neighbours`.
        k: neighbours that a sample is put together with.
        p: as in `neighbours`.
        block: as in `neighbours`.

    Returns:
        (N,) int64 ids for `same`: the lowest row of the group.

    Raises:
        TypeError: when labels are not integers.
        UsageError: as in `neighbours`.
    """
    rows = torch.arange(len(features), device=features.device)
    found = neighbours(features, labels, k, p=p, block=block)
    ends = torch.where(found < 0, rows[:, None], found).flatten()
    starts, groups, before = rows.repeat_interleave(k), rows, None
    # The lowest row travels along the pairs; following it to its own group halves what is left of a chain.
    while before is None or not torch.equal(groups, before):
        before = groups
        lowest = torch.minimum(groups[starts], groups[ends])
        groups = groups.scatter_reduce(0, starts, lowest, "amin").scatter_reduce(0, ends, lowest, "amin")
        groups = groups[groups]
    return groups


def soft(frozen_a: Tensor, frozen_b: Tensor | None = None) -> Pairing:
    """Positive by the weight (cos(frozen_a, frozen_b) + 1) / 2.

    Args:
        frozen_a: (N, E) embeddings of the anchors by a model that is not trained; no derivative is taken.
        frozen_b: (M, E) those of the candidates by the same model; default: the same ones.

    Returns:
        The pairing, of weights from 0 to 1.

    Raises:
        UsageError: when shapes do not fit.
    """
    a, b = _units(frozen_a.detach(), None if frozen_b is None else frozen_b.detach())

    def rule(anchors: Tensors, candidates: Tensors) -> PairMasks:
        return PairMasks((anchors[0] @ candidates[0].T).add(1).div(2).clamp(0, 1))

    return Pairing(rule, (a,), (b,), soft=True)


def alike(frozen_a: Tensor, frozen_b: Tensor | None = None, *, above: float = 0.95) -> Pairing:
    """Positive where a model that is not trained finds two samples nearly the same: cos(frozen_a, frozen_b) > above.

    To be left out, or to be positive: the duplicates of an archive are no negatives. This is the third stage of
    MultiCSR (Wang et al., MultiCSR, NAACL 2024), whose released code multiplies the logits by 0, so that they stay in
    the softmax as cosines of 0; left out, they are not in it.

    Args:
        frozen_a: (N, E) embeddings of the anchors; no derivative is taken. A vector of zeros is like nothing.
        frozen_b: (M, E) those of the candidates by the same model; default: the same ones.
        above: cosine above which two are alike; 1 finds none.

    Returns:
        The pairing, of yes and no.

    Raises:
        UsageError: when shapes do not fit.
    """
    a, b = _units(frozen_a.detach(), None if frozen_b is None else frozen_b.detach())

    def rule(anchors: Tensors, candidates: Tensors) -> PairMasks:
        return PairMasks(anchors[0] @ candidates[0].T > above)

    return Pairing(rule, (a,), (b,))


def softened(target_a: Tensor, target_b: Tensor | None = None, *, temperature: float) -> Pairing:
    """Positive by the softmax over the candidates of cos(target_a, target_b) / temperature.

    The weights of an anchor add up to 1, over the candidates of all processes. They have a derivative where the targets
    have one; detach them if they are to teach only. Pairs that are left out (`without`) stay in the softmax.

    Args:
        target_a: (N, E) embeddings of the anchors by the model that teaches.
        target_b: (M, E) those of the candidates; default: the same ones.
        temperature: above 0; the lower, the nearer to one positive an anchor.

    Returns:
        The pairing, of weights from 0 to 1.

    Raises:
        UsageError: when shapes do not fit or the temperature is not above 0.
    """
    if not temperature > 0:
        raise UsageError(f"a temperature must be above 0, got {temperature}")
    a, b = _units(target_a, target_b)

    def rule(anchors: Tensors, candidates: Tensors) -> PairMasks:
        return PairMasks((anchors[0] @ candidates[0].T / temperature).softmax(dim=1))

    return Pairing(rule, (a,), (b,), soft=True)


def _units(a: Tensor, b: Tensor | None) -> tuple[Tensor, Tensor]:
    b = a if b is None else b
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise UsageError(f"embeddings of one model must be (N, E) and (M, E), got {a.shape} and {b.shape}")
    with no_autocast(a):
        return F.normalize(accurate(a), dim=1), F.normalize(accurate(b), dim=1)


def without_hardest(pairing: Pairing, a: Tensor, b: Tensor, share: float) -> Pairing:
    """Leave out the most similar negatives of each anchor, which are probably false ones.

    Args:
        pairing: of N anchors with M candidates.
        a: (N, D) anchors.
        b: (M, D) candidates.
        share: of the negatives of an anchor, from 0 to below 1.
    """
    with torch.no_grad():
        masks = pairing.pairs()
        negative = ~masks.positive.bool()
        negative &= masks.candidate if masks.candidate is not None else negative
        scores = (F.normalize(a, dim=1) @ F.normalize(b, dim=1).T).masked_fill(~negative, -torch.inf)
        number = (negative.sum(dim=1) * share).long()
        rank = scores.argsort(dim=1, descending=True).argsort(dim=1)
        return pairing.among(matrix(~negative | (rank >= number[:, None])))
