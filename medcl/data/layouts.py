"""Writing the arrays of a store: records one behind the other in shared arrays, or each in an array of its own."""

import errno
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medcl.modality.storing import Apart, Appended

_SHIFTS = np.arange(0, 256, 8, dtype=np.int16)
_SAMPLE = 1 << 17


@dataclass
class _Array:
    """An array that is being written: whole chunks go to the file, the rest waits."""

    number: int
    array: Any
    rows: int = 0
    waiting: list[NDArray[Any]] = field(default_factory=list)
    n_waiting: int = 0

    def append(self, data: NDArray[Any]) -> int:
        start = self.rows
        self.waiting.append(data)
        self.rows += len(data)
        self.n_waiting += len(data)
        self.write(self.n_waiting - self.n_waiting % self.array.chunks[0])
        return start

    def write(self, count: int) -> None:
        if not count:
            return
        rows = np.concatenate(self.waiting)
        before = self.rows - self.n_waiting
        try:
            self.array.resize((before + count, *rows.shape[1:]))
            self.array[before:] = rows[:count]
        except RuntimeError as error:
            # This is how blosc2 tells that the file system took no more.
            raise OSError(errno.ENOSPC, f"array {self.number}") from error
        self.waiting, self.n_waiting = [rows[count:].copy()], len(rows) - count


class AppendedWriter:
    """Appends records to the arrays of a new store; a record lies whole in one array, of its own type of number.

    Args:
        folder: of the store.
        layout: of the arrays.
    """

    def __init__(self, folder: Path, layout: Appended) -> None:
        self._folder, self._layout, self._arrays = folder, layout, list[_Array]()
        self._open: dict[np.dtype[Any], _Array] = {}

    def append(self, data: NDArray[Any]) -> dict[str, int]:
        """Append a record.

        Args:
            data: (rows, ...).

        Returns:
            Columns of the index: the number of the array, where there may be several, and the record's first row.

        Raises:
            OSError: the disk is full.
        """
        layout, held = self._layout, self._open.get(data.dtype)
        row_bytes = int(np.prod(data.shape[1:])) * data.itemsize
        if held is not None and layout.largest and (held.rows + len(data)) * row_bytes > layout.largest:
            held.write(held.n_waiting)
            held = None
        if held is None:
            held = self._open[data.dtype] = self._begin(data, row_bytes)
        start = {layout.start: held.append(data)}
        return {layout.array: held.number, **start} if layout.array else start

    def finish(self) -> None:
        """Write what waits.

        Raises:
            OSError: the disk is full.
        """
        for held in self._open.values():
            held.write(held.n_waiting)

    @property
    def written(self) -> int:
        """Bytes on the disk."""
        return sum(int(one.array.schunk.cbytes) for one in self._arrays)

    def _begin(self, data: NDArray[Any], row_bytes: int) -> _Array:
        import blosc2

        layout, row = self._layout, data.shape[1:]
        block_rows = 1 << max(0, int(np.log2(max(1, layout.block / row_bytes))))
        number = len(self._arrays)
        array = blosc2.empty(
            (0, *row),
            dtype=data.dtype,
            chunks=(block_rows * layout.blocks, *row),
            blocks=(block_rows, *row),
            urlpath=str(self._folder / layout.name.format(number=number)),
            mode="w",
            cparams=_compression(layout.codec, layout.shuffle),
        )
        self._arrays.append(_Array(number, array))
        return self._arrays[-1]


def write_apart(folder: Path, number: int, arrays: Mapping[int | None, NDArray[Any]], layout: Apart) -> int:
    """Write a record's array (channels, x, y, z), and those that go with it, as files of their own.

    Of int16 the high and the low bytes are compressed apart. Noise around a number at which the high byte changes, such
    as 0 HU, would make both of them noise: so all numbers are shifted by what lets the high byte change least (modulo
    2^16, which loses nothing), which is kept as `shift` in the metadata of the file.

    Args:
        folder: of the store.
        number: of the record's files.
        arrays: the record's own under None, those that go with it under their numbers.
        layout: of the arrays.

    Returns:
        Bytes on the disk.

    Raises:
        OSError: the disk is full.
    """
    import blosc2

    written = 0
    for beside, data in arrays.items():
        chunks = [min(size, most) for size, most in zip(data.shape[1:], layout.chunk, strict=True)]
        blocks = [min(size, most) for size, most in zip(chunks, layout.block, strict=True)]
        shift = _shift(data) if data.dtype == np.int16 else 0
        array = blosc2.asarray(
            data + np.int16(shift) if shift else np.ascontiguousarray(data),
            chunks=(1, *chunks),
            blocks=(1, *blocks),
            contiguous=True,
            meta={"shift": shift},
            cparams={**_compression("LZ4", True), "nthreads": 1},
        )
        written += (folder / layout.file(number, beside)).write_bytes(array.to_cframe())
    return written


def _compression(codec: str, shuffle: bool) -> dict[str, Any]:
    import blosc2

    chosen = blosc2.Filter.SHUFFLE if shuffle else blosc2.Filter.NOFILTER
    return {"codec": blosc2.Codec[codec], "clevel": 5, "filters": [chosen]}


def _shift(data: NDArray[np.int16]) -> int:
    """What to add so that the high byte differs least often between neighbours along z."""
    one, other = data[..., :-1].reshape(-1), data[..., 1:].reshape(-1)
    step = max(1, len(one) // _SAMPLE)
    one, other = one[::step], other[::step]
    changes = [np.count_nonzero(((one + shift) ^ (other + shift)) & ~0xFF) for shift in _SHIFTS]
    return int(_SHIFTS[int(np.argmin(changes))])
