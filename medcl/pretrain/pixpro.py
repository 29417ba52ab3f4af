"""PixPro (Xie et al., Propagate Yourself, CVPR 2021): the same place looks the same in two views, cell by cell.

Views: two random changes of every patch, whose crops say where a cell lies. Encoder: any image encoder, and its
momentum copy. Levels: the place. Loss: consistency, without negatives.
"""

import math
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from medcl.contrast.core.momentum import momentum_update
from medcl.contrast.losses.pixpro import pixpro, propagate, same_place
from medcl.modality.spatial.encoders import ImageEncoder
from medcl.modality.spatial.views.space import Geometry
from medcl.modality.views import Compose, Params
from medcl.networks.heads import ProjectionHead
from medcl.pretrain.loop import laid_out
from medcl.pretrain.shared_views import draw
from medcl.pretrain.volume_config import DenseConfig


def cell_places(
    views: Compose, params: Params, encoder: ImageEncoder, shape: Sequence[int], batch: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Find the cells of a dense embedding of views in the images that the views were made from.

    Args:
        views: that were applied.
        params: with which.
        encoder: of the dense embedding.
        shape: of the images, in voxels.
        batch: images.
        device: where they are.

    Returns:
        Centres (batch, positions, axes), and the diagonal of a cell (batch,) at the centre of the view, in voxels.
    """
    extent = torch.tensor(shape, dtype=torch.float32, device=device)
    share = encoder.stride / extent
    axes = [(torch.arange(n, device=device) + 0.5) * one for n, one in zip(encoder.grid(shape), share, strict=True)]
    centres = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).flatten(0, -2)
    middle = torch.full((1, len(shape)), 0.5, device=device)
    # A cell's sides are the moves of the centre of the view by one cell along each axis.
    points = torch.cat([centres, middle, middle + torch.diag(share)]).expand(batch, -1, -1)
    for view in views.views:
        if isinstance(view, Geometry):
            prefix = f"{view.name}."
            own = {name.removeprefix(prefix): one for name, one in params.items() if name.startswith(prefix)}
            points = view.source(points, own, shape)
    points = points * extent
    places, corner, moved = torch.tensor_split(points, [len(centres), len(centres) + 1], dim=1)
    return places, (moved - corner).square().sum(dim=(1, 2)).sqrt()


class PixelBranch(nn.Module):
    """An encoder with a projection of its cells."""

    def __init__(self, encoder: ImageEncoder, config: DenseConfig) -> None:
        super().__init__()
        self.encoder = encoder
        self.cells = ProjectionHead(encoder.config.dim, config.hidden, config.projection)

    def forward(self, images: Tensor) -> Tensor:
        """Projected cells (B, S, projection)."""
        cells: Tensor = self.cells(self.encoder(images))
        return cells


class PixPro(nn.Module):
    """The method: a batch in, the loss `pixel` out.

    Args:
        encoder: any image encoder.
        config: momentum, heads, distance.
        views: random changes of a patch.
        steps: of the training, over which the momentum rises to 1.
        shared: the batch is shared by all processes.
    """

    taken: Tensor

    def __init__(
        self, encoder: ImageEncoder, config: DenseConfig, views: Compose, *, steps: int, shared: bool = False
    ) -> None:
        super().__init__()
        self.config, self.views, self.steps, self.shared = config, views, steps, shared
        self.student = PixelBranch(encoder, config)
        self.teacher = deepcopy(self.student).requires_grad_(False)
        self.transform = nn.Linear(config.projection, config.projection)
        self.register_buffer("taken", torch.zeros((), dtype=torch.int64))

    @property
    def encoder(self) -> ImageEncoder:
        """What is trained to be kept."""
        return self.student.encoder

    def forward(self, batch: dict[str, Any], generator: torch.Generator) -> dict[str, Tensor]:
        """The loss, the mean of both directions, from -1 to 1.

        Args:
            batch: `x` (B, C, ...).
            generator: on the CPU; draws the views.
        """
        x, group = batch["x"], dist.group.WORLD if self.shared else None
        params = draw(self.views, x, 2, generator, group)
        images = laid_out(self.views.apply(x.repeat(2, *(1,) * (x.ndim - 1)), params))
        places, diagonals = cell_places(self.views, params, self.encoder, x.shape[2:], 2 * len(x), x.device)
        (of_first, of_second), (first_cell, second_cell) = places.chunk(2), diagonals.chunk(2)
        positive = same_place(of_first, of_second, first_cell, second_cell, within=self.config.within)
        with torch.no_grad():
            momentum_update(self.student, self.teacher, self._momentum())
            first_key, second_key = self.teacher(images).chunk(2)
            self.taken += 1
        cells = self.student(images)
        first, second = propagate(cells, self.transform(cells), sharpness=self.config.sharpness).chunk(2)
        forth = pixpro(first, second_key, positive, group=group)
        back = pixpro(second, first_key, positive.mT, group=group)
        return {"pixel": (forth + back) / 2}

    def _momentum(self) -> float:
        done = min(1.0, int(self.taken) / self.steps)
        return 1 - (1 - self.config.momentum) * (math.cos(math.pi * done) + 1) / 2
