"""Hashes of 64 bits of many pieces at once: of differences, of averages, and perceptual; in one, two and three axes.

In two axes they are the hashes of the package ImageHash, bit by bit, for pictures of 8 bits; but hundreds of pictures
of one size are worked on together. Volumes and signals have no hash of old: theirs are the same sums over other axes.
"""

from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import fftpack

from medcl.reduce.resize import resize

Method: TypeAlias = Literal["difference", "average", "perceptual"]
FINE = 4
"""How many times finer than its bits a picture is, from which a perceptual hash takes the low frequencies."""
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
