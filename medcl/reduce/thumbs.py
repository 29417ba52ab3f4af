"""Small pictures and volumes of one size, as which strategies of many values compare pieces of any."""

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from medcl.reduce.eight_bit import stacks
from medcl.reduce.resize import resize
from medcl.reduce.strategy import Pieces


def thumbs(pieces: Pieces, sides: dict[int, int]) -> NDArray[np.uint8]:
    """Resize pieces to a square or a cube.

    Args:
        pieces: (C, rows, columns) or (C, x, y, z) each.
        sides: axes -> side.

    Returns:
        (n, side ** axes) grey values from 0 to 255.
    """
    arrays = cast(list[NDArray[Any]], pieces)
    axes = arrays[0].ndim - 1 if arrays else 2
    result = np.empty((len(arrays), sides[axes] ** axes), dtype=np.uint8)
    for rows, values in stacks(arrays):
        result[rows] = resize(values, (sides[axes],) * axes).reshape(len(rows), -1)
    return result


def unflat(thumbs: NDArray[Any], sides: dict[int, int]) -> NDArray[Any]:
    """Return (n, side ** axes) as (n, side, side) or (n, side, side, side)."""
    shape = next((side,) * axes for axes, side in sides.items() if side**axes == thumbs.shape[1])
    return thumbs.reshape(len(thumbs), *shape)
