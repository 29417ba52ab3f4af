"""Many pictures of 8 bits made small at once, with Lanczos' filter, to the bit as Pillow does one by one.

Pillow weighs pixels by whole numbers (of 2**-22) and rounds to 8 bits after each axis. Here the same sums are matrix
products of float32, with the weights in two parts so small that every sum is a whole number that float32 can hold.
"""

from functools import lru_cache
from math import pi, sin
from typing import Any

import numpy as np
from numpy.typing import NDArray

PRECISION = 22
"""Bits of a weight after the point."""
LOBES = 3
"""Lobes of the filter on either side."""
EXACT = 2**24
"""Whole numbers below it are exact in float32."""


def resize(pictures: NDArray[np.float32], sizes: tuple[int, ...]) -> NDArray[np.float32]:
    """Resize the last axes, the very last first; of pictures, rows come first where Pillow (13 and later) does so.

    Args:
        pictures: (n, *old sizes), whole numbers from 0 to 255.
        sizes: new sizes.

    Returns:
        (n, *sizes), whole numbers from 0 to 255.
    """
    if len(sizes) == 2:
        less_rows, less_columns = (old - new for old, new in zip(pictures.shape[1:], sizes, strict=True))
        if less_rows > 2 * max(less_columns, 0):
            return resize_axes(pictures.swapaxes(1, 2), sizes[::-1]).swapaxes(1, 2)
    return resize_axes(pictures, sizes)


def resize_axes(pictures: NDArray[np.float32], sizes: tuple[int, ...]) -> NDArray[np.float32]:
    """Resize axes from the last to the first; each new axis is put in front, so that the next one is the last."""
    for size in sizes[::-1]:
        pictures = np.moveaxis(pictures, -1, 0) if pictures.shape[-1] == size else _last_axis(pictures, size)
    return np.moveaxis(pictures, -1, 0)


def _last_axis(pictures: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Resize the last axis and put it in front, (..., old) -> (size, ...)."""
    old = pictures.shape[-1]
    flat = np.ascontiguousarray(pictures, dtype=np.float32).reshape(-1, old)
    parts, shift = _parts(old, size)
    # Pixels first: a product with few columns is twice as quick as one with few rows.
    sums = np.ascontiguousarray((flat.astype(parts.dtype, copy=False) @ parts).T)
    whole = sums[:size].astype(np.int32)
    if shift:
        whole <<= shift
        whole += sums[size:].astype(np.int32)
    whole += 1 << (PRECISION - 1)
    whole >>= PRECISION
    np.clip(whole, 0, 255, out=whole)
    return whole.astype(np.float32).reshape(size, *pictures.shape[:-1])


@lru_cache(maxsize=256)
def _parts(old: int, size: int) -> tuple[NDArray[Any], int]:
    """Return weights as (old, 2 size) float32 and the bits between the halves; one half of float64 where none fit."""
    weights = _weights(old, size)
    for shift in range(1, PRECISION):
        high = (weights + (1 << (shift - 1))) >> shift
        low = weights - (high << shift)
        both = np.concatenate([high, low], axis=1)
        if 255 * max(np.clip(both, 0, None).sum(axis=0).max(), np.clip(-both, 0, None).sum(axis=0).max()) < EXACT:
            return both.astype(np.float32), shift
    return weights.astype(np.float64), 0


def _weights(old: int, size: int) -> NDArray[np.int64]:
    """Compute Pillow's weights, (old, size): what each old pixel gives to each new one."""
    weights = np.zeros((old, size), dtype=np.int64)
    scale = old / size
    stretch = max(scale, 1.0)
    support = LOBES * stretch
    for place in range(size):
        centre = (place + 0.5) * scale
        first, last = max(int(centre - support + 0.5), 0), min(int(centre + support + 0.5), old)
        taps = np.array([_lanczos((pixel - centre + 0.5) * (1 / stretch)) for pixel in range(first, last)])
        taps /= sum(taps.tolist())
        weights[first:last, place] = np.trunc(taps * (1 << PRECISION) + np.copysign(0.5, taps)).astype(np.int64)
    return weights


def _lanczos(x: float) -> float:
    return _sinc(x) * _sinc(x / LOBES) if -LOBES <= x < LOBES else 0.0


def _sinc(x: float) -> float:
    return sin(x * pi) / (x * pi) if x else 1.0
