"""The compressed arrays of a store on the disk, each chunk held against its checksum when a process first reads it.

The checksums stand in one file of the store, those of one array behind those of the other: first that of everything but
the chunks, then one a chunk. A store that was prepared before there were checksums has no such file.
"""

import mmap
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medcl.files import checksum, damaged

SUMS = "checksums.bin"
_MAGIC = b"b2frame\0"
_SECTOR, _WORDS = 4096, 512  # bytes and words of 8 bytes that are summed
_PLAIN = np.ones(_WORDS, np.uint64)
# Odd, so that a change within one word always changes the sum; different, so that words in another order do.
_WEIGHTS = np.arange(_WORDS, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) | np.uint64(1)


class Frame:
    """An array that is open for reading, with its checksums, where there are some, and how words weigh in them.

    Raises:
        MedclError: it is missing or damaged.
    """

    def __init__(self, path: Path, sums: NDArray[np.uint32] | None, weights: NDArray[np.uint64], remedy: str) -> None:
        import blosc2

        self._path, self._sums, self._weights, self._remedy = path, sums, weights, remedy
        try:
            if sums is not None:
                # Before blosc2 sees it: a damaged header may make it ask for any amount of memory.
                self._file = _mapped(path)
                if not len(sums) or _of_rest(self._file) != sums[0]:
                    raise damaged(path, remedy)
                self._offsets = _offsets(self._file)
                if len(sums) != 1 + len(self._offsets):
                    raise damaged(path.parent / SUMS, remedy)
                self._seen = bytearray(len(self._offsets))
                if len(self._offsets):
                    self._check(0)  # blosc2 reads its head when it opens the array, and trusts it.
            # Threads would cost more than the few blocks of a window do.
            array: Any = blosc2.open(str(path), mode="r", mmap_mode="r", dparams={"nthreads": 1})
            meta = array.schunk.meta
            self._shift = np.int16(meta["shift"]) if "shift" in meta else np.int16(0)
        except (OSError, ValueError, RuntimeError, IndexError) as error:
            raise damaged(path, remedy) from error
        self._array, self.dtype = array, np.dtype(array.dtype)
        self._shape, self._chunks = tuple(array.shape), tuple(array.chunks)
        # Chunks and blocks that span all axes but the first have their rows one behind the other: a slice of the flat
        # chunks then takes a third of the time of one of the array.
        self._flat = self._chunks[1:] == self._shape[1:] == tuple(array.blocks)[1:]
        self._row = prod(self._shape[1:])

    def read_into(self, out: NDArray[Any], start: Sequence[int]) -> None:
        """Read the part that begins at `start` and has the shape of `out`, contiguous and of the array's type.

        Raises:
            MedclError: the file is damaged.
        """
        try:
            if self._flat and out.shape[1:] == self._shape[1:]:
                chunk, first = self._chunks[0], start[0]
                for number in range(first // chunk, (first + len(out) - 1) // chunk + 1):
                    self._check(number)
                self._array.schunk.get_slice(first * self._row, first * self._row + out.size, out=out)
            else:
                stop = [at + size for at, size in zip(start, out.shape, strict=True)]
                for number in self._touched(start, stop):
                    self._check(number)
                # What indexing comes down to, without half a ms of looking at what the index might be.
                self._array.get_slice_numpy(out, (tuple(start), tuple(stop)))
        except RuntimeError as error:
            raise damaged(self._path, self._remedy) from error
        if self._shift:
            out -= self._shift

    def _check(self, chunk: int) -> None:
        """Hold a chunk against its checksum, unless this process has done so."""
        if self._sums is None or self._seen[chunk]:
            return
        if _of_chunk(self._file, int(self._offsets[chunk]), self._weights) != self._sums[1 + chunk]:
            raise damaged(self._path, self._remedy)
        self._seen[chunk] = 1

    def _touched(self, start: Sequence[int], stop: Sequence[int]) -> Iterator[int]:
        """Numbers of the chunks that a part touches."""
        strides = [1]
        for length, size in zip(self._shape[:0:-1], self._chunks[:0:-1], strict=True):
            strides.append(strides[-1] * -(-length // size))
        touched = [
            range(first // size * stride, ((last - 1) // size + 1) * stride, stride)
            for first, last, size, stride in zip(start, stop, self._chunks, reversed(strides), strict=True)
        ]
        return map(sum, product(*touched))


class Frames:
    """The arrays of a store, with the places of `write_sums`, empty where there are no checksums.

    Whether these are `ordered`, telling the order of words: those of stores of version 0.1 do not.
    """

    def __init__(self, folder: Path, places: Mapping[str, list[int]], ordered: bool) -> None:
        self._folder, self._places, self._weights = folder, places, _WEIGHTS if ordered else _PLAIN

    def open(self, name: str) -> Frame:
        """Open an array, which may be missing or damaged: a `MedclError`."""
        sums = None
        if self._places:
            start, count = self._places.get(name, [0, 0])
            try:
                sums = np.fromfile(self._folder / SUMS, "<u4", count=count, offset=4 * start)
            except OSError as error:
                raise damaged(self._folder / SUMS, remedy_of(self._folder)) from error
        return Frame(self._folder / name, sums, self._weights, remedy_of(self._folder))


def remedy_of(folder: Path) -> str:
    """How to make a store again."""
    return f"remove {folder} and prepare the archive again"


def write_sums(folder: Path) -> dict[str, list[int]]:
    """Write the checksums of all arrays of a finished store.

    Returns:
        Name of each array -> where its checksums begin, and how many there are.

    Raises:
        OSError: the disk is full.
    """
    places: dict[str, list[int]] = {}
    start = 0
    paths = sorted(folder.glob("*.b2nd"))
    if paths:
        with (folder / SUMS).open("wb") as file:
            for path in paths:
                frame = _mapped(path)
                sums = [_of_rest(frame), *(_of_chunk(frame, offset, _WEIGHTS) for offset in _offsets(frame).tolist())]
                file.write(np.array(sums, "<u4").tobytes())
                places[path.name] = [start, len(sums)]
                start += len(sums)
    return places


def _mapped(path: Path) -> mmap.mmap:
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _offsets(frame: mmap.mmap) -> NDArray[np.int64]:
    """Where each chunk begins; negative where a chunk is a repeated value that takes no room."""
    import blosc2

    head, end = _parts(frame)
    if int.from_bytes(frame[30:38], "big") == 0:
        return np.empty(0, np.int64)
    length = int.from_bytes(frame[end + 12 : end + 16], "little")
    offsets = np.frombuffer(blosc2.decompress2(frame[end : end + length]), dtype="<i8")
    return np.where(offsets < 0, offsets, offsets + head)


def _parts(frame: mmap.mmap) -> tuple[int, int]:
    """Bytes of the header, and where the chunks end: see `README_CFRAME_FORMAT` of blosc2.

    Raises:
        ValueError: it is no array of blosc2.
    """
    if frame[2:10] != _MAGIC:
        raise ValueError("no frame of blosc2")
    head = int.from_bytes(frame[11:15], "big")
    end = head + int.from_bytes(frame[39:47], "big")
    if not 0 < head <= end <= len(frame):
        raise ValueError("a frame of blosc2 that was cut short")
    return head, end


def _of_rest(frame: mmap.mmap) -> int:
    head, end = _parts(frame)
    return int(checksum(frame[:head], frame[end:]), 16)


def _of_chunk(frame: mmap.mmap, offset: int, weights: NDArray[np.uint64]) -> int:
    if offset < 0:
        return 0
    length = min(int.from_bytes(frame[offset + 12 : offset + 16], "little"), len(frame) - offset)
    # CRC-32 of the weighted sums of each 4 kB, which takes a quarter of the time of one of all bytes.
    words = np.frombuffer(frame, "<u8", count=length // _SECTOR * _WORDS, offset=offset).reshape(-1, _WORDS)
    rest = frame[offset + length // _SECTOR * _SECTOR : offset + length]
    return int(checksum(np.einsum("sw,w->s", words, weights), rest), 16)
