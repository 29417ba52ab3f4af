from functools import partial

import pytest
import torch
from torch import Tensor

from medcl.contrast.losses.debiased import debiased
from medcl.contrast.losses.info_nce import info_nce
from medcl.contrast.pairings.pairs import matrix, same
from medcl.contrast.similarities.similarity import dot
from medcl.errors import UsageError
from tests.contrast.compare import assert_same, draw, value_and_gradients
from tests.contrast.loops import mean

IDS = torch.tensor([0, 1, 0, 2, 1])
MORE = torch.tensor([0, 1, 2, 0, 1, 3])


def loops(a: Tensor, b: Tensor, exclude: Tensor, temperature: float, tau_plus: float, beta: float) -> Tensor:
    terms = []
    floor = torch.exp(torch.tensor(-1 / temperature, dtype=torch.float64))
    for i, x in enumerate(a):
        e = [torch.exp(x @ y / (x.norm() * y.norm()) / temperature) for y in b]
        pulled = [e[j] for j in range(len(b)) if IDS[i] == MORE[j] and not exclude[i, j]]
        pushed = [e[j] for j in range(len(b)) if IDS[i] != MORE[j] and not exclude[i, j]]
        if pulled and pushed:
            weights = [n**beta / (sum(m**beta for m in pushed) / len(pushed)) for n in pushed]
            drawn = sum(w * n for w, n in zip(weights, pushed, strict=True)) / len(pushed)
            true = torch.maximum((drawn - tau_plus * sum(pulled) / len(pulled)) / (1 - tau_plus), floor)
            terms.append(mean([-torch.log(p / (p + len(pushed) * true)) for p in pulled]))
    return mean(terms)


@pytest.mark.parametrize("tau_plus", [0.0, 0.1, 0.6])
@pytest.mark.parametrize("beta", [0.0, 1.5])
def test_the_loss_and_its_gradient_equal_the_loops(tau_plus: float, beta: float) -> None:
    exclude = draw(5, 6, seed=2) > 1
    options = {"temperature": 0.5, "tau_plus": tau_plus, "beta": beta}
    assert_same(
        partial(debiased, pairing=matrix(same(IDS, MORE).pairs().positive, exclude), **options),
        partial(loops, exclude=exclude, **options),
        draw(5, 3),
        draw(6, 3, seed=1),
    )


@pytest.mark.parametrize("beta", [0.0, 1.0])
def test_gradcheck(beta: float) -> None:
    a, b = draw(5, 3).requires_grad_(), draw(6, 3, seed=1).requires_grad_()
    temperature = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)

    def loss(a: Tensor, b: Tensor, temperature: Tensor) -> Tensor:
        return debiased(a, b, same(IDS, MORE), beta=beta, temperature=temperature)

    assert torch.autograd.gradcheck(loss, (a, b, temperature))


def test_without_correction_it_is_info_nce_with_its_own_denominators() -> None:
    a, b = draw(5, 3), draw(6, 3, seed=1)
    expected = info_nce(a, b, same(IDS, MORE), denominator="own", temperature=0.5)
    torch.testing.assert_close(debiased(a, b, same(IDS, MORE), tau_plus=0.0), expected)


def test_where_the_estimate_is_below_what_is_possible_the_floor_takes_its_place() -> None:
    a = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], dtype=torch.float64)
    # The positive has cosine 1, the negative -1: the floor, exp(-1 / t), is what the negative gives.
    expected = torch.log1p(torch.exp(torch.tensor(-4.0, dtype=torch.float64)))
    torch.testing.assert_close(debiased(a, a, same(torch.arange(2)), tau_plus=0.5), expected)


@pytest.mark.parametrize("temperature", [0.001, 0.01])
def test_small_temperatures_stay_finite_in_float32(temperature: float) -> None:
    loss = partial(debiased, pairing=same(IDS, MORE), temperature=temperature, beta=1.0)
    for found in value_and_gradients(loss, draw(5, 3).float(), draw(6, 3, seed=1).float()):
        assert torch.isfinite(found).all()


@pytest.mark.parametrize("positive", [False, True])
def test_without_a_positive_or_a_negative_the_loss_and_gradient_are_0(positive: bool) -> None:
    for found in value_and_gradients(partial(debiased, pairing=torch.full((3, 4), positive)), draw(3, 3), draw(4, 3)):
        assert torch.equal(found, torch.zeros_like(found))


def test_what_has_no_meaning_is_refused() -> None:
    a, pairing = draw(3, 2), same(torch.arange(3))
    with pytest.raises(UsageError, match="length 1"):
        debiased(a, a, pairing, similarity=dot)
    with pytest.raises(UsageError, match="yes or no"):
        debiased(a, a, torch.eye(3))
    for wrong in ({"tau_plus": 1.0}, {"tau_plus": -0.1}, {"beta": -1.0}):
        with pytest.raises(UsageError, match="tau_plus"):
            debiased(a, a, pairing, **wrong)


def test_the_harder_negatives_weigh_the_more_the_gradient_is_that_of_the_nearest_one() -> None:
    """HN-NCE (DiHT): with a large beta, of the negatives that are not left out."""
    a = torch.tensor([[1.0, 0.0]]).double()
    angles = torch.tensor([0.3, 0.5, 0.8, 2.0]).double()
    b = torch.stack([angles.cos(), angles.sin()], dim=1)
    positive = torch.tensor([[True, False, False, False]])
    duplicate = torch.tensor([[False, True, False, False]])

    def shares(beta: float, mask: bool) -> torch.Tensor:
        pairing = matrix(positive, duplicate if mask else None)
        loss = partial(debiased, a, pairing=pairing, tau_plus=0.0, beta=beta, temperature=0.1)
        (gradient,) = value_and_gradients(lambda z: loss(z), b)[1:]
        return gradient[1:].norm(dim=1) / gradient[1:].norm(dim=1).sum()

    assert shares(20.0, mask=False)[0] > 0.99
    assert shares(20.0, mask=True)[0] == 0
    assert shares(20.0, mask=True)[1] > 0.99
    assert shares(0.0, mask=False)[1:].sum() > 0.05
