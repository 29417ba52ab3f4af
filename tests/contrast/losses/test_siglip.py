from functools import partial

import pytest
import torch
from torch import Tensor

from medcl.contrast.losses.siglip import siglip
from medcl.contrast.pairings.pairs import itself, matrix, same
from medcl.errors import UsageError
from tests.contrast.compare import assert_same, draw, value_and_gradients
from tests.contrast.loops import mean


def loops(a: Tensor, b: Tensor, targets: Tensor, exclude: Tensor, temperature: float, bias: float) -> Tensor:
    terms = []
    for i, x in enumerate(a):
        logits = [(j, x @ y / (x.norm() * y.norm()) / temperature + bias) for j, y in enumerate(b) if not exclude[i, j]]
        if logits:
            parts = []
            for j, logit in logits:
                q = float(targets[i, j])
                yes = 1 / (1 + torch.exp(-logit))
                parts.append(-q * torch.log(yes) - (1 - q) * torch.log(1 - yes))
            terms.append(sum(parts))
    return mean(terms)


@pytest.mark.parametrize("soft", [False, True])
def test_the_loss_and_its_gradient_equal_the_loops(soft: bool) -> None:
    targets = draw(4, 5, seed=2).sigmoid() if soft else draw(4, 5, seed=2) > 0.5
    exclude = draw(4, 5, seed=3) > 0.7
    exclude[1] = True
    options = {"temperature": 0.5, "bias": -1.0}
    assert_same(
        partial(siglip, pairing=matrix(targets, exclude), **options),
        partial(loops, targets=targets, exclude=exclude, **options),
        draw(4, 3),
        draw(5, 3, seed=1),
    )


@pytest.mark.parametrize("block", [None, 2])
def test_temperature_and_bias_can_be_learned(block: int | None) -> None:
    a, b = draw(4, 3).requires_grad_(), draw(4, 3, seed=1).requires_grad_()
    scale, bias = (torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (1.0, -2.0))

    def loss(a: Tensor, b: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
        ids = torch.tensor([0, 1, 0, 2])
        return siglip(a, b, same(ids), temperature=(-scale).exp(), bias=bias, block=block)

    if block is None:
        assert torch.autograd.gradcheck(loss, (a, b, scale, bias))
    else:
        whole = value_and_gradients(
            lambda *x: siglip(x[0], x[1], same(torch.tensor([0, 1, 0, 2])), temperature=(-x[2]).exp(), bias=x[3]),
            *(x.detach() for x in (a, b, scale, bias)),
        )
        blocks = value_and_gradients(loss, *(x.detach() for x in (a, b, scale, bias)))
        for found, expected in zip(blocks, whole, strict=True):
            torch.testing.assert_close(found, expected)


def test_each_pair_is_a_binary_cross_entropy() -> None:
    a, b = draw(4, 3), draw(4, 3, seed=1)
    logits = torch.nn.functional.normalize(a, dim=1) @ torch.nn.functional.normalize(b, dim=1).T * 10 - 10
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits, torch.eye(4).double(), reduction="sum") / 4
    torch.testing.assert_close(siglip(a, b, itself(a)), expected)


def test_soft_targets_of_0_and_1_are_yes_and_no() -> None:
    a, b, positive = draw(4, 3), draw(5, 3, seed=1), draw(4, 5, seed=2) > 0
    torch.testing.assert_close(siglip(a, b, 3.0 * positive), siglip(a, b, positive))


def test_an_anchor_without_a_positive_counts_and_one_without_a_candidate_does_not() -> None:
    a, b = draw(2, 3), draw(3, 3, seed=1)
    nothing = torch.zeros(2, 3, dtype=torch.bool)
    assert siglip(a, b, nothing, bias=0.0) > 0
    first = torch.tensor([[False] * 3, [True] * 3])
    torch.testing.assert_close(siglip(a, b, matrix(nothing, first)), siglip(a[:1], b, nothing[:1]))
    for found in value_and_gradients(partial(siglip, pairing=matrix(nothing, ~nothing)), a, b):
        assert torch.equal(found, torch.zeros_like(found))


def test_a_bias_for_other_anchors_is_refused() -> None:
    with pytest.raises(UsageError, match="a bias is a scalar or one an anchor"):
        siglip(draw(3, 2), draw(3, 2), torch.eye(3, dtype=torch.bool), bias=torch.ones(2))
