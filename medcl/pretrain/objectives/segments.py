"""Segments of the foreground, contrasted between two views (after FAC, Liu et al., CVPR 2023)."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from medcl.contrast.core.gather import rows_before
from medcl.contrast.losses.info_nce import info_nce
from medcl.contrast.pairings.pairs import same
from medcl.errors import UsageError
from medcl.modality.spatial.segments import foreground, intensities, segments
from medcl.modality.spatial.views.cells import cell_places
from medcl.pretrain.objectives.base import HeadConfig, Objective, OneInputConfig, Parts, dim_of, projection
from medcl.pretrain.objectives.pixpro import check_places
from medcl.pretrain.passes import Seen, Step
from medcl.pretrain.recipe import Recipe


@dataclass(frozen=True)
class SegmentsConfig(OneInputConfig):
    """A segment is told in the other view from all other segments, of its image and of others.

    The grouping loss and the correspondence network of FAC are not published in code: what is taken is its idea, that
    anchors are segments of the foreground, and that the background only serves as negatives.

    Args:
        of: the input, images or volumes; the crops of its views say where a cell lies.
        count: about how many segments an image is divided into, at the resolution of the dense embedding.
        compactness: see `medcl.modality.spatial.segments.segments`.
        foreground: whether only segments of the foreground, brighter than the rest of their image, are anchors.
        temperature: of the softmax.
        head: projection of a cell.
    """

    kind: str = "segments"
    count: int = 16
    compactness: float = 1.0
    foreground: bool = True
    temperature: float = 0.1
    head: HeadConfig = field(default_factory=HeadConfig)
    chunks: ClassVar[bool] = False
    ranges: ClassVar = {"above 0": ("compactness", "temperature")}

    def check(self, where: str, recipe: Recipe) -> None:
        """Refuse views that do not say where a cell lies, and what is no division."""
        super().check(where, recipe)
        check_places(where, recipe.inputs[self.of].views)
        if self.count < 2:
            raise UsageError(f"{where}.count: {self.count}; two segments or more are needed")


class Segments(Objective):
    """See `SegmentsConfig`."""

    Config = SegmentsConfig
    config: SegmentsConfig

    def __init__(self, config: SegmentsConfig, parts: Parts) -> None:
        super().__init__(config, parts)
        self.head = projection(config.head, dim_of(parts.encoders[config.of]))

    def forward(self, step: Step) -> dict[str, Tensor]:
        """The mean of both directions."""
        config = self.config
        seen = step.see(config.of, self.wanted[config.of])
        cells = seen.project(self.head, 2, "dense").float()
        before, _ = rows_before(seen.n, seen.x, step.group)
        if seen.n:
            label, front = self._divided(seen)
            number = label.shape[3]
            # (2, n, K, D), the mean of the cells of a segment in a view; K segments, of which a view may lack some.
            means = torch.unflatten(label.flatten(0, 1).mT @ cells, 0, (2, -1))
            count = label.sum(dim=2)
            means, there = means / count.clamp(min=1)[..., None], count > 0
            ids = torch.arange(seen.n * number, device=cells.device).view(seen.n, number) + (before << 20)
            anchor = there.all(dim=0) & front
        else:
            means, ids = cells.reshape(2, 0, 1, -1), cells.new_zeros(0, 1, dtype=torch.int64)
            there, anchor = ids.expand(2, 0, 1) > 0, ids > 0
        losses = [
            info_nce(
                means[one][anchor],
                means[1 - one][there[1 - one]],
                same(ids[anchor], ids[there[1 - one]]),
                temperature=config.temperature,
                group=step.group,
            )
            for one in (0, 1)
        ]
        return {"": torch.stack(losses).mean()}

    def _divided(self, seen: Seen) -> tuple[Tensor, Tensor]:
        """(2, n, P, K) which segment a cell of a view lies in, none where it left the image; (n, K) foreground."""
        config, drawn, encoder = self.config, seen.drawn, cast(Any, seen.encoder)
        size = drawn.source.shape[2:]
        grid = encoder.grid(size)
        values = intensities(drawn.source, grid)
        label = segments(values, grid, config.count, config.compactness)
        number = int(label.max()) + 1
        own = F.one_hot(label, number).float()
        front = foreground(values).float()
        share = (own * front[..., None]).sum(dim=1) / own.sum(dim=1).clamp(min=1)
        places, _ = cell_places(drawn.views, drawn.params, encoder, size, 2 * seen.n, seen.x.device)
        extent = torch.tensor(size, device=seen.x.device)
        inside = ((places >= 0) & (places < extent)).all(dim=2)
        at = (places * torch.tensor(grid, device=seen.x.device) / extent).long()
        flat = at.new_zeros(at.shape[:2])
        for axis, length in enumerate(grid):
            flat = flat * length + at[..., axis].clamp(0, length - 1)
        found = own.repeat(2, 1, 1).gather(1, flat[..., None].expand(-1, -1, number)) * inside[..., None]
        return torch.unflatten(found, 0, (2, -1)), (share > 0.5) if config.foreground else own.any(dim=1)
