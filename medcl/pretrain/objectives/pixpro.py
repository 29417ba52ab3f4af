"""PixPro (Xie et al., Propagate Yourself, CVPR 2021): the same place looks the same in two views, cell by cell."""

from dataclasses import dataclass
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from medcl.contrast.core.momentum import momentum_update, rising
from medcl.contrast.losses.pixpro import pixpro, propagate, same_place
from medcl.errors import UsageError
from medcl.modality.own_config import OwnViewsConfig
from medcl.modality.spatial.views.cells import cell_places
from medcl.networks.heads import ProjectionHead
from medcl.pretrain.objectives.base import Objective, OneInputConfig, Parts, dim_of, follower
from medcl.pretrain.passes import Seen, Step
from medcl.pretrain.recipe import Recipe


@dataclass(frozen=True)
class PixProConfig(OneInputConfig):
    """Consistency of the cells of two views that show the same place, without negatives.

    Args:
        of: the input, images or volumes; the crops of its views say where a cell lies.
        momentum: of the second encoder, where it begins; it rises to 1.
        hidden: width of the hidden layer of the projection head.
        projection: width of what is compared.
        within: largest distance between two cells of two views that show the same thing, in diagonals of a cell.
        sharpness: exponent of the similarity, by which cells of one view are averaged.
    """

    kind: str = "pixpro"
    momentum: float = 0.99
    hidden: int = 256
    projection: int = 128
    within: float = 0.7
    sharpness: float = 2.0
    chunks: ClassVar[bool] = False
    ranges: ClassVar = {"from 0 to 1": ("momentum",)}

    def check(self, where: str, recipe: Recipe) -> None:
        """Refuse views that do not say where a cell lies."""
        super().check(where, recipe)
        check_places(where, recipe.inputs[self.of].views)


def check_places(where: str, views: Any) -> None:
    """Refuse views that do not say where a cell lies.

    Raises:
        UsageError: they may move pixels, and are none of ours.
    """
    if isinstance(views, OwnViewsConfig) and not views.in_place:
        raise UsageError(
            f"{where}: it compares cells that show the same place, and views of your own do not say where they move a "
            "cell; set in_place: true beside them if they leave every pixel in its place"
        )


class Places(Objective):
    """What compares cells of two views that show the same place, with a second encoder whose momentum rises to 1."""

    taken: Tensor

    def __init__(self, config: Any, parts: Parts) -> None:
        super().__init__(config, parts)
        self.steps = parts.steps
        self.register_buffer("taken", torch.zeros((), dtype=torch.int64))

    @property
    def follows(self) -> float:  # type: ignore[override]
        """The momentum of this step."""
        return rising(self.config.momentum, int(self.taken), self.steps)

    def same_place(self, seen: Seen) -> Tensor:
        """(n, P, P) bool, which cells of first and second views show the same place."""
        drawn, encoder = seen.drawn, cast(Any, seen.encoder)
        found = cell_places(drawn.views, drawn.params, encoder, drawn.source.shape[2:], 2 * seen.n, seen.x.device)
        places, diagonals = (one.chunk(2) for one in found)
        return same_place(*places, *diagonals, within=self.config.within)


class PixPro(Places):
    """See `PixProConfig`."""

    Config = PixProConfig
    config: PixProConfig

    def __init__(self, config: PixProConfig, parts: Parts) -> None:
        super().__init__(config, parts)
        self.cells = ProjectionHead(dim_of(parts.encoders[config.of]), config.hidden, config.projection)
        self.cell_keys = follower(self.cells)
        self.transform = nn.Linear(config.projection, config.projection)

    def forward(self, step: Step) -> dict[str, Tensor]:
        """The mean of both directions, from -1 to 1."""
        config = self.config
        seen = step.see(config.of, self.wanted[config.of])
        positive = self.same_place(seen)
        with torch.no_grad():
            if self.training:
                momentum_update(self.cells, self.cell_keys, self.follows)
            first_key, second_key = self.cell_keys(seen.followed(0, 2).dense).chunk(2)
            self.taken += self.training
        cells = seen.project(self.cells, 2, "dense")
        first, second = propagate(cells, self.transform(cells), sharpness=config.sharpness).chunk(2)
        forth = pixpro(first, second_key, positive, group=step.group)
        back = pixpro(second, first_key, positive.mT, group=step.group)
        return {"": (forth + back) / 2}
