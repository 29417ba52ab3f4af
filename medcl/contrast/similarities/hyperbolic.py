"""The hyperbolic space of MERU: how far texts and images lie apart in it, and which of them holds the other."""

import torch
from torch import Tensor
from torch.nn import functional as F

from medcl.contrast.core.blockwise import Tensors
from medcl.contrast.similarities.similarity import Sides, Similarity, same_length, vectors

EPSILON = 1e-6
"""The slope of acosh at 1 is infinite, and float32 does not tell 1 from 1 + 1e-8."""
LONGEST = 15.0
"""Largest distance from the origin, times the root of the curvature: sinh of more leaves no digit for a difference."""


def lifted(tangent: Tensor, root: Tensor | float) -> Tensor:
    """Points of the hyperboloid of curvature -c above vectors of the tangent space at its origin.

    sqrt(c) x = sinh(sqrt(c) ||v||) v / ||v||, of which x are the space coordinates; the time coordinate follows from
    them. They are given times sqrt(c), in which the hyperboloid has the curvature -1, so that a learned c is part of
    the points alone.

    Args:
        tangent: (N, D) vectors v.
        root: sqrt(c), above 0; may be learned.

    Returns:
        (N, D) sqrt(c) x.
    """
    length = tangent.norm(dim=-1, keepdim=True).clamp(min=EPSILON)
    found: Tensor = torch.sinh((root * length).clamp(max=LONGEST)) * tangent / length
    return found


def _time(points: Tensor) -> Tensor:
    return torch.sqrt(1 + points.square().sum(dim=-1, keepdim=True))


def distances(a: Tensor, b: Tensor) -> Tensor:
    """Distances (n, M) of points (n, D) and (M, D) of `lifted`, times sqrt(c): acosh(t_a t_b - x_a . x_b)."""
    return torch.acosh((_time(a) @ _time(b).mT - a @ b.mT).clamp(min=1 + EPSILON))


def _prepare(a: Tensors, b: Tensors) -> Sides:
    x, y = vectors(a, "lorentz"), vectors(b, "lorentz")
    same_length(x, y)
    return (x,), (y,)


lorentz = Similarity("lorentz", lambda a, b: -distances(a[0], b[0]), _prepare)
"""Minus the distance of points of `lifted` (Desai et al., MERU, ICML 2023)."""


def entailment(general: Tensor, special: Tensor, *, boundary: float = 0.1) -> Tensor:
    """How far each point lies outside the cone of what its partner entails.

    With t the general and v the special point, in the coordinates of `lifted`, and <t, v> = t . v - t_time v_time:

        max(0, ext(t, v) - aper(t))        aper(t) = asin( 2 K / ||t|| )
        ext(t, v) = acos( (v_time + t_time <t, v>) / ( ||t|| sqrt(<t, v>^2 - 1) ) )

    MERU, eq. 5 to 7, whose published eps of 1e-8 is below the resolution of float32.

    Args:
        general: (N, D), such as texts.
        special: (N, D), such as their images.
        boundary: K; the cone of what is nearer to the origin than 2 K holds half of the space.

    Returns:
        (N,).
    """
    t, v = _time(general)[:, 0], _time(special)[:, 0]
    product = (general * special).sum(dim=-1) - t * v
    length = general.norm(dim=-1).clamp(min=EPSILON)
    below = length * torch.sqrt((product.square() - 1).clamp(min=EPSILON))
    angle = torch.acos(((v + t * product) / below).clamp(-1 + EPSILON, 1 - EPSILON))
    return F.relu(angle - torch.asin((2 * boundary / length).clamp(max=1 - EPSILON)))
