"""Images that are mirrored: the mean of their logits, the cheapest ensemble; and where sides must stay as they are."""

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain, combinations

import torch
from torch import Tensor, nn

from medcl.errors import UsageError
from medcl.evaluate.config import EvaluateConfig
from medcl.modality.volume.config import VolumeConfig
from medcl.modality.volume.prepare import slice_axis

_SIDED = re.compile(r"(?<![a-z])(left|right)(?![a-z])", re.IGNORECASE)


class Mirrored(nn.Module):
    """The mean of the logits of an image and of its mirror images, mirrored back.

    Args:
        network: images (B, C, *space) to logits (B, n_classes, *space).
        axes: of space along which images are mirrored, in all combinations: k axes take 2^k passes.
    """

    def __init__(self, network: nn.Module, axes: Sequence[int]) -> None:
        super().__init__()
        self.network, self.axes = network, tuple(axes)

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, C, *space) to logits (B, n_classes, *space).

        Raises:
            UsageError: an image has no such axis.
        """
        if max(self.axes) >= x.ndim - 2:
            raise UsageError(f"segment.mirror {list(self.axes)}: a patch has the axes 0 to {x.ndim - 3}")
        every = chain.from_iterable(combinations(self.axes, count) for count in range(len(self.axes) + 1))
        found = []
        for axes in every:
            places = [axis + 2 for axis in axes]
            logits: Tensor = self.network(x.flip(places))
            found.append(logits.flip(places))
        return torch.stack(found).mean(dim=0)


def mirrored(network: nn.Module, axes: Sequence[int]) -> nn.Module:
    """The network, as it is where no axis is named."""
    return Mirrored(network, axes) if axes else network


def keeping_sides(
    config: EvaluateConfig, classes: Sequence[str], data: VolumeConfig
) -> tuple[EvaluateConfig, list[str]]:
    """An experiment that does not exchange right and left where classes name a side, and a note on what was changed.

    Args:
        config: of the experiment; its settings of segmentation may mirror patches.
        classes: of the label maps, such as `left_kidney`: its mirror image would be labelled so on the right.
        data: size of the patches, whose first axis is from left to right unless slices are cut across it.

    Raises:
        UsageError: test images are to be mirrored from right to left.
    """
    named, segment = next(filter(_SIDED.search, classes), None), config.segment
    if named is None or slice_axis(data) == 0:
        return config, []
    if 0 in segment.mirror:
        axes = list(segment.mirror)
        raise UsageError(f"segment.mirror {axes}: axis 0 exchanges right and left, and {named!r} has a side")
    views = segment.views
    if 0 not in views.flip_axes or not views.flip:
        return config, []
    others = tuple(axis for axis in views.flip_axes if axis != 0)
    views = replace(views, flip_axes=others) if others else replace(views, flip=0.0)
    note = f"Patches were not mirrored from right to left, since {named!r} has a side."
    return replace(config, segment=replace(segment, views=views)), [note]
