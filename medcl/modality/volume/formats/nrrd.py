"""NRRD, in one file or with its voxels beside the header: text, a blank line, voxels."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medcl.errors import UnreadableError
from medcl.modality.volume.formats.text_header import Text, check_lengths, files_of, in_mm, read_head
from medcl.modality.volume.formats.voxels import Stored, VoxelPart, check_gzip, check_length, readers
from medcl.modality.volume.record import Affine, Grid, VolumeHeader

_TYPES = {
    "i1": ("signed char", "int8", "int8_t"),
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": ("longlong", "long long", "long long int", "signed long long", "signed long long int", "int64", "int64_t"),
    "u8": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
    "f4": ("float",),
    "f8": ("double",),
}
_PACKINGS = {"raw": "raw", "gz": "gzip", "gzip": "gzip", "bz2": "bzip2", "bzip2": "bzip2", "hex": "hex"}
_PACKINGS |= dict.fromkeys(("txt", "text", "ascii"), "text")
_SPACES: dict[str, tuple[float, float, float]] = {
    **dict.fromkeys(("ras", "right-anterior-superior"), (1, 1, 1)),
    **dict.fromkeys(("las", "left-anterior-superior"), (-1, 1, 1)),
    **dict.fromkeys(("lps", "left-posterior-superior"), (-1, -1, 1)),
}
"""Of each space that says where the patient lies: its axes, as a sign of those of RAS+."""
_LPS = (-1.0, -1.0, 1.0)
_SPATIAL = ("domain", "space")
_COLOURS = ("3-color", "rgb-color", "hsv-color", "xyz-color", "4-color", "rgba-color")
_SAME = 1e-3  # of a spacing


@dataclass(frozen=True)
class _Axes:
    """The axes of a file.

    Args:
        sizes: of all.
        spatial: which three are in space.
        channel: which one holds the channels, None without any.
    """

    sizes: tuple[int, ...]
    spatial: tuple[int, int, int]
    channel: int | None


def _stored_volume(path: Path) -> Stored:
    """Read the header of an NRRD file (of one in two files, of the one that holds the text), and where its voxels are.

    In mm whatever units the file has; modality `mr` and unit `stored`, for NRRD states neither.

    Raises:
        UnreadableError: the file is damaged or cannot hold what its header promises, has other than 3 axes (4 with
            channels), no spacing, voxels that are colours or complex, or voxels in files outside of its folder.
    """
    text = read_head(path, ":")
    dtype = _dtype(text)
    packing = _PACKINGS.get(text.get("encoding").lower())
    if packing is None:
        raise UnreadableError("damaged header: no encoding, or one that NRRD does not have")
    axes = _axes(text)
    grid, flags = _geometry(text, axes)
    kept = sorted((*axes.spatial, *(() if axes.channel is None else (axes.channel,))))
    lengths = [axes.sizes[axis] for axis in kept]
    channel_axis = 3 if axes.channel is None else kept.index(axes.channel)
    if axes.channel is None:
        lengths.append(1)
    parts = _parts(path, text, packing, prod(lengths), dtype)
    header = VolumeHeader(
        modality="mr",
        format="nrrd",
        grid=grid,
        n_channels=lengths[channel_axis],
        dtype=dtype.name,
        unit="stored",
        files=(path.name, *(str(part.path.relative_to(path.parent)) for part in parts if part.path != path)),
    )
    shape = (lengths[0], lengths[1], lengths[2], lengths[3])
    stored = Stored(header, shape, channel_axis, dtype, parts, packing)
    return replace(stored, header=replace(header, flags=(*flags, *check_length(stored), *check_gzip(stored))))


def _dtype(text: Text) -> np.dtype[Any]:
    wanted = " ".join(text.get("type").lower().split())
    found = next((name for name, names in _TYPES.items() if wanted in names), None)
    if found is None:
        raise UnreadableError("damaged header: no type of voxels, or one that is no number")
    order = {"little": "<", "big": ">"}.get(text.get("endian").lower())
    if order is None and found[1] != "1" and text.get("encoding").lower() not in ("txt", "text", "ascii"):
        raise UnreadableError("damaged header: no endian, so the order of the bytes of its voxels is not known")
    return np.dtype(f"{order or '<'}{found}")


def _axes(text: Text) -> _Axes:
    sizes = tuple(text.integers("sizes"))
    if text.integers("dimension") != [len(sizes)] or not 1 <= len(sizes) <= 16:
        raise UnreadableError("damaged header: its dimension is not the number of its sizes")
    check_lengths(sizes)
    kinds = [kind.lower() for kind in text.get("kinds").split()] or ["???"] * len(sizes)
    vectors = _vectors(text.get("space directions"))
    spacings = text.numbers("spacings") or [np.nan] * len(sizes)
    if len(kinds) != len(sizes) or len(spacings) != len(sizes) or (vectors and len(vectors) != len(sizes)):
        raise UnreadableError("damaged header: a field that does not state one value for each axis")
    if vectors:
        spatial = [axis for axis, vector in enumerate(vectors) if vector is not None]
    else:
        spatial = [axis for axis, kind in enumerate(kinds) if kind in _SPATIAL]
    if not vectors and len(spatial) != 3:
        # Not said: those with a spacing, or the first three.
        spatial = [axis for axis, spacing in enumerate(spacings) if np.isfinite(spacing)]
        spatial = spatial if len(spatial) == 3 else list(range(min(3, len(sizes))))
    others = [axis for axis, size in enumerate(sizes) if axis not in spatial and size > 1]
    if len(spatial) != 3 or len(others) > 1:
        raise UnreadableError(f"{len(sizes)} axes, shape {sizes}: a volume has 3, or 4 with its channels")
    kind = kinds[others[0]] if others else ""
    if kind in _COLOURS or kind == "complex":
        raise UnreadableError(f"voxels that are {'complex' if kind == 'complex' else 'colours'}: only numbers are read")
    return _Axes(sizes, (spatial[0], spatial[1], spatial[2]), others[0] if others else None)


def _geometry(text: Text, axes: _Axes) -> tuple[Grid, list[str]]:
    """Where the voxels lie, mm in RAS+, and what is unusual about it."""
    flags: list[str] = []
    space = text.get("space").lower()
    if space and space not in _SPACES:
        flags.append("its space does not say where the patient lies: axes taken as LPS")
    elif not space:
        flags.append("no space: axes taken as LPS")
    to_ras = np.array(_SPACES.get(space, _LPS))
    vectors = _vectors(text.get("space directions"))
    spacings = text.numbers("spacings")
    affine = np.eye(4)
    if vectors:
        scale = in_mm(text.quoted("space units"), range(3), flags)
        chosen = [vectors[axis] for axis in axes.spatial]
        origin = (_vectors(text.get("space origin")) or [[0.0] * 3])[0]
        if any(vector is None or len(vector) != 3 for vector in (*chosen, origin)):
            raise UnreadableError("a space of other than 3 dimensions: write it with 3")
        affine[:3, :3] = np.array(chosen, dtype=np.float64).T * scale[:, None]
        affine[:3, 3] = np.array(origin) * scale
        _compare(affine, spacings, text, axes, flags)
    else:
        scale = in_mm(text.quoted("units") or text.quoted("space units"), axes.spatial, flags)
        if space in _SPACES:
            flags.append("no space directions: axes taken as those of its space")
        affine = _without_directions(text, axes, spacings, scale)
    affine[:3] *= to_ras[:, None]
    x, y, z = (axes.sizes[axis] for axis in axes.spatial)
    return Grid((x, y, z), affine), flags


def _without_directions(text: Text, axes: _Axes, spacings: list[float], scale: NDArray[np.float64]) -> Affine:
    """From spacings, or from the ends of the axes; the origin is that of the space, or where the axes begin."""
    low, high = (
        text.numbers("axis mins") or text.numbers("axismins"),
        text.numbers("axis maxs") or text.numbers("axismaxs"),
    )
    centres = (text.get("centers") or text.get("centerings")).lower().split()
    lengths, starts = [], []
    for axis in axes.spatial:
        size, is_node = axes.sizes[axis], axis < len(centres) and centres[axis] == "node"
        spacing = spacings[axis] if axis < len(spacings) else np.nan
        if not np.isfinite(spacing) and axis < min(len(low), len(high)):
            spacing = (high[axis] - low[axis]) / max(1, size - 1 if is_node else size)
        lengths.append(spacing)
        start = low[axis] if axis < len(low) and np.isfinite(low[axis]) else 0.0
        # The ends of an axis are those of its cells, or its first and last sample.
        starts.append(start if is_node or not start else start + spacing / 2)
    if not np.isfinite(lengths).all():
        raise UnreadableError("no spacing: neither space directions nor spacings nor the ends of its axes are stated")
    origin = _vectors(text.get("space origin"))
    affine = np.diag([*(np.array(lengths) * scale), 1.0])
    affine[:3, 3] = np.array(origin[0] if origin and origin[0] and len(origin[0]) == 3 else starts) * scale
    return affine


def _compare(affine: Affine, spacings: list[float], text: Text, axes: _Axes, flags: list[str]) -> None:
    if not spacings:
        return
    stated = np.array([spacings[axis] for axis in axes.spatial]) * in_mm(text.quoted("units"), axes.spatial, [])
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    known = np.isfinite(stated)
    if (np.abs(np.abs(stated) - lengths)[known] > _SAME * lengths[known]).any():
        flags.append("spacings and space directions disagree: space directions taken")


def _vectors(value: str) -> list[list[float] | None]:
    """Vectors such as `(1,0,0) none (0,1,0)`."""
    found: list[list[float] | None] = []
    for word in re.findall(r"\([^()]*\)|[^\s()]+", value):
        if word.lower() == "none":
            found.append(None)
            continue
        try:
            found.append([float(number) for number in word.strip("()").split(",")])
        except ValueError:
            raise UnreadableError("damaged header: a vector of its space that is not written as (x,y,z)") from None
    return found


def _parts(path: Path, text: Text, packing: str, count: int, dtype: np.dtype[Any]) -> tuple[VoxelPart, ...]:
    """The files of the voxels and where these begin."""
    lines, inner = (_skipped(text, name) for name in ("line skip", "byte skip"))
    value = text.get("data file") or text.get("datafile")
    files: Iterable[Path] = files_of(path.parent, value, text.listed, count) if value else (path,)
    parts = []
    paths = tuple(files)
    for one in paths:
        start = _behind_lines(one, text.length if not value else 0, lines)
        if inner == -1:
            if packing != "raw":
                raise UnreadableError("damaged header: a byte skip of -1, of voxels that are packed")
            start = max(0, one.stat().st_size - count // len(paths) * dtype.itemsize)
        packed = packing not in ("raw", "text", "hex")
        parts.append(VoxelPart(one, start + (0 if packed else max(0, inner)), max(0, inner) if packed else 0))
    if count % len(parts):
        raise UnreadableError("damaged header: its voxels cannot be shared evenly between its files")
    return tuple(parts)


def _skipped(text: Text, name: str) -> int:
    found = text.integers(name) or text.integers(name.replace(" ", "")) or [0]
    if len(found) != 1 or not -1 <= found[0] < 2**62:
        raise UnreadableError(f"damaged header: its {name} is no number of a file")
    return found[0]


def _behind_lines(path: Path, start: int, lines: int) -> int:
    if lines <= 0:
        return start
    with path.open("rb") as file:
        file.seek(start)
        for _ in range(lines):
            if not file.readline(1 << 16):
                raise UnreadableError("truncated file: it has fewer lines than its header leaves out")
        return file.tell()


read_header, read_volume = readers(_stored_volume)
