"""SlotCon against loops over images, cells and prototypes, in float64."""

import pytest
import torch
from torch import Tensor

from medcl.contrast.losses.slotcon import Grouping, centre_of, grouped, slotcon
from medcl.errors import UsageError
from tests.contrast.compare import assert_same, draw
from tests.contrast.processes import across

N, S, R, K, D = 3, 4, 5, 6, 3


def cosine(a: Tensor, b: Tensor) -> Tensor:
    return a @ b / (a.norm() * b.norm())


def softmax(scores: list[Tensor]) -> list[Tensor]:
    total = sum(torch.exp(one) for one in scores)
    return [torch.exp(one) / total for one in scores]


def slots_of(cells: Tensor, prototypes: Tensor, tau: float) -> tuple[list[Tensor], list[list[Tensor]], set[int]]:
    """Of one image its slots, the scores of its cells, and the prototypes that are nearest to a cell."""
    scores = [[cosine(cell, prototype) for prototype in prototypes] for cell in cells]
    shares = [softmax([score / tau for score in row]) for row in scores]
    found = []
    for k in range(len(prototypes)):
        above = sum(shares[i][k] * cells[i] for i in range(len(cells)))
        found.append(above / sum(row[k] for row in shares))
    nearest = {max(range(len(prototypes)), key=lambda k, row=row: row[k].item()) for row in scores}
    return found, scores, nearest


def loops(
    cells: Tensor,
    others: Tensor,
    prototypes: Tensor,
    positive: Tensor,
    *,
    centre: Tensor | None = None,
    weight: float = 0.5,
    sharpness: tuple[float, float] = (0.1, 0.07),
    temperature: float = 0.2,
    tau: float = 0.07,
) -> Tensor:
    centre = torch.zeros(len(prototypes), dtype=torch.float64) if centre is None else centre
    students = [slots_of(one, prototypes, tau) for one in cells]
    teachers = [slots_of(one, prototypes, tau) for one in others]
    grouping = []
    for n, (student, teacher) in enumerate(zip(students, teachers, strict=True)):
        costs = []
        for i in range(cells.shape[1]):
            for j in range(others.shape[1]):
                if positive[n, i, j]:
                    q = softmax([s / sharpness[0] for s in student[1][i]])
                    p = softmax([(s - c) / sharpness[1] for s, c in zip(teacher[1][j], centre, strict=True)])
                    costs.append(-sum(a * torch.log(b) for a, b in zip(p, q, strict=True)))
        if costs:
            grouping.append(sum(costs) / len(costs))
    contrast = []
    for n, student in enumerate(students):
        for k in sorted(student[2] & teachers[n][2]):
            below = sum(
                torch.exp(cosine(student[0][k], other[0][m]) / temperature) for other in teachers for m in other[2]
            )
            contrast.append(-torch.log(torch.exp(cosine(student[0][k], teachers[n][0][k]) / temperature) / below))
    of_groups = sum(grouping) / len(grouping) if grouping else 0 * cells.sum()
    of_slots = sum(contrast) / len(contrast) if contrast else 0 * cells.sum()
    return weight * of_groups + (1 - weight) * 2 * temperature * of_slots


PLACES = draw(N, S, R, seed=9) > 0.3


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("tau", [0.07, 0.5])
def test_the_loss_and_its_gradient_equal_the_loops(weight: float, tau: float) -> None:
    places = PLACES.clone()
    places[1] = False
    options = {"centre": draw(K, seed=5, scale=0.1), "weight": weight, "sharpness": (0.3, 0.2), "temperature": 0.4}

    def found(cells: Tensor, others: Tensor, prototypes: Tensor) -> Tensor:
        student, teacher = (grouped(one, prototypes, temperature=tau) for one in (cells, others))
        return slotcon(student, teacher, places, **{**options, "centre": options["centre"].to(cells.dtype)})

    def expected(cells: Tensor, others: Tensor, prototypes: Tensor) -> Tensor:
        return loops(cells, others, prototypes, places, tau=tau, **options)

    assert_same(found, expected, draw(N, S, D), draw(N, R, D, seed=1), draw(K, D, seed=2), single=1e-4)


def test_slots_are_means_of_cells_weighed_by_their_share() -> None:
    cells, prototypes = draw(N, S, D), draw(K, D, seed=2)
    found = grouped(cells, prototypes, temperature=0.3)
    for n in range(N):
        slots, scores, nearest = slots_of(cells[n], prototypes, 0.3)
        torch.testing.assert_close(found.slots[n], torch.stack(slots))
        torch.testing.assert_close(found.scores[n], torch.stack([torch.stack(row) for row in scores]))
        assert set(found.present[n].nonzero().flatten().tolist()) == nearest


def test_a_prototype_that_no_cell_is_near_has_a_slot_of_its_nearest_ones() -> None:
    cells = torch.tensor([[[1.0, 0.0], [0.9, 0.1]]])
    far = grouped(cells, torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), temperature=0.001)
    assert torch.isfinite(far.slots).all()
    torch.testing.assert_close(far.slots[0, 1], cells[0, 1])


def test_the_centre_keeps_one_prototype_from_taking_all_cells() -> None:
    scores = torch.full((1, 2, 3), 0.2)
    scores[:, :, 0] = 0.9
    teacher = Grouping(torch.ones(1, 3, 2), scores + torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.1, 0.0]]))
    places = torch.eye(2, dtype=torch.bool)[None]
    one_for_all = Grouping(torch.ones(1, 3, 2), 10 * all_of(0, 2, 3))
    apart = Grouping(torch.ones(1, 3, 2), 10 * torch.stack([all_of(0, 1, 3), all_of(1, 1, 3)], 1).flatten(1, 2))
    centre = centre_of(teacher.scores)
    torch.testing.assert_close(centre, teacher.scores.mean(dim=(0, 1)))
    assert slotcon(one_for_all, teacher, places, weight=1.0) < slotcon(apart, teacher, places, weight=1.0)
    options = {"weight": 1.0, "centre": centre}
    assert slotcon(one_for_all, teacher, places, **options) > slotcon(apart, teacher, places, **options)


def all_of(k: int, cells: int, prototypes: int) -> Tensor:
    return torch.nn.functional.one_hot(torch.full((1, cells), k), prototypes).float()


def centre_of_a_process(rank: int, group: object, parts: list[int]) -> Tensor:
    start = sum(parts[:rank])
    return centre_of(draw(7, S, K)[start : start + parts[rank]], group)


def test_the_centre_is_that_of_the_cells_of_all_processes() -> None:
    for found in across(3, centre_of_a_process, [5, 0, 2]):
        torch.testing.assert_close(found, draw(7, S, K).mean(dim=(0, 1)))


def test_what_does_not_fit_is_refused() -> None:
    cells, prototypes = draw(N, S, D), draw(K, D)
    one = grouped(cells, prototypes)
    places = torch.ones(N, S, S, dtype=torch.bool)
    with pytest.raises(UsageError, match="grouped around prototypes"):
        grouped(cells, prototypes[:, :2])
    for wrong in ({"temperature": 0.0}, {"sharpness": (0.1, 0.0)}):
        with pytest.raises(UsageError, match="temperature must be above 0"):
            slotcon(one, one, places, **wrong)
    with pytest.raises(UsageError, match="temperature must be above 0"):
        grouped(cells, prototypes, temperature=0.0)
    with pytest.raises(UsageError, match="pairs must be bool"):
        slotcon(one, one, places.float())
    with pytest.raises(UsageError, match="from 0 to 1"):
        slotcon(one, one, places, weight=2.0)
    with pytest.raises(UsageError, match="one shape"):
        slotcon(one, grouped(cells, prototypes[:2]), places)
