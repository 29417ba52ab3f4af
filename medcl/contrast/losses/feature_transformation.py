"""InfoNCE with positives made harder and negatives made more, in the space of features (feature transformation)."""

from dataclasses import dataclass
from typing import Unpack

import torch
from torch import Tensor
from torch.nn import functional as F

from medcl.contrast.core.anchors import (
    Scale,
    counted,
    logsumexp_where,
    mean_over,
    mean_over_anchors,
    negatives,
    over_anchors,
    per_anchor,
    yes_or_no,
)
from medcl.contrast.core.beta import draw_beta
from medcl.contrast.core.blockwise import Tensors, accurate
from medcl.contrast.core.gather import rows_before
from medcl.contrast.pairings.pairs import Pairing, PairMasks
from medcl.contrast.similarities.similarity import cosine
from medcl.errors import UsageError


@dataclass(frozen=True)
class Transformation:
    """What is drawn once a step.

    Attributes:
        extrapolation: from 1, which changes nothing, to 2.
        share: of a negative in its mixture; 1 changes nothing.
        partners: (M,) int64, the candidate that each of all candidates is mixed with.
    """

    extrapolation: Tensor
    share: Tensor
    partners: Tensor


def draw_transformation(
    candidates: int, *, extrapolate: float = 2.0, interpolate: float = 1.6, generator: torch.Generator | None = None
) -> Transformation:
    """Draw how positives are extrapolated and negatives mixed.

    Args:
        candidates: M, of all processes.
        extrapolate: the extrapolation is 1 + Beta(extrapolate, extrapolate); 0 leaves positives as they are.
        interpolate: the share is Beta(interpolate, interpolate); 0 leaves negatives as they are.
        generator: on the CPU, the same in all processes; default: torch's own.

    Returns:
        The draw.

    Raises:
        UsageError: for a parameter below 0.
    """
    if extrapolate < 0 or interpolate < 0:
        raise UsageError(f"extrapolate and interpolate must not be below 0, got {extrapolate} and {interpolate}")
    one = torch.ones(())
    return Transformation(
        one + draw_beta(extrapolate, (), generator) if extrapolate else one,
        draw_beta(interpolate, (), generator) if interpolate else one,
        torch.randperm(candidates, generator=generator),
    )


def feature_transformation(
    a: Tensor,
    b: Tensor,
    pairing: Pairing | Tensor,
    *,
    extrapolate: float = 2.0,
    interpolate: float = 1.6,
    generator: torch.Generator | None = None,
    transformation: Transformation | None = None,
    temperature: float | Tensor = 0.2,
    **scale: Unpack[Scale],
) -> Tensor:
    """InfoNCE of extrapolated positives against negatives that are mixed with each other.

    With s cosines, x the extrapolation and m the share of `draw_transformation`, and a' = x a + (1 - x) b_p,
    b_p' = x b_p + (1 - x) a without bringing either to length 1 again:

        s'_ip = a' . b_p' = s_ip - 2 x (x - 1) (1 - s_ip)        (never easier than s_ip)
        s'_ij = a . (m b_j + (1 - m) b_partner(j)) = m s_ij + (1 - m) s_i,partner(j)
        l(i)  = -mean_p log( exp(s'_ip / t) / ( exp(s'_ip / t) + sum over negatives j of exp(s'_ij / t) ) )

    (Zhu, Zhao, Yao, Chen and Qiao, Improving Contrastive Learning by Visualizing Feature Transformation, ICCV 2021).
    With a queue behind `b` and one positive it is theirs. A negative whose partner is positive or left out stays as it
    is, so that nobody is pushed away from what it belongs to, which their queue of other images cannot hold. For small
    archives, whose few negatives become more by their mixtures.

    Args:
        a: (N, D) anchors.
        b: (M, D) candidates; keys of a momentum encoder come without derivative.
        pairing: who is positive, yes or no; a tensor (N, M) bool stands for `matrix`.
        extrapolate: see `draw_transformation`.
        interpolate: see `draw_transformation`.
        generator: draws the transformation.
        transformation: replays what was drawn instead.
        temperature: above 0; a scalar tensor may be learned, (N,) gives every anchor its own.
        **scale: `block` and `group`, see `Scale`.

    Returns:
        Scalar; 0 with a gradient of 0 where no anchor has a positive.

    Raises:
        UsageError: for a soft pairing, a parameter below 0, partners of another number of candidates, and as in
            `over_anchors`.
    """
    pairing = yes_or_no(pairing, "feature_transformation")
    _, candidates = rows_before(len(b), b, scale.get("group"))
    if transformation is None:
        transformation = draw_transformation(
            candidates, extrapolate=extrapolate, interpolate=interpolate, generator=generator
        )
    if len(transformation.partners) != candidates:
        raise UsageError(f"partners are of {len(transformation.partners)} candidates, there are {candidates}")
    exact = accurate(a).dtype
    x, share = (one.to(a.device, exact) for one in (transformation.extrapolation, transformation.share))
    partners = transformation.partners.to(a.device)

    def formula(scores: Tensor, pairs: PairMasks, rows: Tensors) -> Tensor:
        harder = scores - 2 * x * (x - 1) * (1 / rows[0] - scores)
        negative = negatives(pairs)
        # Without any candidate there is a column that nobody is mixed with.
        mixed = scores if not candidates else share * scores + (1 - share) * scores[:, partners]
        both = negative if not candidates else negative & negative[:, partners]
        against = logsumexp_where(torch.where(both, mixed, scores), negative)[:, None]
        value, total = mean_over(F.softplus(against - harder), pairs.positive)
        return counted(value, total > 0)

    lines = over_anchors(
        formula,
        a,
        b,
        pairing,
        similarity=cosine,
        temperature=temperature,
        rows=(per_anchor(temperature, a),),
        **scale,
    )
    return mean_over_anchors(lines, scale.get("group"))
