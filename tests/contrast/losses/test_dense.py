from functools import partial

import pytest
import torch
from torch import Tensor

from medcl.contrast.losses.dense import corresponding, dense
from medcl.contrast.losses.info_nce import info_nce
from medcl.contrast.pairings.pairs import itself, same
from medcl.errors import UsageError
from tests.contrast.compare import assert_same, draw, value_and_gradients
from tests.contrast.loops import mean
from tests.contrast.similarities.test_late import unit

A, B, QUEUE = draw(3, 4, 2), draw(3, 5, 2, seed=1), draw(6, 2, seed=2)
POSITIVES = torch.tensor([[0, 4, 4, 1], [2, 2, 2, 2], [3, 0, 1, 4]])
IMAGES, QUEUED = torch.tensor([0, 1, 2]), torch.tensor([5, 1, 1, 7, 0, 8])


def reference(a: Tensor, b: Tensor, queue: Tensor, *, temperature: float, ids: bool) -> Tensor:
    terms = []
    for i in range(3):
        for s in range(4):
            own = torch.exp(unit(a[i, s]) @ unit(b[i, POSITIVES[i, s]]) / temperature)
            others = [
                torch.exp(unit(a[i, s]) @ unit(n) / temperature)
                for k, n in enumerate(queue)
                if not ids or QUEUED[k] != IMAGES[i]
            ]
            terms.append(-torch.log(own / (own + sum(others))))
    return mean(terms)


@pytest.mark.parametrize("ids", [False, True])
@pytest.mark.parametrize("block", [None, 1, 5])
def test_the_loss_and_its_gradient_equal_the_loops(ids: bool, block: int | None) -> None:
    pairing = same(IMAGES, QUEUED) if ids else None

    def loss(a: Tensor, b: Tensor, queue: Tensor) -> Tensor:
        return dense(a, b, POSITIVES, queue, pairing=pairing, temperature=0.3, block=block)

    assert_same(loss, partial(reference, temperature=0.3, ids=ids), A, B, QUEUE)


def test_gradcheck() -> None:
    temperature = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)

    def loss(a: Tensor, b: Tensor, queue: Tensor, temperature: Tensor) -> Tensor:
        return dense(a, b, POSITIVES, queue, temperature=temperature)

    assert torch.autograd.gradcheck(loss, (*(x.clone().requires_grad_() for x in (A, B, QUEUE)), temperature))


def test_with_one_cell_an_image_and_the_pooled_other_views_as_negatives_it_is_info_nce() -> None:
    a, b = draw(4, 3), draw(4, 3, seed=1)
    first = torch.zeros(4, 1, dtype=torch.long)
    found = dense(a[:, None], b[:, None], first, b, pairing=itself(a), temperature=0.2)
    torch.testing.assert_close(found, info_nce(a, b, itself(a), temperature=0.2))


def test_cells_correspond_by_what_they_show() -> None:
    features, order = draw(2, 6, 8), torch.tensor([3, 1, 5, 0, 2, 4])
    found = corresponding(features, 2 * features[:, order] + 1e-3)
    assert torch.equal(order[found], torch.arange(6).expand(2, 6))
    slow = [[max(range(5), key=lambda r: float(unit(A[i, s]) @ unit(B[i, r]))) for s in range(4)] for i in range(3)]
    assert corresponding(A, B).tolist() == slow


def test_without_negatives_the_loss_and_its_gradient_are_0() -> None:
    loss = lambda a, b, n: dense(a, b, POSITIVES, n, pairing=same(IMAGES * 0, QUEUED * 0))  # noqa: E731
    assert all(torch.equal(found, torch.zeros_like(found)) for found in value_and_gradients(loss, A, B, QUEUE))


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(UsageError, match=r"flatten\(2\)"):
        corresponding(A[0], B[0])
    with pytest.raises(UsageError, match="positives must be indices"):
        dense(A, B, POSITIVES[:, :2], QUEUE)
    with pytest.raises(UsageError, match="pairing is of"):
        dense(A, B, POSITIVES, QUEUE, pairing=same(IMAGES))
    with pytest.raises(UsageError, match="one temperature"):
        dense(A, B, POSITIVES, QUEUE, temperature=torch.ones(3))
    with pytest.raises(UsageError, match="above 0"):
        dense(A, B, POSITIVES, QUEUE, temperature=0.0)
    with pytest.raises(UsageError, match=r"\(N, D\)"):
        dense(A, B, POSITIVES, QUEUE[:, :1])
