"""From the numbers of a file to those that they stand for."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from medcl.errors import UnreadableError

_RANGE = np.iinfo(np.int16)
_BLOCK = 1 << 15  # numbers at a time: in float64 they stay in the processor's cache, and never fill the memory


def scaled(numbers: NDArray[Any], slope: float, inter: float) -> NDArray[Any]:
    """Compute number * slope + inter.

    Args:
        numbers: (numbers,) as stored, integers or floats of any byte order.
        slope: finite.
        inter: finite.

    Returns:
        (numbers,), the same array where they stay as they are: int16 where the numbers are integers, slope and inter
        are whole and every value fits; else float32, computed in float64.

    Raises:
        UnreadableError: values beyond what float32 holds.
    """
    if (slope, inter) == (1, 0) and numbers.dtype == np.int16:
        return numbers
    if numbers.dtype.kind in "iu" and float(slope).is_integer() and float(inter).is_integer():
        ends = [number * int(slope) + int(inter) for number in _ends(numbers)]
        if _RANGE.min <= min(ends) and max(ends) <= _RANGE.max:
            return _in_int16(numbers, int(slope), int(inter))
    if (slope, inter) == (1, 0) and (numbers.dtype.kind in "iu" or numbers.dtype.itemsize <= 4):
        return numbers.astype(np.float32, copy=False)
    values = np.empty(numbers.shape, np.float32)
    room = np.empty(min(len(numbers), _BLOCK))
    largest = float(max(map(abs, _ends(numbers)))) if numbers.dtype.kind in "iu" else np.inf
    may_be_beyond = largest * abs(slope) + abs(inter) > np.finfo(np.float32).max
    beyond = 0
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, len(numbers), _BLOCK):
            part, into = numbers[start : start + _BLOCK], values[start : start + _BLOCK]
            # In float64, as nibabel has it.
            wide = room[: len(part)]
            np.copyto(wide, part, casting="same_kind")
            wide *= slope
            if inter:
                wide += inter
            np.copyto(into, wide, casting="same_kind")
            if may_be_beyond:
                # What is infinite in the file already is not blamed on its scale.
                beyond += int(np.isinf(into).sum() - np.isinf(part).sum())
    if beyond:
        raise UnreadableError(f"{beyond} voxels are beyond what float32 holds")
    return values


def _ends(numbers: NDArray[Any]) -> tuple[int, int]:
    """The lowest and the highest number, or those that its type allows where these are few, or none is there."""
    if numbers.dtype.itemsize == 1 or not len(numbers):
        return int(np.iinfo(numbers.dtype).min), int(np.iinfo(numbers.dtype).max)
    return int(numbers.min()), int(numbers.max())


def _in_int16(numbers: NDArray[Any], slope: int, inter: int) -> NDArray[np.int16]:
    # Integers wrap around at 2**16, so that what fits in the end is right, whatever happened on the way.
    values = numbers.astype(np.int16)
    if slope != 1:
        values *= _wrapped(slope)
    if inter:
        values += _wrapped(inter)
    return values


def _wrapped(number: int) -> np.int16:
    return np.int16((number - _RANGE.min) % 2**16 + _RANGE.min)
