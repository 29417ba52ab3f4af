from functools import partial
from itertools import product

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from medcl.contrast.losses.cosent import cosent
from medcl.contrast.pairings.pairs import matrix
from medcl.contrast.pairings.targets import overlap
from tests.contrast.compare import assert_same, draw, value_and_gradients

GRADES = torch.randint(4, (4, 5), generator=torch.Generator().manual_seed(3)).double()
EXCLUDED = draw(4, 5, seed=2) > 0.8


def loops(a: Tensor, b: Tensor, grades: Tensor, excluded: Tensor, temperature: float) -> Tensor:
    u, v = F.normalize(a, dim=1), F.normalize(b, dim=1)
    pairs = [one for one in product(range(len(a)), range(len(b))) if not excluded[one]]
    total = torch.ones((), dtype=torch.float64)
    for (i, j), (k, m) in product(pairs, pairs):
        if grades[i, j] < grades[k, m]:
            total = total + torch.exp((u[i] @ v[j] - u[k] @ v[m]) / temperature)
    return torch.log(total)


@pytest.mark.parametrize("temperature", [0.05, 1.0])
@pytest.mark.parametrize("block", [None, 3])
def test_the_loss_and_its_gradient_equal_the_loops(temperature: float, block: int | None) -> None:
    assert EXCLUDED.any()
    options = {"temperature": temperature}
    assert_same(
        partial(cosent, pairing=matrix(GRADES, EXCLUDED), block=block, **options),
        partial(loops, grades=GRADES, excluded=EXCLUDED, **options),
        draw(4, 3),
        draw(5, 3, seed=1),
    )


def test_only_the_order_of_the_grades_counts() -> None:
    found = value_and_gradients(partial(cosent, pairing=matrix(GRADES)), draw(4, 3), draw(5, 3, seed=1))
    changed = value_and_gradients(partial(cosent, pairing=matrix(GRADES.exp())), draw(4, 3), draw(5, 3, seed=1))
    for one, other in zip(found, changed, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_without_an_inversion_and_with_wide_gaps_nothing_is_left_to_learn() -> None:
    a, b = torch.eye(3).double(), torch.eye(3).double()
    grades = torch.eye(3).double()
    assert cosent(a, b, matrix(grades)) < 1e-6
    # The other way round each pair is an inversion.
    assert cosent(a, b, matrix(1 - grades)) > 20


def test_equal_grades_have_no_term() -> None:
    for found in value_and_gradients(
        partial(cosent, pairing=matrix(torch.full((4, 5), 0.3).double())), draw(4, 3), draw(5, 3, seed=1)
    ):
        assert torch.equal(found, torch.zeros_like(found))


def test_training_orders_pairs_by_the_labels_that_they_share() -> None:
    labels = torch.tensor([[1, 1, 0], [1, 0, 0], [0, 1, 1], [0, 0, 1], [0, 0, 0]]).bool()
    z = draw(5, 4).requires_grad_()
    optimiser = torch.optim.Adam([z], 0.05)
    for _ in range(300):
        optimiser.zero_grad()
        cosent(z, z, overlap(labels)).backward()
        optimiser.step()
    known = z.detach()[:4]
    cosines, grades = (F.normalize(known, dim=1) @ F.normalize(known, dim=1).T), overlap(labels[:4]).pairs().positive
    for (i, j), (k, m) in product(product(range(4), range(4)), repeat=2):
        if grades[i, j] < grades[k, m]:
            assert cosines[i, j] < cosines[k, m]
    # Of a sample without a label nothing is known.
    torch.testing.assert_close(z.detach()[4], draw(5, 4)[4])
