"""OBoW (Gidaris et al., CVPR 2021): the visual words of an image are predicted from views of it."""

from dataclasses import dataclass
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medcl.contrast.core.gather import gather, own_rows, rows_before
from medcl.contrast.core.momentum import rising
from medcl.contrast.losses.obow import obow, visual_words
from medcl.errors import UsageError
from medcl.pretrain.objectives.base import Objective, OneInputConfig, Parts, dim_of
from medcl.pretrain.passes import Seen, Step
from medcl.pretrain.recipe import Recipe
from medcl.pretrain.views import Wanted

_AVERAGED: tuple[Any, ...] = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)


@dataclass(frozen=True)
class OBoWConfig(OneInputConfig):
    """Prediction of the words of whole images from views of them; the words are cells of earlier images.

    Args:
        of: the input, images or volumes.
        copies: views of each sample from which its words are predicted.
        words: in the vocabulary: cells of earlier batches, one of each sample.
        momentum: of the second encoder, where it begins; it rises to 1.
        sharpness: see `medcl.contrast.losses.obow.visual_words`; 15 in the paper, 10 for a ResNet-18.
        scale: of the predictions; 8 in the paper, 5 for a ResNet-18.
        spreading: momentum of the running mean of the distance from the nearest word.
    """

    kind: str = "obow"
    copies: int = 2
    words: int = 512
    momentum: float = 0.99
    sharpness: float = 10.0
    scale: float = 5.0
    spreading: float = 0.99
    chunks: ClassVar[bool] = False
    ranges: ClassVar = {"from 0 to 1": ("momentum", "spreading"), "above 0": ("sharpness", "scale")}

    def check(self, where: str, recipe: Recipe) -> None:
        """Refuse what predicts nothing."""
        super().check(where, recipe)
        if self.copies < 1 or self.words < 2:
            raise UsageError(f"{where}: a view (copies) and two words or more are needed")


class OBoW(Objective):
    """See `OBoWConfig`.

    There is one map of words, that of the dense embedding with its border, where the paper has those of the last two
    blocks without theirs. The second encoder sees the sample as it is.
    """

    Config = OBoWConfig
    config: OBoWConfig
    vocabulary: Tensor
    taken: Tensor
    spread: Tensor

    def __init__(self, config: OBoWConfig, parts: Parts) -> None:
        super().__init__(config, parts)
        self.steps = parts.steps
        dim = dim_of(parts.encoders[config.of])
        # From words to their weights in the prediction, which follow a vocabulary that changes in every step.
        self.weights = nn.Sequential(
            nn.Linear(dim, 2 * dim, bias=False), nn.BatchNorm1d(2 * dim), nn.ReLU(), nn.Linear(2 * dim, dim)
        )
        drawn = torch.randn(config.words, dim).relu()
        self.register_buffer("vocabulary", drawn)
        self.register_buffer("taken", torch.zeros((), dtype=torch.int64))
        self.register_buffer("spread", torch.zeros(()))

    @property
    def follows(self) -> float:  # type: ignore[override]
        """The momentum of this step."""
        return rising(self.config.momentum, int(self.taken), self.steps)

    @property
    def looks(self) -> tuple[tuple[str, Wanted], ...]:
        """Views for predictions, and samples as they are for the words."""
        of = self.config.of
        return (of, Wanted(copies=self.config.copies)), (of, Wanted(copies=0, original=True))

    def forward(self, step: Step) -> dict[str, Tensor]:
        """The loss."""
        config, group = self.config, step.group
        views, whole = (step.see(name, wanted) for name, wanted in self.looks)
        with torch.no_grad():
            cells = whole.followed(0, 1).dense.float()
            spread = self.spread
            if not self.taken:
                # The first distances are the first spread.
                spread = self._over_all(visual_words(cells, self.vocabulary)[1], whole.n, step)
            spread = spread.clamp(min=1e-12)
            words, distance = visual_words(cells, self.vocabulary, sharpness=config.sharpness, spread=spread)
        weights = F.normalize(self.weights(F.normalize(self.vocabulary, dim=1)), dim=1)
        pooled = views.pooled[: config.copies * views.n].float()
        loss = obow((config.scale * pooled @ weights.T).chunk(config.copies), words, group=group)
        if self.training:
            with torch.no_grad():
                self.spread.copy_(spread.lerp(self._over_all(distance, whole.n, step), 1 - config.spreading))
                new = gather(self._drawn(whole, cells, step), group)
                self.vocabulary.copy_(torch.cat([self.vocabulary, new])[-config.words :])
                self.taken += 1
        return {"": loss}

    @staticmethod
    def _over_all(distance: Tensor, count: int, step: Step) -> Tensor:
        """The mean over the samples of all processes."""
        own = torch.stack([distance.nan_to_num() * count, distance.new_tensor(float(count))])
        every = gather(own[None], step.group).sum(dim=0)
        return every[0] / every[1].clamp(min=1)

    @staticmethod
    def _drawn(seen: Seen, cells: Tensor, step: Step) -> Tensor:
        """(n, D), of each sample the mean of the cells around a random one."""
        before, total = rows_before(seen.n, seen.x, step.group)
        share = torch.rand(total, generator=step.generator)[own_rows(seen.n, 1, before, total)]
        if not seen.n:
            return cells.new_zeros(0, cells.shape[2])
        encoder = cast(Any, seen.encoder)
        grid = tuple(encoder.grid(seen.x.shape[2:])) if hasattr(encoder, "grid") else cells.shape[1:2]
        maps = torch.unflatten(cells.mT, 2, grid)
        averaged: Tensor = _AVERAGED[len(grid) - 1](maps, 3, 1, 1, count_include_pad=False).flatten(2)
        place = (share.to(cells.device) * averaged.shape[2]).long()
        return averaged[torch.arange(seen.n, device=cells.device), :, place]
