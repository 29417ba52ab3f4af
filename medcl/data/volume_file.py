"""The files of a volume store: one compressed array (channels, x, y, z) a volume, read a block at a time."""

import os
from collections import OrderedDict
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medcl.data.frames import Frame, Frames

Ints = NDArray[np.int64]
_CHUNK, _BLOCK = (32, 32, 32), (16, 16, 32)
"""Of cubes: a crop of 64^3 then decompresses about twice its voxels; what is decompressed at once fits a small buffer,
which chunks of 64^3 do not."""
_WIDE_CHUNK, _WIDE_BLOCK, _THICK_CHUNK = 128, 64, 4
"""Of slices, along their two axes, and slices that a chunk holds; a block holds one."""
_SHIFTS = np.arange(0, 256, 8, dtype=np.int16)
_SAMPLE = 1 << 17
_OPEN = 256
"""Files that a process keeps open; the system allows it some thousand, and opening one takes a third of a ms."""


def write_array(path: Path, data: NDArray[Any], axis: int | None) -> int:
    """Write an array (channels, x, y, z).

    Of int16 the high and the low bytes are compressed apart. Noise around a number at which the high byte changes, such
    as 0 HU, would make both of them noise: so all numbers are shifted by what lets the high byte change least (modulo
    2^16, which loses nothing), which is kept as `shift` in the metadata of the file.

    Args:
        path: of the new file.
        data: of the volume, or (1, x, y, z) of a label map.
        axis: 0, 1 or 2 where slices across this axis are read, None where cubes are.

    Returns:
        Bytes on the disk.

    Raises:
        OSError: the disk is full.
    """
    import blosc2

    chunks, blocks = list(_CHUNK), list(_BLOCK)
    if axis is not None:
        chunks, blocks = [_WIDE_CHUNK] * 3, [_WIDE_BLOCK] * 3
        chunks[axis], blocks[axis] = _THICK_CHUNK, 1
    chunks = [min(size, most) for size, most in zip(data.shape[1:], chunks, strict=True)]
    blocks = [min(size, most) for size, most in zip(chunks, blocks, strict=True)]
    shift = _shift(data) if data.dtype == np.int16 else 0
    array = blosc2.asarray(
        data + np.int16(shift) if shift else np.ascontiguousarray(data),
        chunks=(1, *chunks),
        blocks=(1, *blocks),
        contiguous=True,
        meta={"shift": shift},
        cparams={"codec": blosc2.Codec.LZ4, "clevel": 5, "filters": [blosc2.Filter.SHUFFLE], "nthreads": 1},
    )
    return path.write_bytes(array.to_cframe())


def _shift(data: NDArray[np.int16]) -> int:
    """What to add so that the high byte differs least often between neighbours along z."""
    one, other = data[..., :-1].reshape(-1), data[..., 1:].reshape(-1)
    step = max(1, len(one) // _SAMPLE)
    one, other = one[::step], other[::step]
    changes = [np.count_nonzero(((one + shift) ^ (other + shift)) & ~0xFF) for shift in _SHIFTS]
    return int(_SHIFTS[int(np.argmin(changes))])


class ArrayFiles:
    """Reads parts of the arrays of a store, memory-mapped; only the blocks that a part touches are decompressed.

    Args:
        frames: of the store.
    """

    def __init__(self, frames: Frames) -> None:
        self._frames = frames
        self._open: OrderedDict[tuple[int, str], tuple[Frame, np.int16]] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        """Memory maps stay in their process."""
        return {**self.__dict__, "_open": OrderedDict()}

    def read(self, name: str, start: Ints, size: Ints) -> NDArray[Any]:
        """A part of an array, all its channels.

        Args:
            name: of the file.
            start: (3,) first voxel.
            size: (3,) voxels.

        Returns:
            (channels, *size).
        """
        frame, shift = self._frame(name)
        array, stop = frame.array, start + size
        for chunk in _chunks(array, start, stop):
            frame.check(chunk)
        part: NDArray[Any] = np.empty((array.shape[0], *map(int, size)), dtype=array.dtype)
        # What indexing comes down to, without half a ms of looking at what the index might be.
        try:
            array.get_slice_numpy(part, ((0, *map(int, start)), (array.shape[0], *map(int, stop))))
        except RuntimeError as error:
            raise frame.damaged() from error
        if shift:
            part -= shift
        return part

    def _frame(self, name: str) -> tuple[Frame, np.int16]:
        # A map that was opened before a fork is not used behind it: blosc2's handles are not made for two processes.
        key = (os.getpid(), name)
        if key not in self._open:
            frame = self._frames.open(name)
            self._open[key] = frame, np.int16(frame.array.schunk.meta["shift"])
            if len(self._open) > _OPEN:
                self._open.popitem(last=False)
        self._open.move_to_end(key)
        return self._open[key]


def _chunks(array: Any, start: Ints, stop: Ints) -> Iterator[int]:
    """Numbers of the chunks (1, x, y, z) that a part touches, of all channels."""
    _, *sizes = array.chunks
    grid = [-(-length // size) for length, size in zip(array.shape[1:], sizes, strict=True)]
    touched = [
        range(int(first) // size, (int(last) - 1) // size + 1)
        for first, last, size in zip(start, stop, sizes, strict=True)
    ]
    for channel, x, y, z in product(range(array.shape[0]), *touched):
        yield ((channel * grid[0] + x) * grid[1] + y) * grid[2] + z
