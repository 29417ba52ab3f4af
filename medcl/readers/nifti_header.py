"""The header of a NIfTI file: geometry in mm, what the numbers mean, and whether the file is as long as it says."""

import gzip
import io
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from medcl.errors import UnreadableError
from medcl.readers.volume import Affine, Grid, VolumeHeader

BLOCK = 1 << 22  # bytes, or voxels, that are taken at a time
_GZIP = b"\x1f\x8b"
_DEFLATE_LIMIT = 1032  # no byte of a gzip file holds more than this many
_KINDS: dict[int, Any] = {348: nib.Nifti1Header, 540: nib.Nifti2Header}  # by the first number, the header's length
_UNITS = {1: (1e3, 1.0), 2: (1.0, 1.0), 3: (1.0, 1e3)}  # m, mm, um: times, divided by, is mm
_TOLERANCE = 0.1  # of a voxel: a quaternion in float32 can be that far off in a tilted volume


@dataclass(frozen=True)
class Stored:
    """Where and how a file keeps its numbers, i first and channels last: value = number * slope + inter."""

    header: VolumeHeader
    shape: tuple[int, int, int, int]
    dtype: np.dtype[Any]
    offset: int
    slope: float
    inter: float
    is_gzip: bool


@contextmanager
def opened(path: Path) -> Iterator[io.BufferedIOBase]:
    """A file, unpacked where its content (not its name) is gzip; whatever fails is an `UnreadableError`."""
    try:
        with path.open("rb") as raw:
            is_gzip = raw.peek(2)[:2] == _GZIP
            with gzip.GzipFile(fileobj=raw) if is_gzip else nullcontext(raw) as file:
                yield file
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UnreadableError(f"damaged gzip file, cut short or altered: {error}; copy it again") from error
    except OSError as error:
        raise UnreadableError(f"cannot be read: {error.strerror}") from error


def parse(path: Path) -> Stored:
    """Read a header and hold the file's length against it; a gzip file is unpacked only where its own length differs.

    Raises:
        UnreadableError: as `medcl.readers.nifti.read_header`.
    """
    with opened(path) as file:
        block = file.read(max(_KINDS))
        is_gzip = isinstance(file, gzip.GzipFile)
    raw = _raw_header(block)
    try:
        dtype: np.dtype[Any] = raw.get_data_dtype()
        slope, inter = raw.get_slope_inter()
    except (HeaderDataError, KeyError) as error:
        raise UnreadableError(f"damaged header: of its type of voxels or its scaling, {error}") from error
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise UnreadableError(f"voxels of type {raw.get_value_label('datatype')}: only integers and floats are read")
    shape, channels = _shape(raw)
    grid, flags = _geometry(raw, shape)
    offset = float(raw["vox_offset"])
    if not (offset.is_integer() and offset >= int(raw["sizeof_hdr"]) + 4):
        raise UnreadableError(f"damaged header: its voxels start at byte {offset:g}, within the header")
    extra = _check_length(path, is_gzip, int(offset) + prod(shape) * channels * dtype.itemsize)
    if extra:
        flags.append(f"{extra} bytes after the last voxel: not read")
    header = VolumeHeader(
        modality="mr",
        format="nifti",
        grid=grid,
        n_channels=channels,
        dtype=dtype.name,
        unit="stored",
        files=(path.name,),
        flags=tuple(flags),
    )
    if slope is None:  # written as 0 or no number
        slope, inter = 1.0, 0.0
    return Stored(header, (*shape, channels), dtype, int(offset), slope, inter, is_gzip)


def distance(one: Affine, other: Affine, shape: tuple[int, ...]) -> float:
    """How far the voxels of two grids of one shape lie apart at most, mm: at one of their corners."""
    corners = np.array(list(product(*((0, length - 1) for length in shape))), dtype=np.float64)
    apart = corners @ (one - other)[:3, :3].T + (one - other)[:3, 3]
    return float(np.linalg.norm(apart, axis=1).max())


def _raw_header(block: bytes) -> Any:
    """The header as nibabel lays it out, with nothing repaired: nibabel would make a spacing of 0 one of 1 mm."""
    for mark in "<>":
        length = int(np.frombuffer(block[:4].ljust(4, b"\0"), f"{mark}i4")[0])
        if length not in _KINDS:
            continue
        if len(block) < length:
            raise UnreadableError(f"truncated file: it ends within its header of {length} bytes")
        magic = block[344:348] if length == 348 else block[4:8]
        if magic[:2] == b"ni":
            raise UnreadableError("a pair of .hdr and .img: convert it into one .nii file")
        if magic[:2] != b"n+":
            raise UnreadableError("not a NIfTI file: ANALYZE or another format, which does not say where left is")
        return _KINDS[length](block[:length], endianness=mark, check=False)
    raise UnreadableError("not a NIfTI file: it does not begin with the length of a NIfTI header")


def _shape(raw: Any) -> tuple[tuple[int, int, int], int]:
    """Of the spatial axes, and the number of channels; axes of length 1 behind them are none."""
    n_axes = int(raw["dim"][0])
    if not 1 <= n_axes <= 7:
        raise UnreadableError(f"damaged header: {n_axes} axes")
    lengths = [int(length) for length in raw["dim"][1 : n_axes + 1]]
    while len(lengths) > 4 and lengths[-1] == 1:
        lengths.pop()
    if len(lengths) not in (3, 4):
        raise UnreadableError(
            f"{len(lengths)} axes, shape {tuple(lengths)}: a volume has 3, or 4 with its channels last"
        )
    if min(lengths) < 1:
        raise UnreadableError(f"an axis without voxels: shape {tuple(lengths)}")
    return (lengths[0], lengths[1], lengths[2]), lengths[3] if len(lengths) == 4 else 1


def _geometry(raw: Any, shape: tuple[int, int, int]) -> tuple[Grid, list[str]]:
    """Where the voxels lie, mm, by sform, else qform, else pixdim; and what is unusual about it."""
    flags = []
    unit = int(raw["xyzt_units"]) & 7
    times, by = _UNITS.get(unit, (1.0, 1.0))
    if unit not in _UNITS:
        flags.append("no unit of length: taken as mm")
    pixdim = raw["pixdim"]
    if (pixdim[1:4] < 0).any():
        flags.append("negative pixdim: its sign is ignored")
        pixdim[1:4] = np.abs(pixdim[1:4])
    if abs(pixdim[0]) != 1:
        pixdim[0] = 1  # as the standard has it for 0
    sform = _in_mm(raw.get_sform(), times, by) if raw["sform_code"] > 0 else None
    qform = None
    if raw["qform_code"] > 0:
        try:
            qform = _in_mm(raw.get_qform(), times, by)
        except (ValueError, HeaderDataError):
            flags.append("broken qform: its quaternion is no rotation")
    if sform is not None:
        grid = Grid(shape, sform)
        spacing = pixdim[1:4].astype(np.float64) * times / by
        apart = 0.0 if qform is None else distance(sform, qform, shape)
        if not apart <= _TOLERANCE * grid.spacing.min():
            flags.append(f"sform and qform disagree by up to {apart:.3g} mm: sform taken")
        elif qform is None and not (np.abs(spacing - grid.spacing) <= _TOLERANCE * grid.spacing).all():
            flags.append(f"pixdim states a spacing of {_text(spacing)} mm, sform {_text(grid.spacing)}: sform taken")
        return grid, flags
    if qform is not None:
        return Grid(shape, qform), flags
    flags.append("neither sform nor qform: spacing from pixdim; place unknown, axes taken as LAS, as ANALYZE has them")
    return Grid(shape, _in_mm(raw.get_base_affine(), times, by)), flags


def _in_mm(affine: Affine, times: float, by: float) -> Affine:
    return np.vstack([affine[:3].astype(np.float64) * times / by, affine[3:]])


def _text(spacing: NDArray[np.float64]) -> str:
    return " x ".join(f"{length:.4g}" for length in spacing)


def _check_length(path: Path, is_gzip: bool, end: int) -> int:
    """Bytes that follow the last voxel, which the header promises to lie before byte `end` of the unpacked file."""
    found = path.stat().st_size
    if is_gzip:
        if end > found * _DEFLATE_LIMIT:
            raise UnreadableError(
                f"truncated file: {found} bytes of gzip cannot hold the {end} that its header promises"
            )
        with path.open("rb") as packed:
            packed.seek(-4, os.SEEK_END)
            # Written last, by most programs for the whole file; where it is another number the file has to be unpacked.
            if int.from_bytes(packed.read(), "little") == end % 2**32:
                return 0
        with opened(path) as file:
            found = sum(len(block) for block in iter(lambda: file.read(BLOCK), b""))
    if found < end:
        raise UnreadableError(f"truncated file: {found} bytes, its header promises {end}")
    return found - end
