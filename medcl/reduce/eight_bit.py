"""Pieces as grey pictures of 8 bits, stacked by size: what pictures are hashed and compared as.

As in the data of 'Less is More': the least value of a slice becomes 0 and the greatest 255, with no window.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medcl.errors import UnreadableError

BLOCK = 1 << 19
"""Values that are worked on at a time: as float32 they stay in the cache of a core."""
LUMA = (19595, 38470, 7471)
"""Weights of red, green and blue out of 2**16, as Pillow turns pictures of 8 bits into grey."""


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
