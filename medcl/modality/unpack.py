"""From the bytes of a file to numbers: unpacked where they are packed, in little memory, and scaled."""

import bz2
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from medcl.errors import UnreadableError, system_reason

BLOCK = 1 << 22  # bytes, or voxels, that are taken at a time
LIMITS = {"gzip": 1032, "zlib": 1032, "bzip2": 1_500_000}
"""How many bytes one byte of each packing holds at most."""
LARGEST = 90_000_000
"""Pixels of an image, at most: a small file may claim to unpack to more than the memory holds."""
_GZIP = b"\x1f\x8b"
_FIRST, _STEP = 1 << 12, 1 << 17  # packed bytes that are taken at a time; few at first, since a header needs few
_MAKERS: dict[str, Any] = {
    "gzip": lambda: zlib.decompressobj(31),
    "zlib": lambda: zlib.decompressobj(47),  # with the header of zlib or of gzip
    "bzip2": bz2.BZ2Decompressor,
}
_STARTS = {"gzip": _GZIP + b"\x08", "zlib": None, "bzip2": b"BZh"}


class Bytes(Protocol):
    """What a reader of voxels needs of a file."""

    def read(self, size: int, /) -> bytes:
        """The next bytes, at most this many; none at the end."""

    def readinto(self, room: memoryview, /) -> int | None:
        """Fill the room, or a part of it; 0 at the end."""


class Unpacked:
    """Reads what a packed file holds, also of several packed parts one after the other.

    Args:
        raw: the file, at the first byte that is packed.
        packing: `gzip`, `zlib` or `bzip2`.
    """

    def __init__(self, raw: BinaryIO, packing: str) -> None:
        self._raw, self._packing = raw, packing
        self._unpack = _MAKERS[packing]()
        self._ready = memoryview(b"")
        self._ended = False
        self._step = _FIRST
        self.behind = 0
        """Bytes behind the end of the packed data, once that is reached."""

    def readinto(self, room: memoryview, /) -> int:
        """Fill the room, or a part of it; 0 at the end.

        Raises:
            UnreadableError: the packed data end early or were altered.
        """
        while not self._ready and not self._ended:
            self._ready = memoryview(self._next())
        count = min(len(room), len(self._ready))
        room[:count], self._ready = self._ready[:count], self._ready[count:]
        return count

    def read(self, size: int, /) -> bytes:
        """The next bytes, at most this many; none at the end.

        Raises:
            UnreadableError: as `readinto`.
        """
        room = bytearray(size)
        at = 0
        while at < size and (count := self.readinto(memoryview(room)[at:])):
            at += count
        return bytes(room[:at])

    def _next(self) -> bytes:
        if self._unpack.eof:
            return self._further(self._unpack.unused_data)
        waiting = b"" if self._packing == "bzip2" else self._unpack.unconsumed_tail
        if not waiting and getattr(self._unpack, "needs_input", True):
            waiting = self._raw.read(self._step)
            self._step = min(_STEP, 2 * self._step)
            if not waiting:
                raise UnreadableError(f"damaged {self._packing} file, cut short or altered: copy it again")
        return self._taken(waiting)

    def _further(self, rest: bytes) -> bytes:
        """The next packed part; what does not begin like one only lies behind the end."""
        rest += self._raw.read(_STEP)
        start = _STARTS[self._packing]
        if rest and start is not None and rest.startswith(start):
            self._unpack = _MAKERS[self._packing]()
            return self._taken(rest)
        self._ended = True
        self.behind = len(rest)
        if rest:
            here = self._raw.tell()
            self.behind += self._raw.seek(0, io.SEEK_END) - here
        return b""

    def _taken(self, packed: bytes) -> bytes:
        try:
            unpacked: bytes = self._unpack.decompress(packed, BLOCK)
        except (zlib.error, OSError, EOFError, ValueError):
            raise UnreadableError(f"damaged {self._packing} file, cut short or altered: copy it again") from None
        return unpacked


@contextmanager
def opened(path: Path, packing: str | None = None, offset: int = 0) -> Iterator[Bytes]:
    """A file, unpacked; whatever fails is an `UnreadableError`.

    Args:
        path: of the file.
        packing: of its bytes, one of `LIMITS` or `raw`; None unpacks what begins like gzip, whatever its name.
        offset: bytes that are left out, before anything is unpacked.
    """
    try:
        with path.open("rb") as raw:
            if packing is None:
                packing = "gzip" if raw.peek(2)[:2] == _GZIP else "raw"
            raw.seek(offset)
            yield raw if packing == "raw" else Unpacked(raw, packing)
    except OSError as error:
        raise UnreadableError(f"cannot be read: {system_reason(error)}") from None


def skip(file: Bytes, count: int) -> None:
    """Pass over bytes of an unpacked file, as far as there are any."""
    while count > 0 and (block := file.read(min(count, BLOCK))):
        count -= len(block)


def check_size(rows: int, columns: int) -> None:
    """Refuse what cannot be an image, or has more pixels than are decoded.

    Raises:
        UnreadableError: no pixel, or more than `LARGEST`.
    """
    if rows < 1 or columns < 1:
        raise UnreadableError(f"damaged header: an image of {rows} x {columns} pixels")
    if rows * columns > LARGEST:
        raise UnreadableError(
            f"an image of {rows} x {columns} pixels, more than {LARGEST / 1e6:g} million: make a smaller copy of it"
        )


_RANGE = np.iinfo(np.int16)
_AT_ONCE = 1 << 15  # numbers at a time: in float64 they stay in the processor's cache, and never fill the memory


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
    room = np.empty(min(len(numbers), _AT_ONCE))
    largest = float(max(map(abs, _ends(numbers)))) if numbers.dtype.kind in "iu" else np.inf
    may_be_beyond = largest * abs(slope) + abs(inter) > np.finfo(np.float32).max
    beyond = 0
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, len(numbers), _AT_ONCE):
            part, into = numbers[start : start + _AT_ONCE], values[start : start + _AT_ONCE]
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
