"""How images lie in memory: with the channels of a pixel side by side, convolutions in 2-D are a third faster."""

from typing import TypeVar

import torch
from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)


def laid_out(x: Tensor) -> Tensor:
    """The same batch (B, C, ...), channels last where it is one of images."""
    return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x


def for_images(network: M, dims: int) -> M:
    """The same network, its weights channels last where it takes images."""
    return network.to(memory_format=torch.channels_last) if dims == 2 else network  # type: ignore[call-overload]
