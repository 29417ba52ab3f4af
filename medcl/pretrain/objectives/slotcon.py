"""SlotCon (Wen et al., NeurIPS 2022): cells are grouped around prototypes alike in two views, and slots contrasted."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from medcl.contrast.core.momentum import momentum_update
from medcl.contrast.losses.slotcon import centre_of, grouped, slotcon
from medcl.errors import UsageError
from medcl.networks.heads import Perceptron
from medcl.pretrain.objectives.base import OneInputConfig, Parts, dim_of, follower
from medcl.pretrain.objectives.pixpro import Places, check_places
from medcl.pretrain.passes import Step
from medcl.pretrain.recipe import Recipe


@dataclass(frozen=True)
class SlotConConfig(OneInputConfig):
    """Grouping of the cells of two views by learned prototypes, and contrast of the groups.

    Args:
        of: the input, images or volumes; the crops of its views say where a cell lies.
        prototypes: number of them.
        momentum: of the second networks, where it begins; it rises to 1.
        hidden: width of the hidden layers of projector and predictor.
        projection: width of cells, prototypes and slots.
        grouping: temperature by which cells become slots.
        student: temperature of the trained networks' division among prototypes.
        teacher: temperature of that of the second networks.
        centring: momentum of the running mean that is taken from the second networks' scores.
        share: of the grouping in the loss; the rest is that of the slots.
        temperature: of the contrast of slots.
        within: largest distance between two cells of two views that show the same thing, in diagonals of a cell.
    """

    kind: str = "slotcon"
    prototypes: int = 256
    momentum: float = 0.99
    hidden: int = 256
    projection: int = 128
    grouping: float = 0.07
    student: float = 0.1
    teacher: float = 0.07
    centring: float = 0.9
    share: float = 0.5
    temperature: float = 0.2
    within: float = 0.7
    chunks: ClassVar[bool] = False
    ranges: ClassVar = {
        "from 0 to 1": ("momentum", "centring", "share"),
        "above 0": ("grouping", "student", "teacher", "temperature", "within"),
    }

    def check(self, where: str, recipe: Recipe) -> None:
        """Refuse settings out of their range."""
        super().check(where, recipe)
        if self.prototypes < 2:
            raise UsageError(f"{where}.prototypes: {self.prototypes}; two or more are needed")
        check_places(where, recipe.inputs[self.of].views)


class SlotCon(Places):
    """See `SlotConConfig`.

    The paper brings the scores of both views to one grid by RoI-align of the overlap of their crops; here the cells
    that show the same place are paired, as in PixPro, which also holds for turned, sheared and deformed views and in
    three dimensions. Batch normalisation of projector and predictor is that of a process, as the encoders' is.
    """

    Config = SlotConConfig
    config: SlotConConfig
    centre: Tensor
    prototype_keys: nn.Linear

    def __init__(self, config: SlotConConfig, parts: Parts) -> None:
        super().__init__(config, parts)
        width = config.projection
        self.cells = Perceptron(dim_of(parts.encoders[config.of]), config.hidden, width, 3)
        self.predictor = Perceptron(width, config.hidden, width, 2)
        self.prototypes = nn.Linear(width, config.prototypes, bias=False)
        self.cell_keys = follower(self.cells)
        self.prototype_keys = cast(nn.Linear, follower(self.prototypes))
        self.register_buffer("centre", torch.zeros(config.prototypes))

    def forward(self, step: Step) -> dict[str, Tensor]:
        """The sum of both directions."""
        config = self.config
        seen = step.see(config.of, self.wanted[config.of])
        positive = self.same_place(seen)
        with torch.no_grad():
            if self.training:
                momentum_update(self.cells, self.cell_keys, self.follows)
                momentum_update(self.prototypes, self.prototype_keys, self.follows)
            keys = self.cell_keys(seen.followed(0, 2).dense)
            teacher = grouped(keys, self.prototype_keys.weight, temperature=config.grouping)
        cells = seen.project(self.cells, 2, "dense")
        student = grouped(cells, self.prototypes.weight, temperature=config.grouping)
        # A process without a sample has a map of one cell.
        positive = positive[:, : cells.shape[1], : cells.shape[1]]
        student = replace(student, slots=self.predictor(student.slots))
        options: dict[str, Any] = {
            "centre": self.centre.clone(),
            "weight": config.share,
            "sharpness": (config.student, config.teacher),
            "temperature": config.temperature,
            "group": step.group,
        }
        (first, second), (first_key, second_key) = student.halves(), teacher.halves()
        loss = slotcon(first, second_key, positive, **options) + slotcon(second, first_key, positive.mT, **options)
        if self.training:
            self.centre.lerp_(centre_of(teacher.scores, step.group), 1 - config.centring)
            self.taken += 1
        return {"": loss}
