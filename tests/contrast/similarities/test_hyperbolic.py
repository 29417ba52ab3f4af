"""Hyperbolic space: distances and cones against the published formulas, one pair at a time."""

import math

import pytest
import torch
from torch import Tensor

from medcl.contrast.losses.clip import clip
from medcl.contrast.pairings.pairs import itself
from medcl.contrast.similarities.hyperbolic import distances, entailment, lifted, lorentz
from tests.contrast.compare import draw

V, W = draw(4, 3, seed=1), draw(5, 3, seed=2)


def lift(v: Tensor, c: float) -> tuple[Tensor, Tensor]:
    """Space and time coordinates as they are published."""
    r = math.sqrt(c) * v.norm()
    x = torch.sinh(r) / r * v
    return x, torch.sqrt(1 / c + x @ x)


@pytest.mark.parametrize("c", [0.3, 1.0, 4.0])
def test_distances_and_angles_are_those_of_the_paper(c: float) -> None:
    root = math.sqrt(c)
    a, b = lifted(V, root), lifted(W, root)
    found, outside = distances(a, b) / root, entailment(a[:4], b[:4])
    for i, v in enumerate(V):
        for j, w in enumerate(W):
            (x, s), (y, t) = lift(v, c), lift(w, c)
            product = x @ y - s * t
            assert found[i, j].item() == pytest.approx((torch.acosh(-c * product) / root).item(), rel=1e-5)
            if i == j:
                cosine = (t + s * c * product) / (x.norm() * torch.sqrt((c * product) ** 2 - 1))
                aperture = torch.asin((0.2 / (root * x.norm())).clamp(max=1))
                assert outside[i].item() == pytest.approx(max(0.0, (torch.acos(cosine) - aperture).item()), abs=1e-4)


def test_a_distance_is_symmetric_and_that_to_itself_is_none() -> None:
    a, b = lifted(V, 1.0), lifted(W, 1.0)
    torch.testing.assert_close(distances(a, b), distances(b, a).T)
    assert distances(a.float(), a.float()).diagonal().max() < 5e-3


def test_what_lies_behind_a_text_is_in_its_cone_and_what_lies_before_is_not() -> None:
    assert entailment(lifted(V, 1.0), lifted(2 * V, 1.0)).max() < 2e-3
    assert entailment(lifted(2 * V, 1.0), lifted(V, 1.0)).min() > 0.5


def test_the_gradient_is_that_of_the_value() -> None:
    root = torch.tensor(1.3, dtype=torch.float64, requires_grad=True)

    def loss(v: Tensor, w: Tensor, root: Tensor) -> Tensor:
        a, b = lifted(v, root), lifted(w, root)
        return clip(a, b, itself(a), temperature=0.3 * root, similarity=lorentz) + entailment(a, b).mean()

    assert torch.autograd.gradcheck(loss, (V.clone().requires_grad_(), W[:4].clone().requires_grad_(), root))
