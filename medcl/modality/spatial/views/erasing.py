"""Views that take content away: boxes cut out, boxes of noise to be inpainted, pixels shuffled where they are.

The last two are those of Models Genesis (Zhou et al., Medical Image Analysis 2021).
"""

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from medcl.errors import UsageError
from medcl.modality.spatial.views.space import between, sometimes, spatial
from medcl.modality.views import Params, Range, View, check_interval, check_range, uniform


def in_boxes(x: Tensor, params: Params) -> Tensor:
    """Mark the voxels whose centre lies in one of the boxes.

    Args:
        x: (B, C, *space), of which only the shape and the device count.
        params: `start` and `size` (B, N, D) of the boxes, as shares of the image.

    Returns:
        (B, 1, *space) bool.
    """
    batch, count, dimensions = params["start"].shape
    inside = torch.ones((1,) * (2 + dimensions), dtype=torch.bool, device=x.device)
    for axis, length in enumerate(spatial(x)):
        centre = (torch.arange(length, device=x.device) + 0.5) / length
        past = centre - params["start"][..., axis, None]
        within = (past >= 0) & (past < params["size"][..., axis, None])
        between_axes = [1] * dimensions
        between_axes[axis] = length
        inside = inside & within.reshape(batch, count, *between_axes)
    return inside.any(dim=1, keepdim=True)


@dataclass(frozen=True)
class Boxes(View):
    """What the views of boxes share: how many there are and how large.

    Args:
        count: boxes of each sample; they may overlap.
        side: range of the share of each side of the image, one draw for each side of each box.
        probability: of each box.

    Raises:
        UsageError: when a setting is out of its range.
    """

    count: int = 1
    side: Range = (0.1, 0.3)
    probability: float = 1.0

    def __post_init__(self) -> None:
        if self.count < 1:
            raise UsageError(f"{self.name} needs at least one box, got {self.count}")
        check_interval(f"{self.name} side", self.side, 0, 1)
        check_range(f"{self.name} probability", self.probability, 0, 1)

    def draw(self, x: Tensor, generator: torch.Generator) -> Params:
        """Draw the `start` and the `size` (B, N, D) of the boxes, as shares of the image; 0 where there is none."""
        shape = x.shape[0], self.count, len(spatial(x))
        on = uniform(x, *shape[:2], 1, generator=generator) < self.probability
        size = torch.where(on, between(x, self.side, *shape, generator=generator), 0.0)
        return {"start": (1 - size) * uniform(x, *shape, generator=generator), "size": size}

    @abstractmethod
    def apply(self, x: Tensor, params: Params) -> Tensor:
        """Fill the boxes."""


@dataclass(frozen=True)
class Cutout(Boxes):
    """Fills random boxes with one value (DeVries and Taylor 2017), the same boxes in all channels.

    Args:
        count: boxes of each sample; they may overlap.
        side: range of the share of each side of the image, one draw for each side of each box.
        probability: of each box.
        value: in units of the image; air, for example, or the mean.
    """

    name: ClassVar[str] = "cutout"
    value: float = 0.0

    def apply(self, x: Tensor, params: Params) -> Tensor:
        """Fill the boxes with the value."""
        return x.masked_fill(in_boxes(x, params), self.value)


@dataclass(frozen=True)
class Inpainting(Boxes):
    """Fills random boxes with uniform white noise, for an encoder to see through or a decoder to paint in.

    Models Genesis: up to 5 boxes of a sixth to a third of each side, each with a probability of 0.95, in images scaled
    to [0, 1].

    Args:
        count: boxes of each sample; they may overlap.
        side: range of the share of each side of the image, one draw for each side of each box.
        probability: of each box.
        window: range of the noise, in units of the image.
    """

    name: ClassVar[str] = "inpainting"
    window: Range = (0.0, 1.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_interval("inpainting window", self.window, -math.inf, math.inf)

    def draw(self, x: Tensor, generator: torch.Generator) -> Params:
        """Draw the boxes, and `noise` (B, C, *space) for all voxels."""
        boxes = super().draw(x, generator)
        return {**boxes, "noise": between(x, self.window, *x.shape, generator=generator)}

    def apply(self, x: Tensor, params: Params) -> Tensor:
        """Fill the boxes with the noise."""
        return torch.where(in_boxes(x, params), params["noise"].to(x.dtype), x)


@dataclass(frozen=True)
class LocalShuffle(View):
    """Shuffles the voxels inside of small blocks, all channels alike: texture is lost, shape is not.

    The image is tiled with blocks whose size and offset are drawn for each sample, and each block is shuffled or left.
    Models Genesis shuffles thousands of overlapping blocks one after the other; tiles do the same to an image in two
    sorts on the device.

    Args:
        side: largest share of a side of the image that a block takes (a tenth in Models Genesis).
        share: of the blocks that are shuffled.
        probability: that a sample is changed at all.

    Raises:
        UsageError: when a setting is out of its range.
    """

    name: ClassVar[str] = "local_shuffle"
    side: float = 0.1
    share: float = 0.5
    probability: float = 1.0

    def __post_init__(self) -> None:
        check_range("local_shuffle side", self.side, 0, 1)
        check_range("local_shuffle share", self.share, 0, 1)
        check_range("local_shuffle probability", self.probability, 0, 1)

    def tiles(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Draw to which block each voxel belongs: (B, V) int64, below V."""
        batch, shape = x.shape[0], spatial(x)
        block = torch.zeros(batch, *(1,) * len(shape), dtype=torch.int64, device=x.device)
        for axis, length in enumerate(shape):
            largest = max(int(self.side * length), 1)
            # The product may be rounded up to the number of choices.
            size = 1 + (largest * uniform(x, batch, 1, generator=generator)).long().clamp(max=largest - 1)
            offset = torch.minimum((size * uniform(x, batch, 1, generator=generator)).long(), size - 1)
            row = (torch.arange(length, device=x.device) + offset) // size
            between_axes = [1] * len(shape)
            between_axes[axis] = length
            block = block * length + row.reshape(batch, *between_axes)
        return block.flatten(1)

    def draw(self, x: Tensor, generator: torch.Generator) -> Params:
        """Draw the `order` (B, V): from which of the V voxels, in the order of the array, each one is taken."""
        block = self.tiles(x, generator)
        on = sometimes(x, self.probability, generator).unsqueeze(1)
        chosen = (uniform(x, *block.shape, generator=generator) < self.share).gather(1, block)
        anyhow = uniform(x, *block.shape, generator=generator).argsort(dim=1, stable=True)
        # Sorted by block twice, once from the random order and once from that of the array: block falls on block.
        taken = anyhow.gather(1, block.gather(1, anyhow).argsort(dim=1, stable=True))
        order = torch.empty_like(block).scatter_(1, block.argsort(dim=1, stable=True), taken)
        return {"order": torch.where(on & chosen, order, torch.arange(block.shape[1], device=x.device))}

    def apply(self, x: Tensor, params: Params) -> Tensor:
        """Take each voxel from its place."""
        return x.flatten(2).gather(2, params["order"].unsqueeze(1).expand(-1, x.shape[1], -1)).reshape(x.shape)
