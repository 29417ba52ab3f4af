from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from medcl.contrast.losses.multi_view import mv_dhel, mv_infonce, poly_view_statistics
from medcl.errors import UsageError
from tests.contrast.compare import assert_same, draw, value_and_gradients
from tests.contrast.loops import mean

LOSSES = pytest.mark.parametrize("loss", [mv_infonce, mv_dhel])
COUNTS = pytest.mark.parametrize("count", [2, 3, 4])


def exponentials(views: tuple[Tensor, ...], temperature: float) -> Any:
    units = [v / v.pow(2).sum(dim=1, keepdim=True).sqrt() for v in views]
    return lambda i, p, j, q: torch.exp(units[p][i] @ units[q][j] / temperature)


def infonce(*views: Tensor, temperature: float) -> Tensor:
    e, K, N = exponentials(views, temperature), range(len(views)), range(len(views[0]))
    terms = []
    for i in N:
        above = 2 * sum(e(i, p, i, q) for p in K for q in K if p < q)
        below = sum(e(i, p, j, q) for p in K for j in N for q in K if (j, q) != (i, p))
        terms.append(-torch.log(above / below))
    return mean(terms)


def dhel(*views: Tensor, temperature: float) -> Tensor:
    e, K, N = exponentials(views, temperature), range(len(views)), range(len(views[0]))
    terms = []
    for i in N:
        above, below = sum(e(i, p, i, q) for p in K for q in K if p < q), torch.ones(())
        for p in K:
            below = below * sum(e(i, p, j, p) for j in N if j != i)
        terms.append(-torch.log(above / below))
    return mean(terms)


@pytest.mark.parametrize(("loss", "reference"), [(mv_infonce, infonce), (mv_dhel, dhel)])
@COUNTS
@pytest.mark.parametrize("block", [None, 1, 3])
def test_the_loss_and_its_gradient_equal_the_loops(loss: Any, reference: Any, count: int, block: int | None) -> None:
    views = [draw(4, 3, seed=k) for k in range(count)]
    assert_same(lambda *views: loss(views, temperature=0.5, block=block), partial(reference, temperature=0.5), *views)


@LOSSES
def test_gradcheck(loss: Any) -> None:
    temperature = torch.tensor(0.4, dtype=torch.float64, requires_grad=True)
    views = [draw(3, 3, seed=k).requires_grad_() for k in range(3)]
    assert torch.autograd.gradcheck(lambda t, *views: loss(views, temperature=t), (temperature, *views))


@LOSSES
def test_the_order_of_the_views_does_not_matter(loss: Any) -> None:
    views = draw(3, 5, 4)
    torch.testing.assert_close(loss(views.flip(0)), loss(views))
    torch.testing.assert_close(loss(list(views)), loss(views))


def test_for_two_views_mv_infonce_has_the_sum_of_nt_xents_two_denominators() -> None:
    views = draw(2, 5, 4)
    z = torch.nn.functional.normalize(views.flatten(0, 1), dim=1)
    scores = (z @ z.T / 0.2).fill_diagonal_(-torch.inf)
    each = scores.logsumexp(dim=1)
    positive = scores.diagonal(5)
    expected = (torch.logaddexp(each[:5], each[5:]) - positive).mean() - torch.tensor(2.0).log()
    torch.testing.assert_close(mv_infonce(views), expected.double())


@LOSSES
def test_one_sample_costs_nothing(loss: Any) -> None:
    for found in value_and_gradients(lambda a, b, c: loss([a, b, c]), *(draw(1, 4, seed=k) for k in range(3))):
        torch.testing.assert_close(found, torch.zeros_like(found))


def test_identical_views_of_identical_samples() -> None:
    views = torch.ones(3, 4, 5, dtype=torch.float64)
    log = lambda x: torch.tensor(x, dtype=torch.float64).log()  # noqa: E731
    torch.testing.assert_close(mv_infonce(views), log(3 * 11 / 6))
    torch.testing.assert_close(mv_dhel(views, temperature=1.0), 3 * (1 + log(3.0)) - 1 - log(3.0))


@LOSSES
def test_what_does_not_fit_is_refused(loss: Any) -> None:
    with pytest.raises(UsageError, match="two or more views"):
        loss([draw(3, 4)])
    with pytest.raises(UsageError, match="of one shape"):
        loss([draw(3, 4), draw(3, 5)])
    with pytest.raises(UsageError, match="one temperature"):
        loss(draw(2, 3, 4), temperature=torch.ones(3))
    with pytest.raises(UsageError, match="above 0"):
        loss(draw(2, 3, 4), temperature=-1.0)


def statistics(*views: Tensor, temperature: float) -> Tensor:
    units = [[row / row.norm() for row in view] for view in views]
    terms = []
    for view in range(len(views)):
        rests = []
        for i in range(len(views[0])):
            rest = sum(units[other][i] for other in range(len(views)) if other != view)
            rests.append(rest / rest.norm())
        for i, u in enumerate(units[view]):
            e = [torch.exp(u @ rest / temperature) for rest in rests]
            terms.append(-torch.log(e[i] / sum(e)))
    return mean(terms)


@COUNTS
def test_sufficient_statistics_equal_the_loops(count: int) -> None:
    views = [draw(4, 3, seed=seed) for seed in range(count)]
    assert_same(
        lambda *views: poly_view_statistics(views, temperature=0.5), partial(statistics, temperature=0.5), *views
    )
