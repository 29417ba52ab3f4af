"""Raw pixels in the place of an embedding: what a linear probe finds in a picture of 16 x 16 without any network."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

SIDE = 16


@dataclass(frozen=True)
class PixelWidth:
    """Numbers of a picture."""

    dim: int


class Pixels(nn.Module):
    """Averages a picture over 16 x 16 cells, as an encoder of pictures.

    Args:
        n_channels: of the pictures.
    """

    def __init__(self, n_channels: int) -> None:
        super().__init__()
        self.config = PixelWidth(n_channels * SIDE * SIDE)

    def embed(self, x: Tensor) -> Tensor:
        """(B, C, rows, columns) to (B, C * 256)."""
        return torch.flatten(F.adaptive_avg_pool2d(x, SIDE), 1)
