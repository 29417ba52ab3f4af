"""ConR: push apart what a regression takes for alike and is not."""

from typing import Unpack

import torch
from torch import Tensor

from medcl.contrast.core.anchors import Scale, logsumexp_where, mean_over_anchors, over_anchors
from medcl.contrast.core.blockwise import Tensors
from medcl.contrast.pairings.pairs import Pairing, PairMasks, itself
from medcl.contrast.pairings.targets import gap, vector
from medcl.contrast.similarities.similarity import Similarity, cosine
from medcl.errors import UsageError


def wrong_proximities(y: Tensor, predicted: Tensor, *, within: float, strength: float = 0.01) -> Pairing:
    """Positive when the targets are near, negative when only the predictions are, else neither.

    Args:
        y: (N,) targets, of anchors and candidates; one that is not known (NaN) makes neither.
        predicted: (N,) what the regression says of them; no derivative is taken.
        within: how far apart near ones are at most (<=), in the unit of the targets, above 0.
        strength: a negative weighs exp(strength |dy|) in the denominator.

    Returns:
        The pairing, without the pairs of a sample with itself.

    Raises:
        UsageError: when shapes do not fit or `within` is not above 0.
    """
    if not within > 0:
        raise UsageError(f"targets are near within more than 0, got {within}")
    y, predicted = vector(y), vector(predicted)
    if y.shape != predicted.shape:
        raise UsageError(f"a prediction for each target is needed, got {len(predicted)} for {len(y)}")

    def rule(anchors: Tensors, candidates: Tensors) -> PairMasks:
        distance = gap(anchors[0], candidates[0]).abs()
        positive = distance <= within
        # Not the complement of the positives: neither holds for a target that is not known.
        negative = (distance > within) & (gap(anchors[1], candidates[1]).abs() <= within)
        importance = torch.where(negative, distance.mul(strength).exp(), 1.0)
        return PairMasks(positive, positive | negative, importance)

    return Pairing(rule, (y, predicted), (y, predicted)).without(itself(y))


def conr(
    z: Tensor,
    y: Tensor,
    predicted: Tensor,
    *,
    within: float = 1.0,
    strength: float = 0.01,
    weights: Tensor | None = None,
    temperature: float | Tensor = 0.07,
    similarity: Similarity = cosine,
    **scale: Unpack[Scale],
) -> Tensor:
    """Pull samples of near targets together, away from those that are only predicted to be near.

    With s_ij = sim(z_i, z_j) / temperature, P(i) the others with |y_i - y_j| <= within, and N(i) the wrong proximities,
    whose targets are farther apart and predictions are not,

        l(i) = -1/|P(i)| sum_{p in P(i)} log( exp(s_ip) / (sum_{q in P(i)} exp(s_iq)
                                                          + v_i sum_{n in N(i)} exp(strength |y_i - y_n|) exp(s_in)) )

    and the loss is the mean of v_i l(i) over all samples, where l is 0 for those without a positive or without a wrong
    proximity: the loss vanishes as the regression gets better. ConR (Keramati et al., Contrastive Regularizer for Deep
    Imbalanced Regression, ICLR 2024), to be added to the regression's own loss, times 4 in the paper's experiments.
    For ages, ejection fractions or bone ages, whose extremes are rare and predicted as the common values. The
    temperature decides how many of the wrong proximities matter.

    The released code multiplies similarities by the masks, so that every masked pair adds exp(0) = 1 to the sum over
    positives, divides by 0 for samples without a positive, and always has a temperature of 0.07 whatever it is given.

    Args:
        z: (N, D) embeddings: of both views of a batch one below the other, with `y` and `predicted` likewise.
        y: (N,) targets; a sample whose target is not known (NaN) contributes nothing.
        predicted: (N,) predictions; only compared, without derivative.
        within: see `wrong_proximities`; 1 for ages in years.
        strength: see `wrong_proximities`.
        weights: (N,) v, such as the inverse density of the targets; default: 1 each.
        temperature: above 0.
        similarity: of embeddings.
        **scale: `block` and `group`, see `Scale`.

    Returns:
        Scalar.

    Raises:
        UsageError: when shapes do not fit or a number is not above 0.
    """
    weights = torch.ones_like(y, dtype=z.dtype) if weights is None else vector(weights)
    if weights.shape != y.shape:
        raise UsageError(f"a weight for each target is needed, got {len(weights)} for {len(y)}")
    pairing = wrong_proximities(y, predicted, within=within, strength=strength)

    def formula(scores: Tensor, pairs: PairMasks, rows: Tensors) -> Tensor:
        positive, weight = pairs.positive, rows[0].to(scores.dtype)
        assert pairs.candidate is not None
        assert pairs.importance is not None
        negative = pairs.candidate & ~positive
        importance = torch.where(negative, weight * pairs.importance.to(scores.dtype), 1.0)
        normaliser = logsumexp_where(scores + importance.log(), pairs.candidate)
        count = positive.sum(dim=1)
        attraction = torch.where(positive, scores, 0.0).sum(dim=1) / count.clamp(min=1)
        corrected = (count > 0) & negative.any(dim=1)
        losses = torch.where(corrected, normaliser - attraction, 0.0) * weight[:, 0]
        return torch.stack([losses, torch.ones_like(losses)], dim=1)

    lines = over_anchors(
        formula, z, z, pairing, similarity=similarity, temperature=temperature, rows=(weights[:, None],), **scale
    )
    return mean_over_anchors(lines, scale.get("group"))
