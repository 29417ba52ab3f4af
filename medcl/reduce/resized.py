"""Pieces of any size and type as tensors of one size from 0 to 1, for encoders that no data was prepared for."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from medcl.reduce.strategy import finite


def resized(piece: NDArray[Any], size: tuple[int, ...]) -> Tensor:
    """A piece, its least value as 0 and its greatest as 1; of a constant one all is 0.5.

    Args:
        piece: (C, ...) numbers.
        size: of the result along the other axes.

    Returns:
        (C, *size) float32.

    Raises:
        UnreadableError: the piece is empty, or holds a value that is not a finite number.
    """
    values = finite(piece).astype(np.float32)
    low, high = float(values.min()), float(values.max())
    # Not 0: a network without biases has no embedding of nothing, and constant pieces are copies of each other.
    scaled = torch.from_numpy((values - low) / (high - low) if high > low else np.full_like(values, 0.5))[None]
    if len(size) == 2:
        return F.interpolate(scaled, size, mode="bilinear", antialias=True)[0]
    # The mean over what falls into a voxel or step; where there is less than one, its neighbour stands for it.
    if len(size) == 3:
        return F.adaptive_avg_pool3d(scaled, (size[0], size[1], size[2]))[0]
    return F.adaptive_avg_pool1d(scaled, size[0])[0]
