import math
from functools import partial

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from medcl.contrast.losses.opposites import MOST, all_opposites, opposite_gaps, opposites, ranked_opposites
from medcl.errors import UsageError
from tests.contrast.compare import assert_same, draw, value_and_gradients
from tests.contrast.processes import across

N, K, D = 5, 3, 4
VALID = torch.tensor([[1, 1, 0], [0, 1, 1], [0, 0, 0], [1, 0, 0], [1, 1, 1]], dtype=torch.bool)
SAID = torch.tensor([1, 2, 3, 4, 1]), torch.tensor([[5, 2, 9], [9, 1, 6], [9, 9, 9], [7, 9, 9], [5, 2, 8]])
"""Texts 0 and 4 are the same; an opposite of text 0 reads as text 1."""
A, B, WRONG = draw(N, D, seed=1), draw(N, D, seed=2), draw(N, K, D, seed=3)


def s(x: Tensor, y: Tensor) -> Tensor:
    return F.normalize(x, dim=0) @ F.normalize(y, dim=0) / 0.3


def own_by_loops(a: Tensor, b: Tensor, wrong: Tensor) -> Tensor:
    total, count = a.sum() * 0, 0
    for i in range(N):
        others = [s(a[i], wrong[i, k]) for k in range(K) if VALID[i, k]]
        if others:
            right = s(a[i], b[i])
            total = total - torch.log(right.exp() / (right.exp() + sum(one.exp() for one in others)))
            count += 1
    return total / count


def all_by_loops(a: Tensor, b: Tensor, wrong: Tensor) -> Tensor:
    total = a.sum() * 0
    for i in range(N):
        right = s(a[i], b[i])
        below = right.exp()
        for j in range(N):
            for k in range(K):
                if VALID[j, k] and SAID[1][j, k] != SAID[0][i]:
                    below = below + s(b[i], wrong[j, k]).exp()
        total = total - torch.log(right.exp() / below)
    return total / N


def ranked_by_loops(a: Tensor, b: Tensor, wrong: Tensor) -> Tensor:
    total = a.sum() * 0
    for i in range(N):
        for k in range(K):
            if VALID[i, k]:
                total = total + F.relu(0.5 * k + s(a[i], wrong[i, k]) - s(a[i], b[i]))
    return total / VALID.sum()


def own(a: Tensor, b: Tensor, wrong: Tensor) -> Tensor:
    return opposites(a, b, wrong, VALID, temperature=0.3)


def of_all(a: Tensor, b: Tensor, wrong: Tensor) -> Tensor:
    return all_opposites(a, b, wrong, VALID, SAID, temperature=0.3)


def ranked(a: Tensor, b: Tensor, wrong: Tensor) -> Tensor:
    return ranked_opposites(a, b, wrong, torch.tensor([0.0, 0.5, 1.0]), VALID, temperature=0.3)


@pytest.mark.parametrize(
    ("loss", "loops"),
    [(own, own_by_loops), (of_all, all_by_loops), (ranked, ranked_by_loops)],
    ids=["own", "all", "rank"],
)
def test_the_losses_equal_their_formulas(loss: partial[Tensor], loops: partial[Tensor]) -> None:
    assert value_and_gradients(loss, A, B, WRONG)[0] > 0
    assert_same(loss, loops, A, B, WRONG)


def test_opposites_of_other_texts_are_not_in_the_denominator() -> None:
    """What DeGLA's released mask mixes up."""
    first = VALID & (torch.arange(N) == 0)[:, None]
    *_, gradient = value_and_gradients(partial(opposites, valid=first, temperature=0.3), A, B, WRONG)
    assert gradient[0][VALID[0]].abs().min() > 0
    assert torch.equal(gradient[1:], torch.zeros(N - 1, K, D, dtype=torch.float64))
    changed = torch.cat([WRONG[:1], draw(N - 1, K, D, seed=9)])
    assert torch.equal(opposites(A, B, changed, first), opposites(A, B, WRONG, first))


def test_what_is_not_there_gives_nothing() -> None:
    none = torch.zeros_like(VALID)
    for loss in (opposites, all_opposites):
        for found in value_and_gradients(partial(loss, valid=none), A, B, WRONG):
            assert torch.equal(found, torch.zeros_like(found))
    assert ranked_opposites(A, B, WRONG, torch.ones(K), none) == 0
    kept = WRONG.clone()
    kept[~VALID] = 1e3
    for function in (own, of_all, ranked):
        assert torch.equal(function(A, B, kept), function(A, B, WRONG))


def test_margins_grow_from_nothing_and_stop_at_ten() -> None:
    right, wrong = F.normalize(A, dim=1), -F.normalize(A, dim=1)[:, None].repeat(1, K, 1)
    assert torch.equal(opposite_gaps(right, right, wrong, VALID, temperature=0.01), torch.full((K,), MOST).double())
    assert torch.equal(opposite_gaps(right, -right, -wrong, VALID), torch.zeros(K).double())
    halves = opposite_gaps(right, right, wrong, VALID, temperature=0.4)
    torch.testing.assert_close(halves, torch.full((K,), 5.0).double())
    assert ranked_opposites(right, right, wrong, halves, VALID, temperature=0.4) == pytest.approx(0, abs=1e-9)


def test_an_opposite_that_cannot_be_told_apart_costs_a_bit() -> None:
    assert opposites(A, B, B[:, None]).item() == pytest.approx(math.log(2))


def of_a_process(rank: int, group: object) -> Tensor:
    rows = slice(0, 3) if rank == 0 else slice(3, N)
    said = SAID[0][rows], SAID[1][rows]
    return all_opposites(A[rows], B[rows], WRONG[rows], VALID[rows], said, temperature=0.3, group=group)  # type: ignore[arg-type]


def test_two_processes_are_one() -> None:
    torch.testing.assert_close(sum(across(2, of_a_process)) / 2, of_all(A, B, WRONG))


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(UsageError, match="opposites"):
        opposites(A, B, WRONG[:, 0])
    with pytest.raises(UsageError, match="valid must be bool"):
        opposites(A, B, WRONG, VALID[:, :1])
