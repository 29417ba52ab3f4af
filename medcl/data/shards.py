"""Shards: the files of a store, each one compressed array (time, channels) with recordings one behind the other."""

import errno
import os
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from medcl.data.frames import Frame, Frames

_SHARD_BYTES = 1 << 30
"""A shard is closed before it grows beyond this (uncompressed), unless one recording alone is larger."""
_BLOCK_BYTES = 1 << 14
"""What is decompressed at once: a window of seconds touches a few blocks, and larger ones compress hardly better."""
_BLOCKS_OF_A_CHUNK = 32


def shard_name(number: int) -> str:
    """File of a shard."""
    return f"{number:05d}.b2nd"


@dataclass
class _Shard:
    """A shard that is being written: whole chunks go to the file, the rest waits."""

    number: int
    array: Any
    chunk_rows: int
    rows: int = 0
    waiting: list[NDArray[Any]] = field(default_factory=list)
    n_waiting: int = 0

    def append(self, data: NDArray[Any]) -> int:
        start = self.rows
        self.waiting.append(data)
        self.rows += len(data)
        self.n_waiting += len(data)
        self.write(self.n_waiting - self.n_waiting % self.chunk_rows)
        return start

    def write(self, count: int) -> None:
        if not count:
            return
        rows = np.concatenate(self.waiting)
        before = self.rows - self.n_waiting
        try:
            self.array.resize((before + count, rows.shape[1]))
            self.array[before:] = rows[:count]
        except RuntimeError as error:
            # This is how blosc2 tells that the file system took no more.
            raise OSError(errno.ENOSPC, f"shard {self.number}") from error
        self.waiting, self.n_waiting = [rows[count:].copy()], len(rows) - count


class ShardWriter:
    """Appends recordings to the shards of a new store; a recording lies whole in one shard, of its own type of number.

    Args:
        folder: of the store.
        n_channels: of every recording.
    """

    def __init__(self, folder: Path, n_channels: int) -> None:
        self._folder, self._n_channels, self._begun = folder, n_channels, 0
        self._open: dict[np.dtype[Any], _Shard] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            for shard in self._open.values():
                shard.write(shard.n_waiting)

    def append(self, data: NDArray[Any]) -> tuple[int, int]:
        """Append a recording.

        Args:
            data: (time, channels).

        Returns:
            Number of the shard, and the recording's first row in it.

        Raises:
            OSError: the disk is full.
        """
        shard = self._open.get(data.dtype)
        if shard is not None and (shard.rows + len(data)) * self._n_channels * data.itemsize > _SHARD_BYTES:
            shard.write(shard.n_waiting)
            shard = None
        if shard is None:
            shard = self._open[data.dtype] = self._begin(data.dtype)
        return shard.number, shard.append(data)

    def _begin(self, dtype: np.dtype[Any]) -> _Shard:
        import blosc2

        row_bytes = self._n_channels * dtype.itemsize
        block_rows = 1 << max(0, int(np.log2(max(1, _BLOCK_BYTES / row_bytes))))
        chunk_rows = block_rows * _BLOCKS_OF_A_CHUNK
        number, self._begun = self._begun, self._begun + 1
        array = blosc2.empty(
            (0, self._n_channels),
            dtype=dtype,
            chunks=(chunk_rows, self._n_channels),
            blocks=(block_rows, self._n_channels),
            urlpath=str(self._folder / shard_name(number)),
            mode="w",
            cparams={"codec": blosc2.Codec.ZSTD, "clevel": 5, "filters": [blosc2.Filter.SHUFFLE]},
        )
        return _Shard(number, array, chunk_rows)


class ShardReader:
    """Reads stretches of the shards of a store, memory-mapped; only the blocks that a stretch touches are decompressed.

    Args:
        frames: of the store.
        n_channels: of every recording.
    """

    def __init__(self, frames: Frames, n_channels: int) -> None:
        self._frames, self._n_channels = frames, n_channels
        self._open: dict[tuple[int, int], Frame] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Memory maps stay in their process."""
        return {**self.__dict__, "_open": {}}

    def dtype(self, shard: int) -> np.dtype[Any]:
        """The type in which a shard holds its numbers."""
        dtype: np.dtype[Any] = self._frame(shard).array.dtype
        return dtype

    def read_into(self, out: NDArray[Any], shard: int, start: int) -> None:
        """Read the rows from `start` on into (time, channels), contiguous and of the shard's type."""
        # Chunks and blocks span all channels, so rows lie one behind the other: a slice of the flat chunks takes a
        # third of the time of one of the array.
        first, frame = start * self._n_channels, self._frame(shard)
        chunk = frame.array.chunks[0]
        for number in range(start // chunk, (start + len(out) - 1) // chunk + 1):
            frame.check(number)
        try:
            frame.array.schunk.get_slice(first, first + out.size, out=out)
        except RuntimeError as error:
            raise frame.damaged() from error

    def _frame(self, shard: int) -> Frame:
        # A map that was opened before a fork is not used behind it: blosc2's handles are not made for two processes.
        key = (os.getpid(), shard)
        if key not in self._open:
            self._open[key] = self._frames.open(shard_name(shard))
        return self._open[key]
