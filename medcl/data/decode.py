"""From the file of a record to arrays of a store: is it still what was scanned, what does its wing make of it?"""

import contextlib
import errno
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medcl.archive.file_state import Scanned, require_unchanged
from medcl.archive.manifest import Manifest
from medcl.data.store import in_words
from medcl.engine.parallel import quiet
from medcl.errors import UnreadableError, reason
from medcl.modality import wing
from medcl.modality.base import Wing
from medcl.modality.foreign import available
from medcl.modality.rows import Source
from medcl.modality.storing import Apart, Appended, DecodedRecord, LabelMap, OnDisk

_SHIFTS = np.arange(0, 256, 8, dtype=np.int16)
_COMPARED = 1 << 17


@dataclass
class _Array:
    """An array that is being written: whole chunks go to the file, the rest waits."""

    number: int
    array: Any
    rows: int = 0
    waiting: list[NDArray[Any]] = field(default_factory=list)
    n_waiting: int = 0

    def append(self, data: NDArray[Any]) -> None:
        self.waiting.append(data)
        self.rows += len(data)
        self.n_waiting += len(data)
        self.write(self.n_waiting - self.n_waiting % self.array.chunks[0])

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
    """Appends records to the arrays of a new store; a record lies whole in one array, of its own type of number."""

    def __init__(self, folder: Path, layout: Appended) -> None:
        self._folder, self._layout, self._arrays = folder, layout, list[_Array]()
        self._open: dict[np.dtype[Any], _Array] = {}

    def append(self, data: NDArray[Any] | OnDisk) -> dict[str, int]:
        """Append a record (rows, ...); what is on the disk is removed there.

        Returns:
            Columns of the index: the number of the array, where there may be several, and the record's first row.

        Raises:
            OSError: the disk is full.
        """
        layout, held = self._layout, self._open.get(data.dtype)
        row_bytes = int(np.prod(data.shape[1:])) * data.dtype.itemsize
        if held is not None and layout.largest and (held.rows + len(data)) * row_bytes > layout.largest:
            held.write(held.n_waiting)
            held = None
        if held is None:
            held = self._open[data.dtype] = self._begin(data, row_bytes)
        start = {layout.start: held.rows}
        if isinstance(data, OnDisk):
            for piece in data.pieces(held.array.chunks[0]):
                held.append(piece)
            data.remove()
        else:
            held.append(data)
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

    def _begin(self, data: NDArray[Any] | OnDisk, row_bytes: int) -> _Array:
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
    2^16, which loses nothing), which is kept as `shift` in the metadata of the file. Of the arrays the record's own
    stands under None, those that go with it under their numbers. Returns the bytes on the disk.

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
    step = max(1, len(one) // _COMPARED)
    one, other = one[::step], other[::step]
    changes = [np.count_nonzero(((one + shift) ^ (other + shift)) & ~0xFF) for shift in _SHIFTS]
    return int(_SHIFTS[int(np.argmin(changes))])


def sources(manifest: Manifest, own: Wing, files: list[Scanned] | None = None) -> list[Source]:
    """The records of a manifest as their own wing reads them, with their files; None where these are not read."""
    nothing = np.full(len(manifest), None, dtype=object)  # a column that an older manifest does not have
    columns = {name: manifest.column(name) if manifest.has(name) else nothing for name in own.columns}
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    if files is None:
        return [Source(manifest.root, "", (), "", row, manifest.stated) for row in rows]
    stated = manifest.stated
    return [
        Source(one.root, one.path, one.files, one.format, row, stated) for one, row in zip(files, rows, strict=True)
    ]


@dataclass(frozen=True)
class DecodingJob:
    """A record to decode, and how.

    Args:
        number: of the record, by which it is ordered.
        wing: that it is of.
        source: where it is.
        scanned: its files, as they were when they were scanned; None where they are not read.
        masks: label maps likewise, and their number of classes; None where there is none.
        config: that decoding gets.
        apart: where arrays are written that are not sent back, and how; None where they are.
        memory: bytes that decoding takes, where that is not known to be there.
        scratch: folder of the store that is made, for files of its decoding.
    """

    number: int
    wing: str
    source: Source
    scanned: Scanned | None
    masks: tuple[tuple[Scanned, int] | None, ...]
    config: Any
    apart: tuple[Path, Apart] | None
    memory: float | None
    scratch: Path


@dataclass(frozen=True)
class Outcome:
    """What became of the record of a job: decoded, or the reason why not; and bytes on the disk."""

    number: int
    decoded: DecodedRecord | None = None
    reason: str = ""
    written: int = 0


def decode_all(jobs: Sequence[DecodingJob]) -> list[Outcome]:
    """Decode records, and write those that have arrays of their own.

    Raises:
        OSError: the disk is full.
    """
    with quiet():
        return [_decode(job) for job in jobs]


def _decode(job: DecodingJob) -> Outcome:
    try:
        if job.scanned is not None:
            require_unchanged(job.scanned)
        room = available() if job.memory is not None else None
        if job.memory is not None and room is not None and job.memory > room:
            raise UnreadableError(too_large(job.memory, room))
        masks = [None if mask is None else _label_map(*mask) for mask in job.masks]
        with _scratch(job.scratch):
            decoded = wing(job.wing).decode(job.source, job.config, masks)
    except Exception as error:
        return Outcome(job.number, reason=reason(error))
    if job.apart is None:
        return Outcome(job.number, decoded)
    # What goes wrong from here on is the disk of the store, not the file.
    written = write_apart(job.apart[0], job.number, decoded.arrays, job.apart[1])
    return Outcome(job.number, replace(decoded, arrays={}), "", written)


@dataclass
class _InUse:
    """Folders of temporary files of the threads of this process, and what it had before."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    folders: list[str] = field(default_factory=list)
    before: str | None = None


_IN_USE = _InUse()


@contextlib.contextmanager
def _scratch(folder: Path) -> Iterator[None]:
    """Let temporary files lie in a folder, which is on the disk where the store will be and is removed if it fails.

    Threads of one process, such as those of a Dask worker, may be within it at once: the last to leave restores.
    """
    with _IN_USE.lock:
        if not _IN_USE.folders:
            _IN_USE.before = tempfile.tempdir
        _IN_USE.folders.append(str(folder))
        tempfile.tempdir = str(folder)
    try:
        yield
    finally:
        with _IN_USE.lock:
            _IN_USE.folders.remove(str(folder))
            tempfile.tempdir = _IN_USE.folders[-1] if _IN_USE.folders else _IN_USE.before


def _label_map(mask: Scanned, n_classes: int) -> LabelMap:
    try:
        require_unchanged(mask)
    except Exception as error:
        return LabelMap(mask.root / mask.path, n_classes, reason(error))
    return LabelMap(mask.root / mask.path, n_classes)


def died(job: DecodingJob) -> list[Outcome]:
    """The outcome of a record whose decoding ended the process."""
    return [Outcome(job.number, reason="damaged file, or too little memory: decoding it ends the reader")]


def too_large(memory: float, room: int) -> str:
    """Why a record is not decoded that needs more bytes of memory than there are."""
    return (
        f"larger than memory: decoding it takes {in_words(int(memory))}, {in_words(room)} are free; prepare it on a "
        "machine with more, or cut it into parts"
    )
