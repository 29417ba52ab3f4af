from functools import partial

import pytest
import torch
from torch import Tensor

from medcl.contrast.losses.swav import sinkhorn, swav
from medcl.errors import UsageError
from tests.contrast.compare import assert_same, draw
from tests.contrast.processes import across


def assigned(scores: Tensor, epsilon: float, iterations: int) -> Tensor:
    """With exponentials and divisions, as in the paper's appendix."""
    q = torch.exp(scores / epsilon)
    q = q / q.sum()
    for _ in range(iterations):
        for k in range(q.shape[1]):
            q = torch.cat([q[:, :k], q[:, k : k + 1] / q[:, k].sum() / q.shape[1], q[:, k + 1 :]], 1)
        q = torch.stack([row / row.sum() / len(q) for row in q])
    return q * len(q)


def loops(*crops: Tensor, assign: tuple[int, ...], temperature: float, epsilon: float, iterations: int) -> Tensor:
    total = 0
    for s in assign:
        targets = assigned(crops[s].detach(), epsilon, iterations)
        for t, crop in enumerate(crops):
            if t != s:
                for i in range(len(crop)):
                    e = torch.exp(crop[i] / temperature)
                    cost = -sum(targets[i, k] * torch.log(e[k] / e.sum()) for k in range(crop.shape[1]))
                    total = total + cost / (len(crop) * len(assign) * (len(crops) - 1))
    return total


@pytest.mark.parametrize("assign", [(0,), (0, 1), (2, 0)])
@pytest.mark.parametrize("iterations", [1, 3])
def test_the_loss_and_its_gradient_equal_the_loops(assign: tuple[int, ...], iterations: int) -> None:
    options = {"assign": assign, "temperature": 0.3, "epsilon": 0.4, "iterations": iterations}
    assert_same(
        lambda *crops: swav(crops, **options), partial(loops, **options), *(draw(4, 3, seed=i) for i in range(3))
    )


def test_the_derivative_is_that_of_the_predictions_with_fixed_assignments() -> None:
    x, y = draw(4, 3).requires_grad_(), draw(4, 3, seed=1)
    assert torch.autograd.gradcheck(lambda x: swav([x, y], assign=(1,)), (x,))


def test_many_iterations_use_all_prototypes_alike() -> None:
    shares = sinkhorn(draw(6, 3), epsilon=0.5, iterations=200)
    torch.testing.assert_close(shares.sum(1), torch.ones(6, dtype=torch.float64))
    torch.testing.assert_close(shares.sum(0), torch.full((3,), 2.0, dtype=torch.float64))


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_scores_of_any_size_are_assigned_in_float32(scale: float) -> None:
    shares = sinkhorn(draw(5, 4, scale=scale).float())
    assert torch.isfinite(shares).all()
    torch.testing.assert_close(shares.sum(1), torch.ones(5))
    assert torch.isfinite(swav([draw(5, 4, scale=scale).float(), draw(5, 4, seed=1).float()]))


def test_a_queue_takes_part_in_the_assignment_only() -> None:
    crops, queue = [draw(4, 3), draw(4, 3, seed=1)], [draw(5, 3, seed=2), draw(5, 3, seed=3)]
    found = swav(crops, queue=queue, temperature=0.3, epsilon=0.5)
    expected = 0
    for s, t in ((0, 1), (1, 0)):
        targets = sinkhorn(torch.cat([queue[s], crops[s]]), 0.5)[5:]
        expected = expected - (targets * (crops[t] / 0.3).log_softmax(1)).sum() / 8
    torch.testing.assert_close(found, expected)


def share_of_a_process(rank: int, group: object, parts: list[int]) -> Tensor:
    start = sum(parts[:rank])
    return sinkhorn(draw(7, 3)[start : start + parts[rank]], group=group)


def test_processes_assign_together() -> None:
    found = torch.cat(across(3, share_of_a_process, [5, 0, 2]))
    torch.testing.assert_close(found, sinkhorn(draw(7, 3)))


def test_what_has_no_meaning_is_refused() -> None:
    a, b = draw(4, 3), draw(4, 3)
    for wrong in ({"epsilon": 0.0}, {"iterations": 0}):
        with pytest.raises(UsageError, match="sinkhorn takes"):
            sinkhorn(a, **wrong)
    with pytest.raises(UsageError, match="two or more crops"):
        swav([a])
    with pytest.raises(UsageError, match="two or more crops"):
        swav([a, b[:2]])
    with pytest.raises(UsageError, match="crops of 0 to 1"):
        swav([a, b], assign=(0, 2))
    with pytest.raises(UsageError, match="a queue for each"):
        swav([a, b], queue=[a])
