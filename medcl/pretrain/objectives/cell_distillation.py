"""Cells of a small encoder follow those of a larger one that is trained already (after Pixel-wise Distillation)."""

from dataclasses import dataclass
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from medcl.contrast.core.gather import gather, mean
from medcl.contrast.core.momentum import MomentumQueue
from medcl.contrast.losses.dense import dense
from medcl.contrast.pairings.pairs import same
from medcl.errors import UsageError
from medcl.pretrain.objectives.base import Objective, ObjectiveConfig, Parts, dim_of
from medcl.pretrain.passes import Step
from medcl.pretrain.recipe import Recipe
from medcl.pretrain.views import Wanted


@dataclass(frozen=True)
class CellDistillationConfig(ObjectiveConfig):
    """Each cell of the student is told from cells of other samples by the teacher's cell at the same place.

    Pixel-wise Contrastive Distillation (Huang and Guo, ICCV 2023) is known by its abstract: attention over the
    student's map, and attraction of its pixels to the teacher's. Negatives and temperature are as in DenseCL.

    Args:
        of: the input that is trained.
        teacher: an input that is `like` it, with the same stride, `init` and `locked`.
        queue: the teacher's cells of earlier samples that are negatives.
        each: cells of a sample that enter the queue.
        heads: of the attention over the student's cells.
        temperature: of the softmax.
    """

    kind: str = "cell-distillation"
    of: str = ""
    teacher: str = ""
    queue: int = 4096
    each: int = 4
    heads: int = 4
    temperature: float = 0.2
    chunks: ClassVar[bool] = False
    ranges: ClassVar = {"above 0": ("temperature",)}

    @property
    def inputs(self) -> tuple[str, ...]:
        """Student and teacher."""
        return self.of, self.teacher

    def check(self, where: str, recipe: Recipe) -> None:
        """Refuse a teacher that would be trained, or sees something else."""
        super().check(where, recipe)
        teacher = recipe.inputs[self.teacher]
        if teacher.like != self.of or not teacher.locked:
            raise UsageError(
                f"{where}.teacher: inputs.{self.teacher} has to be like {self.of} and locked, so that both see the "
                "same views and only the student is trained"
            )
        if min(self.queue, self.each, self.heads) < 1:
            raise UsageError(f"{where}: queue, each and heads are 1 or more")


class CellDistillation(Objective):
    """See `CellDistillationConfig`."""

    Config = CellDistillationConfig
    config: CellDistillationConfig

    def __init__(self, config: CellDistillationConfig, parts: Parts) -> None:
        super().__init__(config, parts)
        student, teacher = (cast(Any, parts.encoders[name]) for name in config.inputs)
        size = parts.sizes[config.of][1:]
        grids = [tuple(one.grid(size)) for one in (student, teacher)]
        if grids[0] != grids[1]:
            raise UsageError(
                f"objectives.{parts.name}: the student's map has {grids[0]} cells and the teacher's {grids[1]}; choose "
                f"inputs.{config.of}.encoder.stride so that both are the same"
            )
        width = dim_of(student)
        if width % config.heads:
            raise UsageError(
                f"objectives.{parts.name}.heads: {config.heads} do not divide the {width} features of a cell"
            )
        self.attention = nn.MultiheadAttention(width, config.heads, batch_first=True)
        self.output = nn.Linear(width, dim_of(teacher))
        self.queue = MomentumQueue(config.queue, dim_of(teacher), ("row",))

    @property
    def wanted(self) -> dict[str, Wanted]:
        """One view, the same for both."""
        return {name: Wanted(copies=1) for name in self.config.inputs}

    def adapt(self, cells: Tensor) -> Tensor:
        """The student's cells (n, P, width) as they are compared with the teacher's, (n, P, width of the teacher)."""
        if not len(cells):
            return cast(Tensor, self.output(cells))
        attended, _ = self.attention(cells, cells, cells, need_weights=False)
        return cast(Tensor, self.output(cells + attended))

    def forward(self, step: Step) -> dict[str, Tensor]:
        """The loss."""
        config = self.config
        student, teacher = (step.see(name, self.wanted[name]) for name in config.inputs)
        with torch.no_grad():
            targets = teacher.dense[: teacher.n].float()
            drawn = torch.randint(targets.shape[1], (config.each,), generator=step.generator).to(targets.device)
            rows = student.ids["row"]
            new = gather(targets[:, drawn].flatten(0, 1), step.group)
            ids = gather(rows.repeat_interleave(config.each), step.group)
        negatives, own = self.queue.extend(new, {"row": ids})
        cells = self.adapt(student.dense[: student.n].float())
        places = torch.arange(cells.shape[1], device=cells.device).expand(len(cells), -1)
        loss = dense(cells, targets, places, negatives, pairing=same(rows, own["row"]), temperature=config.temperature)
        if self.training:
            # Every process holds the queue of all, so that none may gather it again.
            self.queue.enqueue(new, {"row": ids})
        count = loss.new_tensor(float(student.n))
        return {"": mean(loss * count, count, step.group)}
