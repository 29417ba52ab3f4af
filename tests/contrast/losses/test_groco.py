import math
from functools import partial

import pytest
import torch
from torch import Tensor

from medcl.contrast.losses.groco import groco
from medcl.contrast.pairings.pairs import matrix, same
from medcl.errors import UsageError
from tests.contrast.compare import assert_same, draw, value_and_gradients
from tests.contrast.loops import mean

IDS, MORE = torch.tensor([0, 1, 0, 2]), torch.tensor([0, 0, 1, 3, 0, 1, 2])


def permutation(values: list[Tensor]) -> Tensor:
    """The product of the network's layers, as matrices: probabilities of places (rows) for elements (columns)."""
    size = len(values)
    product, x = torch.eye(size, dtype=torch.float64), torch.stack(values)
    for layer in range(size):
        step = torch.eye(size, dtype=torch.float64)
        for i in range(layer % 2, size - 1, 2):
            stay = torch.atan(x[i + 1] - x[i]) / math.pi + 0.5
            rows = torch.stack([torch.stack([stay, 1 - stay]), torch.stack([1 - stay, stay])])
            step = torch.cat([step[:, :i], torch.zeros(size, 2, dtype=torch.float64), step[:, i + 2 :]], 1)
            step = torch.cat(
                [step[:i], torch.nn.functional.pad(rows, (i, size - i - 2)), step[i + 2 :]],
            )
        product, x = step @ product, step @ x
    return product


def loops(a: Tensor, b: Tensor, exclude: Tensor, temperature: float, positives: int, negatives: int) -> Tensor:
    terms = []
    for i, x in enumerate(a):
        scores = [x @ y / (x.norm() * y.norm()) / temperature for y in b]
        kept = [j for j in range(len(b)) if not exclude[i, j]]
        far = sorted((scores[j] for j in kept if IDS[i] == MORE[j]), key=lambda s: float(s.detach()))[:positives]
        near = sorted((scores[j] for j in kept if IDS[i] != MORE[j]), key=lambda s: float(s.detach()))[-negatives:]
        if far and near:
            p = permutation(near + far)
            border = len(near)
            right = [p[:border, k].sum() if k < border else p[border:, k].sum() for k in range(len(p))]
            terms.append(mean([-torch.log(r) for r in right]))
    return mean(terms)


@pytest.mark.parametrize(("positives", "negatives"), [(1, 1), (2, 3), (4, 10)])
@pytest.mark.parametrize("temperature", [0.2, 1.0])
def test_the_loss_and_its_gradient_equal_the_loops(positives: int, negatives: int, temperature: float) -> None:
    exclude = draw(4, 7, seed=2) > 1
    exclude[2] = MORE != 0
    options = {"positives": positives, "negatives": negatives, "temperature": temperature}
    assert_same(
        partial(groco, pairing=matrix(same(IDS, MORE).pairs().positive, exclude), **options),
        partial(loops, exclude=exclude, **options),
        draw(4, 3),
        draw(7, 3, seed=1),
    )


def test_gradcheck() -> None:
    a, b = draw(4, 3).requires_grad_(), draw(7, 3, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(partial(groco, pairing=same(IDS, MORE), positives=2, negatives=3), (a, b))


def test_one_pair_is_compared_once() -> None:
    """A single positive and negative: 1/2 + arctan of their difference / pi is the probability of the right order."""
    a = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    b = torch.tensor([[0.8, 0.6], [0.0, 1.0]], dtype=torch.float64)
    found = groco(a, b, torch.tensor([[True, False]]), temperature=0.5)
    torch.testing.assert_close(found, -torch.log(torch.atan(found.new_tensor(1.6)) / math.pi + 0.5))


@pytest.mark.parametrize("ordered", [True, False])
def test_what_is_in_order_costs_little(ordered: bool) -> None:
    a = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    angles = torch.linspace(0, 3, 6, dtype=torch.float64)
    b = torch.stack([angles.cos(), angles.sin()], 1)
    positive = (torch.arange(6) < 2) if ordered else (torch.arange(6) > 3)
    loss = groco(a, b, positive[None], temperature=0.001)
    assert loss < 0.01 if ordered else loss > 1


@pytest.mark.parametrize("temperature", [1e-4, 1e4])
def test_any_steepness_stays_finite_in_float32(temperature: float) -> None:
    loss = partial(groco, pairing=same(IDS, MORE), temperature=temperature)
    for found in value_and_gradients(loss, draw(4, 3).float(), draw(7, 3, seed=1).float()):
        assert torch.isfinite(found).all()


@pytest.mark.parametrize("positive", [False, True])
def test_without_a_positive_or_a_negative_the_loss_and_gradient_are_0(positive: bool) -> None:
    for found in value_and_gradients(partial(groco, pairing=torch.full((3, 4), positive)), draw(3, 3), draw(4, 3)):
        assert torch.equal(found, torch.zeros_like(found))


def test_what_has_no_meaning_is_refused() -> None:
    with pytest.raises(UsageError, match="at least one positive and one negative"):
        groco(draw(4, 3), draw(4, 3), same(IDS), negatives=0)
    with pytest.raises(UsageError, match="yes or no"):
        groco(draw(4, 3), draw(4, 3), torch.eye(4))
