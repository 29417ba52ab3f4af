"""Distillation of cells: a small encoder finds the teacher's cell at each place."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from medcl.errors import UsageError
from medcl.modality.spatial import encoders
from medcl.modality.spatial.config import ImageEncoderConfig
from medcl.networks.heads import ProjectionHead
from medcl.pretrain.check import check
from medcl.pretrain.objectives.base import Parts
from medcl.pretrain.objectives.cell_distillation import CellDistillation, CellDistillationConfig
from medcl.pretrain.passes import Seen, Step
from medcl.pretrain.reading import read
from medcl.pretrain.views import draw_views

SIDE = 16
CONFIG = CellDistillationConfig(of="image", teacher="teacher", queue=64, heads=2)


def images(count: int, generator: torch.Generator) -> Tensor:
    """Smooth random images (N, 1, x, y)."""
    return F.interpolate(torch.randn(count, 1, 8, 8, generator=generator), size=SIDE, mode="bilinear")


def networks(stride: int = 4) -> tuple[Any, Any]:
    """A student, and a teacher of twice the widths."""
    torch.manual_seed(0)
    student = ImageEncoderConfig(name="unet", widths=(8, 16, 16), stride=stride, dim=16, norm="group")
    teacher = ImageEncoderConfig(name="unet", widths=(16, 32, 32), stride=4, dim=24, norm="group")
    return encoders.build(student, 1), encoders.build(teacher, 1).requires_grad_(False).eval()


def objective_of(student: Any, teacher: Any) -> CellDistillation:
    both, sizes = {"image": student, "teacher": teacher}, dict.fromkeys(("image", "teacher"), (1, SIDE, SIDE))
    recipe: Any = None
    return CellDistillation(CONFIG, Parts("cells", both, sizes, recipe, {}, 10, 8, ()))


def step_of(x: Tensor, first: int, student: Any, teacher: Any, objective: CellDistillation) -> Step:
    ids = {"row": torch.arange(len(x)) + first}
    seen = {}
    for name, network in (("image", student), ("teacher", teacher)):
        wanted = objective.wanted[name]
        drawn = draw_views(x, None, wanted, torch.Generator(), None)
        seen[name, wanted.key] = Seen(drawn, 1, network, ids)
    return Step(seen, ids, {}, torch.Generator().manual_seed(first), None)


@pytest.mark.acceptance
def test_the_student_finds_the_teachers_cell_at_each_place_of_new_images() -> None:
    student, teacher = networks()
    objective, generator = objective_of(student, teacher), torch.Generator().manual_seed(0)
    optimiser = torch.optim.AdamW([*student.parameters(), *objective.parameters()], 5e-3)

    def matched(x: Tensor) -> float:
        with torch.no_grad():
            cells, targets = (F.normalize(z, dim=2) for z in (objective.adapt(student(x)), teacher(x)))
        found = (cells @ targets.mT).argmax(dim=2)
        return (found == torch.arange(found.shape[1])).float().mean().item()

    new = images(40, torch.Generator().manual_seed(9))
    before = matched(new)
    for number in range(200):
        loss = objective(step_of(images(16, generator), 16 * number, student, teacher, objective))[""]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    after = matched(new)
    print(f"cells matched: {before:.3f} before, {after:.3f} after")
    assert before < 0.3
    assert after >= 0.8


def test_a_head_of_a_constant_map_is_the_head_of_its_mean() -> None:
    head, z = ProjectionHead(6, 8, 4), torch.randn(3, 1, 6)
    torch.testing.assert_close(head(z.expand(3, 5, 6)), head(z.mean(dim=1))[:, None].expand(3, 5, 4))


def test_gradients_reach_the_student_alone_and_the_queue_takes_cells_of_each_sample() -> None:
    student, teacher = networks()
    objective = objective_of(student, teacher)
    x = images(5, torch.Generator().manual_seed(0))
    objective(step_of(x, 0, student, teacher, objective))[""].backward()
    assert all(one.grad is not None and one.grad.any() for one in student.parameters())
    assert all(one.grad is None for one in teacher.parameters())
    assert len(objective.queue) == 5 * CONFIG.each
    every = teacher(x).flatten(0, 1)
    assert (objective.queue.embeddings[:20, None] - every).abs().amax(dim=2).amin(dim=1).max() < 1e-5


def test_maps_of_different_sizes_are_refused() -> None:
    with pytest.raises(UsageError, match=r"\(8, 8\) cells and the teacher's \(4, 4\)"):
        objective_of(*networks(stride=2))


def test_a_teacher_that_would_be_trained_is_refused() -> None:
    objective = {"kind": "cell-distillation", "of": "image", "teacher": "other"}
    inputs = {"image": {}, "other": {"modality": "image", "like": "image"}}
    with pytest.raises(UsageError, match="like image and locked"):
        check(read({"inputs": inputs, "objectives": {"cells": objective}}))
