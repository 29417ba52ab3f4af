from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

from medcl.contrast.core.momentum import MomentumQueue, momentum_update
from medcl.contrast.losses.info_nce import info_nce
from medcl.contrast.pairings.pairs import same
from medcl.errors import UsageError
from tests.contrast.compare import draw
from tests.contrast.processes import across


def rows(*numbers: int) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float32)[:, None].expand(-1, 2).clone()


def held(queue: MomentumQueue) -> list[int]:
    candidates, ids = queue.extend(rows(), torch.tensor([], dtype=torch.int64))
    assert candidates[:, 0].tolist() == ids["id"].tolist()
    return sorted(ids["id"].tolist())


@pytest.mark.parametrize("sizes", [[1] * 9, [3, 2, 4], [5, 4], [4, 0, 3, 2], [9], [2, 11], [13]])
def test_it_holds_the_last_embeddings_whatever_the_batches(sizes: list[int]) -> None:
    queue, written = MomentumQueue(5, 2), 0
    assert held(queue) == []
    for size in sizes:
        batch = range(written, written + size)
        queue.enqueue(rows(*batch), torch.tensor(batch, dtype=torch.int64))
        written += size
        assert held(queue) == list(range(max(0, written - 5), written))
        assert len(queue) == min(5, written)


def test_places_that_are_empty_are_no_candidates() -> None:
    queue, a, b, ids = MomentumQueue(100, 3), draw(4, 3), draw(4, 3, seed=1), torch.tensor([1, 2, 3, 3])
    candidates, extended = queue.extend(b, ids)
    assert torch.equal(info_nce(a, candidates, same(ids, extended["id"])), info_nce(a, b, same(ids)))


def test_held_embeddings_are_positives_of_their_level_and_negatives_of_others() -> None:
    queue = MomentumQueue(3, 3, ("patient", "sample"), dtype=torch.float64)
    old, patients, samples = draw(2, 3), torch.tensor([2**62, 5]), torch.tensor([0, 1])
    queue.enqueue(old, {"sample": samples, "patient": patients})
    a, b, now = draw(2, 3, seed=1), draw(2, 3, seed=2).requires_grad_(), torch.tensor([5, 8])
    candidates, ids = queue.extend(b, {"patient": now, "sample": torch.tensor([2, 3])})
    assert list(ids) == ["patient", "sample"]
    assert ids["patient"].tolist() == [5, 8, 2**62, 5]
    loss = info_nce(a, candidates, same(now, ids["patient"]))
    by_hand = torch.tensor([[True, False, False, True], [False, True, False, False]])
    torch.testing.assert_close(loss, info_nce(a, torch.cat([b, old]), by_hand))
    # A later batch changes the queue, not the graph.
    queue.enqueue(draw(3, 3, seed=3), {"patient": samples.repeat(2)[:3], "sample": samples.repeat(2)[:3]})
    loss.backward()
    assert b.grad.abs().sum() > 0


def test_what_is_held_has_no_derivative() -> None:
    queue, z = MomentumQueue(4, 2), draw(2, 2).float().requires_grad_()
    queue.enqueue(z * 2, torch.tensor([0, 1]))
    assert not queue.extend(rows(), torch.tensor([], dtype=torch.int64))[0].requires_grad


def test_it_resumes_where_it_was() -> None:
    queue = MomentumQueue(4, 2)
    queue.enqueue(rows(*range(6)), torch.arange(6))
    resumed = MomentumQueue(4, 2)
    resumed.load_state_dict(queue.state_dict())
    for one in (queue, resumed):
        one.enqueue(rows(6), torch.tensor([6]))
    assert held(resumed) == held(queue) == [3, 4, 5, 6]
    assert torch.equal(resumed.embeddings, queue.embeddings)


def of_a_process(rank: int, group: object) -> list[list[int]]:
    queue, found = MomentumQueue(5, 2), []
    for batches in ([[0], [1, 2]], [[], [3]], [[4, 5, 6, 7], [8]]):
        queue.enqueue(rows(*batches[rank]), torch.tensor(batches[rank], dtype=torch.int64), group)
        found.append(queue.ids_id.tolist() + held(queue))
    return found


def test_all_processes_hold_the_batches_of_all() -> None:
    first, second = across(2, of_a_process)
    assert first == second
    assert [found[5:] for found in first] == [[0, 1, 2], [0, 1, 2, 3], [4, 5, 6, 7, 8]]


def test_the_teacher_follows_slowly_and_takes_the_statistics_over() -> None:
    student = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    teacher = deepcopy(student).requires_grad_(False)
    before = [x.clone() for x in teacher.parameters()]
    with torch.no_grad():
        for x in student.parameters():
            x += 1
    student(draw(4, 2).float())
    momentum_update(student, teacher, 0.9)
    for old, new in zip(before, teacher.parameters(), strict=True):
        torch.testing.assert_close(new, old + 0.1)
    for own, of_teacher in zip(student.buffers(), teacher.buffers(), strict=True):
        assert torch.equal(own, of_teacher)
    momentum_update(student, teacher, 0.0)
    assert all(torch.equal(x, y) for x, y in zip(student.parameters(), teacher.parameters(), strict=True))


def test_what_does_not_fit_is_refused() -> None:
    queue = MomentumQueue(4, 2, ("patient",))
    with pytest.raises(UsageError, match="different levels"):
        MomentumQueue(4, 2, ("id", "id"))
    with pytest.raises(UsageError, match="holds ids of"):
        queue.enqueue(rows(1), {"sample": torch.tensor([1])})
    with pytest.raises(UsageError, match=r"\(n, 2\)"):
        queue.enqueue(torch.zeros(1, 3), torch.tensor([1]))
    with pytest.raises(TypeError, match="int64"):
        queue.extend(rows(1), torch.tensor([1.0]))
    with pytest.raises(UsageError, match=r"\(1,\)"):
        queue.extend(rows(1), torch.tensor([1, 2]))
    with pytest.raises(UsageError, match="from 0 to 1"):
        momentum_update(nn.Linear(1, 1), nn.Linear(1, 1), 1.5)
    with pytest.raises(UsageError, match="parameters"):
        momentum_update(nn.Linear(1, 1), nn.Linear(1, 2), 0.5)


def test_a_query_is_contrasted_with_its_own_key_and_what_is_held_but_no_other_key_of_the_batch():
    queue = MomentumQueue(5, 2)
    queue.enqueue(torch.eye(2), torch.tensor([7, 8]))

    pairs = queue.own_key(torch.zeros(3, 2)).pairs()

    assert pairs.positive.tolist() == [[i == j for j in range(5)] for i in range(3)]
    assert pairs.candidate.tolist() == [[i == j or j > 2 for j in range(5)] for i in range(3)]
