from functools import partial

import pytest
import torch
from torch import Tensor

from medcl.contrast.losses.focal import focal
from medcl.contrast.losses.info_nce import info_nce
from medcl.contrast.pairings.pairs import same
from medcl.errors import UsageError
from tests.contrast.compare import assert_same, draw, value_and_gradients
from tests.contrast.loops import mean

IDS = torch.tensor([0, 1, 0, 2])


def loops(a: Tensor, b: Tensor, gamma: float, temperature: float) -> Tensor:
    terms = []
    for i, x in enumerate(a):
        e = [torch.exp(x @ y / (x.norm() * y.norm()) / temperature) for y in b]
        pulled = [e[j] for j in range(len(b)) if IDS[i] == IDS[j]]
        cost = mean([-torch.log(p / sum(e)) for p in pulled])
        terms.append((1 - torch.exp(-cost)) ** gamma * cost)
    return mean(terms)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_the_loss_and_its_gradient_equal_the_loops(gamma: float) -> None:
    options = {"gamma": gamma, "temperature": 0.3}
    assert_same(partial(focal, pairing=same(IDS), **options), partial(loops, **options), draw(4, 3), draw(4, 3, seed=1))


def test_gradcheck() -> None:
    a, b = draw(4, 3).requires_grad_(), draw(4, 3, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(partial(focal, pairing=same(IDS), temperature=0.5), (a, b))


def test_gamma_0_is_info_nce_for_weights_too() -> None:
    a, b, weights = draw(4, 3), draw(5, 3, seed=1), draw(4, 5, seed=2).relu()
    torch.testing.assert_close(focal(a, b, weights, gamma=0.0), info_nce(a, b, weights))


def test_anchors_that_are_solved_weigh_less() -> None:
    a = torch.eye(3, dtype=torch.float64)
    b = a.clone()
    b[2] = torch.tensor([1.0, 0.0, 0.1])
    pairing = same(torch.arange(3))
    _, own, _ = value_and_gradients(partial(focal, pairing=pairing, gamma=2.0, temperature=0.2), a, b)
    _, plain, _ = value_and_gradients(partial(info_nce, pairing=pairing, temperature=0.2), a, b)
    assert own[1].norm() / plain[1].norm() < 0.2 * own[2].norm() / plain[2].norm()


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_an_anchor_with_nothing_but_its_positive_has_a_gradient_of_0(gamma: float) -> None:
    loss = partial(focal, pairing=same(torch.zeros(1, dtype=torch.int64)), gamma=gamma)
    for found in value_and_gradients(loss, draw(1, 3), draw(1, 3, seed=1)):
        assert torch.equal(found, torch.zeros_like(found))


def test_a_gamma_below_0_is_refused() -> None:
    with pytest.raises(UsageError, match="gamma"):
        focal(draw(4, 3), draw(4, 3), same(IDS), gamma=-1.0)
