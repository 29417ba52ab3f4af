"""Difference, average and perceptual hashes of images, volumes and signals, as ImageHash makes them of images."""

from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import fftpack

from medcl.modality.small_images import resize

BITS = 64
Method: TypeAlias = Literal["difference", "average", "perceptual"]
FINE = 4
"""Pixels a bit along each axis of the image from which a perceptual hash takes the low frequencies."""
SIDES = {1: (64,), 2: (8, 8), 3: (4, 4, 4)}
"""Bits along each axis."""


def hashes(values: NDArray[np.float32], method: Method, sides: tuple[int, ...] | None = None) -> NDArray[np.uint8]:
    """Hash pieces of one size.

    Args:
        values: (n, rows, columns), (n, x, y, z) or (n, samples), whole numbers from 0 to 255.
        method: `difference`, whether each value is above the one before it along the last axis; `average`, whether it
            is above the mean; `perceptual`, whether a low frequency (cosine transform) is above their median.
        sides: bits along each axis; 8 x 8, 4 x 4 x 4 or 64 where not given.

    Returns:
        (n, bits / 8): the bits in order, the first the highest of its byte, as ImageHash prints them.
    """
    sides = sides or SIDES[values.ndim - 1]
    axes = tuple(range(1, values.ndim))
    if method == "difference":
        small = resize(values, (*sides[:-1], sides[-1] + 1))
        bits = small[..., 1:] > small[..., :-1]
    elif method == "average":
        small = resize(values, sides)
        bits = small > small.mean(axis=axes, keepdims=True, dtype=np.float64)
    else:
        # As ImageHash: the transform has no norm, and the mean (frequency 0) is one of the frequencies.
        low = resize(values, tuple(FINE * side for side in sides)).astype(np.float64)
        for axis, side in zip(axes, sides, strict=True):
            low = fftpack.dct(low, axis=axis).take(np.arange(side), axis=axis)
        bits = low > np.median(low.reshape(len(low), -1), axis=1).reshape(-1, *[1] * len(axes))
    return np.packbits(bits.reshape(len(values), -1), axis=1)


def channel_hashes(values: NDArray[np.float32], method: Method) -> NDArray[np.uint8]:
    """Hash the first channels of signals, (n, C, samples) from 0 to 255, to (n, 8) bytes."""
    rows = next(rows for rows in (8, 4, 2, 1) if rows <= values.shape[1])
    if method == "perceptual":
        values = values[:, :rows]
        each = [hashes(values[:, row], method, (BITS // rows,)) for row in range(rows)]
        return np.concatenate(each, axis=1)
    return hashes(values[:, :rows], method, (rows, BITS // rows))
