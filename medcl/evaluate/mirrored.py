"""A network whose logits are the mean over mirrored images: the cheapest ensemble."""

from collections.abc import Sequence
from itertools import chain, combinations

import torch
from torch import Tensor, nn

from medcl.errors import UsageError


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
