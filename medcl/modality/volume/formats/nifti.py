"""NIfTI-1 and NIfTI-2 in one file or in a pair, ANALYZE, and masks on the grid of a volume."""

import gzip
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from medcl import files
from medcl.errors import UnreadableError, UsageError
from medcl.modality.unpack import Unpacked, opened
from medcl.modality.volume.formats.voxels import Stored, VoxelPart, check_gzip, check_length, volume
from medcl.modality.volume.record import Affine, Grid, Nan, Volume, VolumeHeader, distance

_KINDS: dict[int, Any] = {348: nib.Nifti1Header, 540: nib.Nifti2Header}  # by the first number, the header's length
_UNITS = {1: (1e3, 1.0), 2: (1.0, 1.0), 3: (1.0, 1e3)}  # m, mm, um: times, divided by, is mm
_TOLERANCE = 0.1  # of a voxel: a quaternion in float32 can be that far off in a tilted volume
_ORIENT = 252  # byte of an ANALYZE header
_ORIENTS = {1: "coronal", 2: "sagittal", 3: "flipped axial", 4: "flipped coronal", 5: "flipped sagittal"}


def stored_volume(path: Path) -> Stored:
    """Read a header and hold the file's length against it; a gzip file is unpacked only where its own length differs.

    Raises:
        UnreadableError: as `medcl.modality.volume.formats.nifti.read_header`.
    """
    with opened(path) as file:
        block = file.read(max(_KINDS))
        packing = "gzip" if isinstance(file, Unpacked) else "raw"
    raw = _raw_header(block)
    single = not _is_analyze(raw) and raw["magic"].item()[:2] == b"n+"
    try:
        dtype: np.dtype[Any] = raw.get_data_dtype()
        slope, inter = raw.get_slope_inter()
    except (HeaderDataError, KeyError):
        raise UnreadableError("damaged header: its type of voxels or its scaling is none of NIfTI") from None
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise UnreadableError(f"voxels of type {raw.get_value_label('datatype')}: only integers and floats are read")
    shape, channels = _shape(raw)
    grid, flags = _analyze_geometry(raw, shape, path) if _is_analyze(raw) else _geometry(raw, shape)
    offset = float(raw["vox_offset"])
    least = int(raw["sizeof_hdr"]) + 4 if single else 0
    if single and offset == 0:
        flags.append("no vox_offset: voxels taken as right behind the header")
        offset = float(least)
    if not (offset.is_integer() and least <= offset < 2**62):
        raise UnreadableError(f"damaged header: its voxels start at byte {offset:g}, within the header")
    data = path
    if not single:
        data = _image(path)
        with opened(data) as file:
            packing = "gzip" if isinstance(file, Unpacked) else "raw"
    part = VoxelPart(data, 0, int(offset)) if packing == "gzip" else VoxelPart(data, int(offset))
    header = VolumeHeader(
        modality="mr",
        format="nifti",
        grid=grid,
        n_channels=channels,
        dtype=dtype.name,
        unit="stored",
        files=(path.name,) if single else (path.name, data.name),
    )
    if slope is None:  # written as 0 or no number
        slope, inter = 1.0, 0.0
    stored = Stored(header, (*shape, channels), 3, dtype, (part,), packing, slope, inter)
    _check_width(raw, dtype, stored)
    flags += [*check_length(stored), *check_gzip(stored)]
    return replace(stored, header=replace(header, flags=tuple(flags)))


def _raw_header(block: bytes) -> Any:
    """The header as nibabel lays it out, with nothing repaired: nibabel would make a spacing of 0 one of 1 mm."""
    for mark in "<>":
        length = int(np.frombuffer(block[:4].ljust(4, b"\0"), f"{mark}i4")[0])
        if length not in _KINDS:
            continue
        if len(block) < length:
            raise UnreadableError(f"truncated file: it ends within its header of {length} bytes")
        magic = block[344:348] if length == 348 else block[4:8]
        if magic[:2] in (b"n+", b"ni"):
            return _KINDS[length](block[:length], endianness=mark, check=False)
        if length == 348:
            return nib.Spm2AnalyzeHeader(block[:length], endianness=mark, check=False)
    raise UnreadableError("not a NIfTI file: it does not begin with the length of a NIfTI header")


def _is_analyze(raw: Any) -> bool:
    return isinstance(raw, nib.Spm2AnalyzeHeader)


def _image(path: Path) -> Path:
    """The file of the voxels that belongs to a header, by its name: x.img or x.img.gz beside x.hdr or x.hdr.gz."""
    packed = path.suffix.lower() == ".gz"
    stem = path.with_suffix("") if packed else path
    if stem.suffix.lower() != ".hdr":
        raise UnreadableError("the header of a pair of .hdr and .img, under another name: rename both as they were")
    image = ".IMG" if stem.suffix.isupper() else ".img"
    names = [stem.with_suffix(image), stem.with_suffix(f"{image}.gz")]
    for found in reversed(names) if packed else names:
        if found.is_file():
            return found
    raise UnreadableError("the file of its voxels (.img) is not next to it: copy both")


def _check_width(raw: Any, dtype: np.dtype[Any], stored: Stored) -> None:
    """Refuse a header whose two statements about the type of its voxels differ, where the file says that one is wrong.

    Of a file that is as long as its datatype says, bitpix is an oversight.
    """
    bits = int(raw["bitpix"])
    (part,) = stored.parts
    if bits == dtype.itemsize * 8 or bits <= 0 or stored.packing == "gzip":
        return
    if part.path.stat().st_size == part.offset + stored.count * bits // 8:
        raise UnreadableError(f"damaged header: voxels of {dtype.name}, but {bits} bits of each are in the file")


def _shape(raw: Any) -> tuple[tuple[int, int, int], int]:
    """Of the spatial axes, and the number of channels; axes of length 1 behind them are none."""
    n_axes = int(raw["dim"][0])
    if not 1 <= n_axes <= 7:
        raise UnreadableError(f"damaged header: {n_axes} axes")
    lengths = [int(length) for length in raw["dim"][1 : n_axes + 1]]
    while len(lengths) > 4 and lengths[-1] == 1:
        lengths.pop()
    if len(lengths) == 5 and lengths[3] == 1:
        del lengths[3]  # no time, and then the channels: a field of vectors
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


def _analyze_geometry(raw: Any, shape: tuple[int, int, int], path: Path) -> tuple[Grid, list[str]]:
    """As SPM and nibabel have it: the format itself says neither where left is nor where the volume lies."""
    flags = ["ANALYZE: which side is left is not stated, axes taken as LAS"]
    orient = raw.binaryblock[_ORIENT]
    if orient in _ORIENTS:
        flags.append(f"orient states {_ORIENTS[orient]} slices: not used, since programs write it wrongly")
    if path.with_suffix(".mat").is_file():
        flags.append("a .mat lies next to it, which may state its orientation: not read")
    if (raw["pixdim"][1:4] < 0).any():
        flags.append("negative pixdim: its sign is ignored")
        raw["pixdim"][1:4] = np.abs(raw["pixdim"][1:4])
    return Grid(shape, np.asarray(raw.get_best_affine(), dtype=np.float64)), flags


def _in_mm(affine: Affine, times: float, by: float) -> Affine:
    return np.vstack([affine[:3].astype(np.float64) * times / by, affine[3:]])


def _text(spacing: NDArray[np.float64]) -> str:
    return " x ".join(f"{length:.4g}" for length in spacing)


_EXPRESSED = 1e-2  # of a voxel: a qform that is further off, such as that of a sheared grid, is left out
_INTEGERS = (np.uint8, np.int8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64)
_INT16 = np.iinfo(np.int16)


def read_header(path: Path) -> VolumeHeader:
    """Read the header of a NIfTI or ANALYZE file, whatever its name.

    Of a pair of .hdr and .img it is the .hdr. ANALYZE, which does not say where left is, is read with a flag. Geometry
    is that of the sform where its code says that it holds, else of the qform, else of pixdim with a flag.
    Free text (`descrip`, `db_name`, `aux_file`), in which names have been found, is not read.

    Returns:
        The header, in mm; modality `mr` and unit `stored`, for NIfTI states neither.

    Raises:
        UnreadableError: it is not NIfTI, damaged or shorter than it says, has other than 3 axes (4 with channels), no
            spacing, or voxels that are colours or complex; the other file of a pair is not next to it.
    """
    return stored_volume(path).header


def read_volume(path: Path, unit: str = "stored", nan: Nan = "refuse") -> Volume:
    """Read a volume; NIfTI does not state the unit of its numbers: `HU` for CT.

    Returns:
        number * slope + inter: int16 where the numbers are integers, slope and inter are whole and every value fits,
        else float32, computed in float64.

    Raises:
        UnreadableError: as `read_header`; damaged gzip, voxels that are not a number, or beyond float32.
    """
    return volume(stored_volume(path), unit, nan)


def write_like(path: Path, data: NDArray[Any], volume: Volume) -> None:
    """Write a mask, or a map of numbers, so that it lies on the file that its volume came from, voxel on voxel.

    The same grid is given as sform and, where a rotation with a spacing can express it, as qform. The file appears
    whole or not at all.

    Args:
        path: to write, .nii or .nii.gz.
        data: (x, y, z) on the axes of `volume`. Integers and booleans are stored in the smallest integer type that
            holds them, floats as float32.
        volume: as read.

    Raises:
        UsageError: another suffix or shape, or numbers that are complex or not finite.
        MedclError: the file cannot be written.
    """
    if not path.name.endswith((".nii", ".nii.gz")):
        raise UsageError(f"a NIfTI file is named .nii or .nii.gz, not {path.suffix or 'without a suffix'}")
    stored = _smallest(volume.as_stored(data))
    kind = nib.Nifti1Image if max(stored.shape) <= _INT16.max else nib.Nifti2Image
    image = kind(stored, volume.stored.affine, dtype=stored.dtype)
    image.header.set_xyzt_units("mm")
    image.set_sform(volume.stored.affine, "aligned")
    image.set_qform(volume.stored.affine, "aligned")
    apart = distance(image.get_qform(), volume.stored.affine, stored.shape)
    if apart > _EXPRESSED * volume.stored.spacing.min():
        image.set_qform(None, "unknown")
    content = image.to_bytes()
    # Without the time of writing: the same mask is the same file.
    files.write(path, gzip.compress(content, 6, mtime=0) if path.name.endswith(".gz") else content)


def _smallest(data: NDArray[Any]) -> NDArray[Any]:
    if data.dtype.kind == "f":
        floats = data.astype(np.float32)
        if not np.isfinite(floats).all():
            raise UsageError(f"{int((~np.isfinite(floats)).sum())} numbers of the map are not finite")
        return floats
    if data.dtype.kind not in "biu":
        raise UsageError(f"a mask is of integers, booleans or floats, not of {data.dtype}")
    low, high = int(data.min()), int(data.max())
    return data.astype(next(kind for kind in _INTEGERS if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max))
