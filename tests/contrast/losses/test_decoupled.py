from functools import partial

import pytest
import torch
from torch import Tensor

from medcl.contrast.losses.decoupled import decoupled
from medcl.contrast.losses.info_nce import info_nce
from medcl.contrast.pairings.pairs import Pairing, PairMasks, among_views, matrix, same
from medcl.contrast.similarities.similarity import dot
from medcl.errors import UsageError
from tests.contrast.compare import assert_same, draw, value_and_gradients
from tests.contrast.loops import mean

IDS = torch.tensor([0, 1, 0, 2, 1])


def loops(a: Tensor, b: Tensor, weights: Tensor, exclude: Tensor, temperature: float, sigma: float | None) -> Tensor:
    cosines = [[x @ y / (x.norm() * y.norm()) for y in b] for x in a]
    weights = weights.double()
    anchors = []
    for i in range(len(a)):
        pulled = [p for p in range(len(b)) if weights[i, p] > 0 and not exclude[i, p]]
        pushed = [n for n in range(len(b)) if weights[i, n] == 0 and not exclude[i, n]]
        if pulled and pushed:
            anchors.append((i, pulled, pushed))
    total = {i: sum(weights[i, p] for p in pulled) for i, pulled, _ in anchors}
    if sigma is not None:
        close = {
            i: sum(weights[i, p] * torch.exp(cosines[i][p] / sigma) for p in ps) / total[i] for i, ps, _ in anchors
        }
        average = sum(close.values()) / max(len(close), 1)
    terms = []
    for i, pulled, pushed in anchors:
        attraction = 0
        for p in pulled:
            weight = 1 if sigma is None else 2 - torch.exp(cosines[i][p] / sigma) / average
            attraction = attraction + weights[i, p] * weight * cosines[i][p] / temperature / total[i]
        terms.append(torch.log(sum(torch.exp(cosines[i][n] / temperature) for n in pushed)) - attraction)
    return mean(terms)


@pytest.mark.parametrize("sigma", [None, 0.5])
@pytest.mark.parametrize("soft", [False, True])
def test_the_loss_and_its_gradient_equal_the_loops(sigma: float | None, soft: bool) -> None:
    positive = same(IDS, torch.tensor([0, 1, 2, 0, 1, 3])).pairs().positive
    weights = positive * (0.5 + draw(5, 6, seed=3).abs()) if soft else positive
    exclude = draw(5, 6, seed=2) > 1
    exclude[3] = True
    options = {"temperature": 0.3, "sigma": sigma}
    a, b = draw(5, 3), draw(6, 3, seed=1)
    assert_same(
        partial(decoupled, pairing=matrix(weights, exclude), **options),
        partial(loops, weights=weights, exclude=exclude, **options),
        a,
        b,
    )


@pytest.mark.parametrize("sigma", [None, 0.5])
def test_gradcheck(sigma: float | None) -> None:
    a, b = draw(5, 3).requires_grad_(), draw(5, 3, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(partial(decoupled, pairing=same(IDS), sigma=sigma, temperature=0.5), (a, b))


def test_without_the_positive_it_is_below_info_nce_by_the_positive_in_the_denominator() -> None:
    a, b = draw(4, 3), draw(4, 3, seed=1)
    eye = torch.eye(4, dtype=torch.bool)
    scores = torch.nn.functional.normalize(a, dim=1) @ torch.nn.functional.normalize(b, dim=1).T / 0.1
    positive = scores.diagonal()
    apart = scores.masked_fill(eye, -torch.inf).logsumexp(1)
    torch.testing.assert_close(decoupled(a, b, eye), (apart - positive).mean())
    shift = torch.nn.functional.softplus(positive - apart).mean()
    torch.testing.assert_close(info_nce(a, b, eye), (decoupled(a, b, eye) + shift))


def test_pairs_that_are_equally_close_weigh_1() -> None:
    a = torch.eye(4, 3, dtype=torch.float64) + 0.2
    ids = torch.arange(4)
    z, pairing = torch.cat([a, a]), among_views(ids)
    torch.testing.assert_close(decoupled(z, z, pairing, sigma=0.5), decoupled(z, z, pairing))


def test_one_temperature_an_anchor_does_not_change_the_weights_of_dclw() -> None:
    a, b = draw(5, 3), draw(5, 3, seed=1)
    each = torch.full((5,), 0.4, dtype=torch.float64)
    one = decoupled(a, b, same(IDS), sigma=0.5, temperature=0.4)
    torch.testing.assert_close(decoupled(a, b, same(IDS), sigma=0.5, temperature=each), one)


def test_importance_multiplies_negatives_in_the_denominator() -> None:
    a, b = draw(3, 3), draw(3, 3, seed=1)

    def twice(anchors: tuple[Tensor, ...], candidates: tuple[Tensor, ...]) -> PairMasks:
        positive = anchors[0][:, None] == candidates[0][None]
        return PairMasks(positive, importance=torch.full(positive.shape, 2.0))

    ids = torch.arange(3)
    weighed = decoupled(a, b, Pairing(twice, (ids,), (ids,)))
    torch.testing.assert_close(weighed, decoupled(a, b, same(ids)) + torch.log(torch.tensor(2.0)))


@pytest.mark.parametrize("sigma", [None, 0.5])
@pytest.mark.parametrize("positive", [False, True])
def test_without_a_positive_or_a_negative_the_loss_and_gradient_are_0(sigma: float | None, positive: bool) -> None:
    loss = partial(decoupled, pairing=torch.full((3, 4), positive), sigma=sigma, similarity=dot)
    for found in value_and_gradients(loss, draw(3, 3), draw(4, 3, seed=1)):
        assert torch.equal(found, torch.zeros_like(found))


def test_a_sigma_of_0_is_refused() -> None:
    with pytest.raises(UsageError, match="sigma above 0"):
        decoupled(draw(2, 3), draw(2, 3), same(torch.arange(2)), sigma=0.0)
    with pytest.raises(UsageError, match="one an anchor"):
        decoupled(draw(2, 3), draw(2, 3), same(torch.arange(2)), sigma=0.5, temperature=torch.ones(3))
