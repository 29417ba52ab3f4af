"""MetaImage: .mha, or .mhd with its voxels in other files."""

from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from medcl.errors import UnreadableError
from medcl.modality.volume.formats.text_header import Text, check_lengths, files_of, in_mm, read_head
from medcl.modality.volume.formats.voxels import Stored, VoxelPart, check_length, readers
from medcl.modality.volume.record import Affine, Grid, VolumeHeader

_TYPES = {
    **{"met_char": "i1", "met_uchar": "u1", "met_short": "i2", "met_ushort": "u2", "met_int": "i4", "met_uint": "u4"},
    **{"met_long": "i4", "met_ulong": "u4", "met_long_long": "i8", "met_ulong_long": "u8"},
    **{"met_float": "f4", "met_double": "f8"},
}
_MODALITIES = {"met_mod_ct": "ct", "met_mod_mr": "mr", "met_mod_nm": "nm", "met_mod_us": "us"}
_FROM = {"r": (0, 1), "l": (0, -1), "a": (1, 1), "p": (1, -1), "i": (2, 1), "s": (2, -1)}
"""Letter of an anatomical orientation, where an axis begins -> axis and direction in LPS."""
_NEAR = 0.5  # cosine of the angle to the nearest axis, of which 0.58 is the least
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])


def _stored_volume(path: Path) -> Stored:
    """Read the header of a MetaImage file (of one in several files, of the one that holds the text).

    In mm whatever `DistanceUnits` the file has; unit `stored`, modality `mr` where the file states none.
    `ElementToIntensityFunction`, which ITK leaves out, is applied to the voxels.

    Raises:
        UnreadableError: the file is damaged or cannot hold what its header promises, has other than 3 axes (4 with
            channels), no spacing, voxels that are colours, or voxels in files outside of its folder.
    """
    text = read_head(path, "=", "elementdatafile")
    sizes = text.integers("dimsize")
    if text.integers("ndims") != [len(sizes)]:
        raise UnreadableError("damaged header: NDims is not the number of its DimSize")
    check_lengths(sizes)
    shape, frames = _shape(sizes)
    values = (text.integers("elementnumberofchannels") or [1])[0]
    check_lengths([*shape, frames, values])
    dtype = _dtype(text)
    if values in (3, 4) and dtype.itemsize == 1:
        raise UnreadableError("voxels that are colours: only numbers are read")
    if values > 1 and frames > 1:
        raise UnreadableError(f"{frames} frames of {values} values a voxel: a volume has one axis of channels")
    grid, flags = _geometry(text, len(sizes), shape)
    lengths = (values, *shape) if values > 1 else (*shape, frames)
    packing = _packing(text)
    parts = _parts(path, text, packing, prod(lengths), dtype)
    header = VolumeHeader(
        modality=_MODALITIES.get(text.get("modality").lower(), "mr"),
        format="metaimage",
        grid=grid,
        n_channels=max(values, frames),
        dtype=dtype.name,
        unit="stored",
        files=(path.name, *(str(part.path.relative_to(path.parent)) for part in parts if part.path != path)),
    )
    slope, inter = (_factor(text, name, default) for name, default in (("Slope", 1.0), ("Offset", 0.0)))
    four = (lengths[0], lengths[1], lengths[2], lengths[3])
    stored = Stored(header, four, 0 if values > 1 else 3, dtype, parts, packing, slope, inter)
    return replace(stored, header=replace(header, flags=(*flags, *check_length(stored))))


def _shape(sizes: list[int]) -> tuple[tuple[int, int, int], int]:
    """Of the spatial axes, and the frames of a fourth."""
    while len(sizes) > 3 and sizes[-1] == 1:
        sizes = sizes[:-1]
    if len(sizes) not in (3, 4):
        raise UnreadableError(f"{len(sizes)} axes, shape {tuple(sizes)}: a volume has 3, or 4 with its channels")
    return (sizes[0], sizes[1], sizes[2]), sizes[3] if len(sizes) == 4 else 1


def _dtype(text: Text) -> np.dtype[Any]:
    kind = text.get("elementtype").lower()
    if kind not in _TYPES:
        raise UnreadableError("damaged header: no ElementType, or one that is no number")
    big = _is_true(text, "elementbyteordermsb") or _is_true(text, "binarydatabyteordermsb")
    return np.dtype(f"{'>' if big else '<'}{_TYPES[kind]}")


def _is_true(text: Text, name: str) -> bool:
    return text.get(name).lower()[:1] in ("t", "y", "1")


def _packing(text: Text) -> str:
    if text.get("binarydata") and not _is_true(text, "binarydata"):
        return "text"
    return "zlib" if _is_true(text, "compresseddata") else "raw"


def _geometry(text: Text, n_axes: int, shape: tuple[int, int, int]) -> tuple[Grid, list[str]]:
    """Where the voxels lie, mm in RAS+, and what is unusual about it."""
    flags: list[str] = []
    spacing = _values(text, ("elementspacing", "elementsize"), n_axes)
    if spacing is None:
        raise UnreadableError("no spacing: neither ElementSpacing nor ElementSize is stated")
    offset = _values(text, ("offset", "position", "origin"), n_axes)
    matrix = _values(text, ("transformmatrix", "rotation", "orientation"), n_axes * n_axes)
    named = _anatomical(text)
    if matrix is not None:
        axes = matrix.reshape(n_axes, n_axes)[:3, :3]
        # Of an oblique matrix the letters are the nearest axes.
        if named is not None and ((axes * named).sum(axis=1) < _NEAR).any():
            flags.append("AnatomicalOrientation and TransformMatrix disagree: TransformMatrix taken")
    else:
        axes = np.eye(3) if named is None else named
        flags.append("no TransformMatrix: axes taken as " + ("LPS" if named is None else "AnatomicalOrientation says"))
    scale = in_mm([text.get("distanceunits")] * 3, range(3), flags)
    affine: Affine = np.eye(4)
    affine[:3, :3] = _LPS_TO_RAS @ (axes * (spacing[:3] * scale)[:, None]).T
    affine[:3, 3] = _LPS_TO_RAS @ ((np.zeros(3) if offset is None else offset[:3]) * scale)
    return Grid(shape, affine), flags


def _values(text: Text, names: tuple[str, ...], count: int) -> Any:
    """The numbers of the first of these fields that the header has, None without any."""
    name = next((name for name in names if text.get(name)), None)
    if name is None:
        return None
    numbers = np.array(text.numbers(name))
    if len(numbers) != count:
        raise UnreadableError(f"damaged header: {name} of {len(numbers)} numbers, its axes need {count}")
    return numbers


def _anatomical(text: Text) -> Any:
    """The directions of the axes, a row each in LPS, as letters such as RAI say where they begin; None without."""
    letters = text.get("anatomicalorientation").lower()
    known = [_FROM[letter] for letter in letters if letter in _FROM]
    if len(letters) != 3 or len({axis for axis, _ in known}) != 3:
        return None
    axes = np.zeros((3, 3))
    for row, (axis, direction) in enumerate(known):
        axes[row, axis] = direction
    return axes


def _factor(text: Text, name: str, default: float) -> float:
    field = f"ElementToIntensityFunction{name}"
    number = (text.numbers(field.lower()) or [default])[0]
    if not np.isfinite(number) or (number == 0 and default == 1):
        raise UnreadableError(f"damaged header: {field} of {number:g}")
    return number


def _parts(path: Path, text: Text, packing: str, count: int, dtype: np.dtype[Any]) -> tuple[VoxelPart, ...]:
    """The files of the voxels and where these begin."""
    value = text.get("elementdatafile")
    skipped = (text.integers("headersize") or [0])[0]
    if not -1 <= skipped < 2**62:
        raise UnreadableError("damaged header: HeaderSize is no length of a file")
    local = value.upper() == "LOCAL"
    files = (path,) if local else files_of(path.parent, value, text.listed, count)
    if count % len(files):
        raise UnreadableError("damaged header: its voxels cannot be shared evenly between its files")
    stated = (text.integers("compresseddatasize") or [0])[0]
    if local and packing == "zlib" and path.stat().st_size < text.length + stated:
        raise UnreadableError(f"truncated file: it ends before the {stated} bytes of its packed voxels do")
    if skipped == -1 and packing == "raw":
        length = count // len(files) * dtype.itemsize
        return tuple(VoxelPart(one, max(0, one.stat().st_size - length)) for one in files)
    return tuple(VoxelPart(one, text.length if local else max(0, skipped)) for one in files)


read_header, read_volume = readers(_stored_volume)
