from functools import partial
from itertools import product

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from medcl.contrast.losses.conr import conr, wrong_proximities
from medcl.contrast.losses.info_nce import info_nce
from medcl.errors import UsageError
from tests.contrast.compare import assert_same, draw, value_and_gradients

Y = torch.tensor([30.0, 31.0, 34.0, 50.0, 50.5, torch.nan, 80.0], dtype=torch.float64)
PREDICTED = torch.tensor([33.0, 35.0, 33.5, 34.5, 60.0, 33.2, 90.0], dtype=torch.float64)
WEIGHTS = torch.tensor([1.0, 0.5, 2.0, 1.5, 1.0, 3.0, 0.7], dtype=torch.float64)


def expected(z: Tensor) -> Tensor:
    u, n, total = F.normalize(z, dim=1), len(z), z.sum() * 0
    e = {(i, j): torch.exp(u[i] @ u[j] / 0.3) for i, j in product(range(n), repeat=2)}
    for i in range(n):
        near = [j for j in range(n) if j != i and abs(Y[i] - Y[j]) <= 1]
        wrong = [j for j in range(n) if abs(Y[i] - Y[j]) > 1 and abs(PREDICTED[i] - PREDICTED[j]) <= 1]
        if near and wrong:
            pushed = sum(WEIGHTS[i] * torch.exp(0.1 * abs(Y[i] - Y[j])) * e[i, j] for j in wrong)
            normaliser = sum(e[i, j] for j in near) + pushed
            total = total - WEIGHTS[i] * sum(torch.log(e[i, j] / normaliser) for j in near) / len(near)
    return total / n


@pytest.mark.parametrize("block", [None, 2])
def test_the_loss_equals_its_formula(block: int | None) -> None:
    loss = partial(conr, y=Y, predicted=PREDICTED, weights=WEIGHTS, strength=0.1, temperature=0.3, block=block)
    assert value_and_gradients(loss, draw(7, 3))[0] > 0
    assert_same(loss, expected, draw(7, 3))


def test_gradcheck() -> None:
    loss = partial(conr, y=Y, predicted=PREDICTED, temperature=0.5)
    assert torch.autograd.gradcheck(loss, (draw(7, 3).requires_grad_(),))


def test_a_good_regression_has_nothing_to_be_regularised() -> None:
    for found in value_and_gradients(partial(conr, y=Y, predicted=Y), draw(7, 3)):
        assert torch.equal(found, torch.zeros_like(found))


def test_where_all_predictions_are_one_it_is_info_nce_of_near_targets() -> None:
    y, z = torch.tensor([1.0, 1.5, 7.0, 7.5]).double(), draw(4, 3)
    found = conr(z, y, torch.zeros(4), strength=0.0, temperature=0.1)
    torch.testing.assert_close(found, info_nce(z, z, wrong_proximities(y, torch.zeros(4), within=1.0, strength=0.0)))


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(UsageError, match="within more than 0"):
        conr(draw(7, 3), Y, PREDICTED, within=0.0)
    with pytest.raises(UsageError, match="prediction for each"):
        conr(draw(7, 3), Y, PREDICTED[:3])
    with pytest.raises(UsageError, match="weight for each"):
        conr(draw(7, 3), Y, PREDICTED, weights=WEIGHTS[:2])
