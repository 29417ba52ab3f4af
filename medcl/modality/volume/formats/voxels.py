"""The numbers of a volume in its files: whether they can be there, and how they are read."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medcl.errors import UnreadableError
from medcl.modality.unpack import BLOCK, LIMITS, Unpacked, opened, scaled, skip
from medcl.modality.volume.record import Nan, Volume, VolumeHeader

_SEARCHED = 1 << 28  # bytes behind the last voxel that are counted in a packed file; what is more is said to be so


@dataclass(frozen=True)
class VoxelPart:
    """A file, or the end of one, that holds voxels.

    Args:
        path: of the file.
        offset: bytes before them, or before what is packed.
        inner: unpacked bytes before them.
    """

    path: Path
    offset: int = 0
    inner: int = 0


@dataclass(frozen=True)
class Stored:
    """Where and how files keep the numbers of a volume: value = number * slope + inter.

    Args:
        header: of the volume.
        lengths: of all four axes, the one that runs fastest first.
        channel_axis: which of them the channels are.
        dtype: of a number, with its byte order.
        parts: the files, each with an equal share of the numbers.
        packing: `raw`, `text` or `hex`, or one of `unpack.LIMITS`.
        slope: finite, not 0.
        inter: finite.
    """

    header: VolumeHeader
    lengths: tuple[int, int, int, int]
    channel_axis: int
    dtype: np.dtype[Any]
    parts: tuple[VoxelPart, ...]
    packing: str = "raw"
    slope: float = 1.0
    inter: float = 0.0

    @property
    def count(self) -> int:
        """Numbers of a part."""
        return prod(self.lengths) // len(self.parts)


def beside(folder: Path, name: str) -> Path:
    """A file that a header names as that of its voxels.

    Raises:
        UnreadableError: it leads out of the folder, or there is no such file.
    """
    at = PurePosixPath(name)
    if not name or at.is_absolute() or ".." in at.parts or set(name) & {"\\", ":", "\0"}:
        raise UnreadableError("the file of its voxels lies outside of its folder: put it beside the header")
    if not os.path.isfile(folder / at):
        raise UnreadableError("the file of its voxels is not next to it: copy both, or correct its name in the header")
    return folder / at


def check_length(stored: Stored) -> tuple[str, ...]:
    """Hold the lengths of the files against what the header promises; of packed files only what they hold at most.

    Raw files that are longer get a flag.

    Raises:
        UnreadableError: they cannot hold the numbers.
    """
    extra = 0
    for part in stored.parts:
        try:
            size = part.path.stat().st_size
        except OSError:
            raise UnreadableError("the file of its voxels cannot be read") from None
        at_least = stored.count * stored.dtype.itemsize
        if stored.packing in LIMITS:
            if part.inner + at_least > max(0, size - part.offset) * LIMITS[stored.packing]:
                raise UnreadableError(
                    f"truncated file: {size} bytes of {stored.packing} cannot hold the {part.inner + at_least} that "
                    "its header promises"
                )
            continue
        if stored.packing != "raw":
            at_least = 2 * (stored.count if stored.packing == "text" else at_least) - 1
        if size < part.offset + at_least:
            raise UnreadableError(f"truncated file: {size} bytes, its header promises {part.offset + at_least}")
        extra += size - part.offset - at_least if stored.packing == "raw" else 0
    return (f"{extra} bytes after the last voxel: not read",) if extra else ()


def check_gzip(stored: Stored, more: int = 0) -> tuple[str, ...]:
    """Hold gzip files against what the header promises; they are unpacked only where their own statement differs.

    `more` bytes may follow the last voxel, where the format has something there.

    Returns:
        Flags of what lies behind the last voxel, or behind the packed data.

    Raises:
        UnreadableError: one is shorter, or damaged.
    """
    flags: list[str] = []
    for part in stored.parts if stored.packing == "gzip" else ():
        end = part.inner + stored.count * stored.dtype.itemsize
        with part.path.open("rb") as packed:
            packed.seek(-4, os.SEEK_END)
            # Written last, by most programs for the whole file.
            stated = int.from_bytes(packed.read(), "little")
        if (stated - end) % 2**32 > more:
            flags += _behind(part, end)
    return tuple(flags)


def _behind(part: VoxelPart, end: int) -> list[str]:
    """What lies behind byte `end` of a gzip file, and behind its packed data."""
    found = 0
    room = memoryview(bytearray(BLOCK))
    with opened(part.path, "gzip", part.offset) as file:
        while found < end + _SEARCHED and (read := file.readinto(room)):
            found += read
        rest = file.behind if isinstance(file, Unpacked) else 0
    if found < end:
        raise UnreadableError(f"truncated file: {found} bytes, its header promises {end}")
    flags = []
    if found > end:
        more = "" if found < end + _SEARCHED else "more than "
        flags.append(f"{more}{found - end} bytes after the last voxel: not read")
    if rest:
        flags.append(f"{rest} bytes behind the end of its gzip data: not read")
    return flags


def read(stored: Stored) -> NDArray[Any]:
    """Read the numbers and scale them.

    Returns:
        (channels, i, j, k) on the axes of the file: int16 where the numbers are whole and fit, else float32; a map of
        the file, read-only, where it is not packed.

    Raises:
        UnreadableError: the files end early or are damaged, or values are beyond float32.
    """
    values = scaled(_numbers(stored), stored.slope, stored.inter)
    return np.moveaxis(values.reshape(stored.lengths, order="F"), stored.channel_axis, 0)


def volume(stored: Stored, unit: str, nan: Nan) -> Volume:
    """Read the volume; see `Volume.of` for what it raises."""
    return Volume.of(read(stored), stored.header.grid, unit, nan)


def readers(stored_volume: Callable[[Path], Stored]) -> tuple[Callable[[Path], VolumeHeader], Callable[..., Volume]]:
    """`read_header` and `read_volume` of a format whose header says where its voxels are.

    Args:
        stored_volume: the header of a file, and where its voxels are.
    """

    def read_volume(path: Path, unit: str = "stored", nan: Nan = "refuse") -> Volume:
        return volume(stored_volume(path), unit, nan)

    return lambda path: stored_volume(path).header, read_volume


def _numbers(stored: Stored) -> NDArray[Any]:
    if stored.packing == "raw" and len(stored.parts) == 1:
        (part,) = stored.parts
        try:
            with opened(part.path):
                return np.asarray(np.memmap(part.path, stored.dtype, "r", part.offset, (stored.count,)))
        except ValueError:
            raise UnreadableError("truncated file: it became shorter while it was read") from None
    numbers = np.empty(prod(stored.lengths), dtype=stored.dtype)
    for number, part in enumerate(stored.parts):
        share = numbers[number * stored.count : (number + 1) * stored.count]
        if stored.packing in ("text", "hex"):
            share[:] = _written_out(part, stored)
        else:
            _fill(memoryview(share.view(np.uint8).data), part, stored.packing)
    return numbers


def _fill(room: memoryview, part: VoxelPart, packing: str) -> None:
    with opened(part.path, packing, part.offset) as file:
        skip(file, part.inner)
        at = 0
        while at < len(room):
            count = file.readinto(room[at : at + BLOCK])
            if not count:
                raise UnreadableError(f"truncated file: it ends {len(room) - at} bytes before its last voxel")
            at += count
        # Only at its end is a packed file held against its checksum; a little further there is nothing to be gained.
        left = _SEARCHED
        while packing in LIMITS and left > 0 and (block := file.read(BLOCK)):
            left -= len(block)


def _written_out(part: VoxelPart, stored: Stored) -> NDArray[Any]:
    with opened(part.path, "raw", part.offset) as file:
        content = file.read(part.path.stat().st_size)
    try:
        if stored.packing == "hex":
            data = bytes.fromhex(content.decode("ascii"))
            return np.frombuffer(data, stored.dtype, stored.count)
        words = np.array(content.replace(b",", b" ").split()[: stored.count], dtype="S")
        numbers = words.astype(np.int64 if stored.dtype.kind in "iu" else np.float64)
        if numbers.size < stored.count:
            raise UnreadableError(f"truncated file: {numbers.size} numbers, its header promises {stored.count}")
        if stored.dtype.kind in "iu":
            about = np.iinfo(stored.dtype)
            if numbers.min() < about.min or numbers.max() > about.max:
                raise UnreadableError("damaged file: numbers that its type of voxels cannot hold")
        return numbers.astype(stored.dtype)
    except (ValueError, OverflowError):
        raise UnreadableError("damaged file: its voxels are written out, and some are not numbers") from None
