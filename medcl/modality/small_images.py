"""Slices, images, volumes and signals as small grey ones of 8 bits and of one size, stacked, to be compared."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from math import pi, sin
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medcl.errors import UnreadableError

BLOCK = 1 << 19
"""Values that are worked on at a time: as float32 they stay in the cache of a core."""
LUMA = (19595, 38470, 7471)
"""Weights of red, green and blue out of 2**16, as Pillow turns images of 8 bits into grey."""


def stacks(
    pieces: Sequence[NDArray[Any]], *, joined: bool = True
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Stack pieces of one size, scaled to whole numbers from 0 to 255; constant ones become 0.

    Args:
        pieces: (C, ...) each.
        joined: channels become one, of a mean of the scaled channels; red, green and blue of 8 bits as Pillow does.
            Otherwise each channel is scaled for itself and stays.

    Yields:
        (k,) rows of the pieces, and their values (k, ...), or (k, C, ...) where channels stay, float32. They are
        overwritten by the next.

    Raises:
        UnreadableError: a piece is empty or holds a value that is not a finite number.
    """
    sizes: dict[tuple[int, ...], list[int]] = {}
    for row, piece in enumerate(pieces):
        sizes.setdefault(piece.shape, []).append(row)
    for shape, rows in sizes.items():
        if 0 in shape:
            raise UnreadableError(f"an empty piece of shape {shape}: nothing to compare")
        values = shape[1:] if joined else shape
        count = min(len(rows), max(1, BLOCK // int(np.prod(values))))
        block = np.empty((count, *values), dtype=np.float32)
        for start in range(0, len(rows), count):
            part = rows[start : start + count]
            for place, row in enumerate(part):
                _fill(block[place], pieces[row], joined)
            yield np.array(part), block[: len(part)]


def _fill(out: NDArray[np.float32], piece: NDArray[Any], joined: bool) -> None:
    if not joined:
        for row, channel in zip(out, piece, strict=True):
            _scale(row, channel)
    elif len(piece) == 1:
        _scale(out, piece[0])
    elif len(piece) == 3 and piece.dtype == np.uint8:
        _scale(out, (np.tensordot(np.array(LUMA), piece, axes=1) + 0x8000) >> 16)
    else:
        scaled = np.empty(piece.shape, dtype=np.float32)
        _fill(scaled, piece, joined=False)
        _scale(out, scaled.sum(axis=0))


def _scale(out: NDArray[np.float32], values: NDArray[Any]) -> None:
    """Write values scaled from 0 to 255 and rounded."""
    low, high = float(values.min()), float(values.max())
    reach = high - low
    if not np.isfinite(reach):
        raise UnreadableError("values that are not finite numbers (NaN or infinite): repair the file or leave it out")
    wide = values.dtype.itemsize > 2 and values.dtype != np.float32
    np.subtract(values, low, out=out, dtype=np.float64 if wide else np.float32, casting="unsafe")
    if reach:
        if reach != 255:
            out *= np.float32(255 / reach)
        np.rint(out, out=out)


PRECISION = 22
"""Bits of a weight after the point."""
LOBES = 3
"""Lobes of the filter on either side."""
EXACT = 2**24
"""Whole numbers below it are exact in float32."""


def resize(images: NDArray[np.float32], sizes: tuple[int, ...]) -> NDArray[np.float32]:
    """Resize the last axes, the very last first; of images, rows come first where Pillow (13 and later) does so.

    Args:
        images: (n, *old sizes), whole numbers from 0 to 255.
        sizes: new sizes.

    Returns:
        (n, *sizes), whole numbers from 0 to 255.
    """
    if len(sizes) == 2:
        less_rows, less_columns = (old - new for old, new in zip(images.shape[1:], sizes, strict=True))
        if less_rows > 2 * max(less_columns, 0):
            return resize_axes(images.swapaxes(1, 2), sizes[::-1]).swapaxes(1, 2)
    return resize_axes(images, sizes)


def resize_axes(images: NDArray[np.float32], sizes: tuple[int, ...]) -> NDArray[np.float32]:
    """Resize axes from the last to the first; each new axis is put in front, so that the next one is the last."""
    for size in sizes[::-1]:
        images = np.moveaxis(images, -1, 0) if images.shape[-1] == size else _last_axis(images, size)
    return np.moveaxis(images, -1, 0)


def _last_axis(images: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Resize the last axis and put it in front, (..., old) -> (size, ...)."""
    old = images.shape[-1]
    flat = np.ascontiguousarray(images, dtype=np.float32).reshape(-1, old)
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
    return whole.astype(np.float32).reshape(size, *images.shape[:-1])


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


def small_images(pieces: Sequence[NDArray[Any]], sides: dict[int, int]) -> NDArray[np.uint8]:
    """Resize pieces to a square or a cube.

    Args:
        pieces: (C, rows, columns) or (C, x, y, z) each.
        sides: axes -> side.

    Returns:
        (n, side ** axes) grey values from 0 to 255.
    """
    axes = pieces[0].ndim - 1 if pieces else 2
    result = np.empty((len(pieces), sides[axes] ** axes), dtype=np.uint8)
    for rows, values in stacks(pieces):
        result[rows] = resize(values, (sides[axes],) * axes).reshape(len(rows), -1)
    return result


def unflat(small_images: NDArray[Any], sides: dict[int, int]) -> NDArray[Any]:
    """Return (n, side ** axes) as (n, side, side) or (n, side, side, side)."""
    shape = next((side,) * axes for axes, side in sides.items() if side**axes == small_images.shape[1])
    return small_images.reshape(len(small_images), *shape)
