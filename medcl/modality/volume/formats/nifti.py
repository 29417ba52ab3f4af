"""NIfTI-1 and NIfTI-2 in one file or in a pair: volumes, label maps, and masks on the grid of a volume."""

import gzip
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from medcl import files
from medcl.errors import UsageError
from medcl.modality.volume.formats.label_map import labels_of
from medcl.modality.volume.formats.nifti_header import parse
from medcl.modality.volume.formats.voxels import volume
from medcl.modality.volume.record import Grid, Nan, Volume, VolumeHeader, distance

_EXPRESSED = 1e-2  # of a voxel: a qform that is further off, such as that of a sheared grid, is left out
_INTEGERS = (np.uint8, np.int8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64)
_INT16 = np.iinfo(np.int16)


def read_header(path: Path) -> VolumeHeader:
    """Read the header of a NIfTI or ANALYZE file, whatever its name.

    Of a pair of .hdr and .img it is the .hdr. ANALYZE, which does not say where left is, is read with a flag. Geometry
    is that of the sform where its code says that it holds, else of the qform, else of pixdim with a flag.
    Free text (`descrip`, `db_name`, `aux_file`), in which names have been found, is not read.

    Args:
        path: of the file.

    Returns:
        The header, in mm; modality `mr` and unit `stored`, for NIfTI states neither.

    Raises:
        UnreadableError: it is not NIfTI, damaged or shorter than it says, has other than 3 axes (4 with channels), no
            spacing, or voxels that are colours or complex; the other file of a pair is not next to it.
    """
    return parse(path).header


def read_volume(path: Path, unit: str = "stored", nan: Nan = "refuse") -> Volume:
    """Read a volume.

    Args:
        path: of the file.
        unit: of its numbers, which NIfTI does not state: `HU` for CT.
        nan: what becomes of voxels that are not a number.

    Returns:
        number * slope + inter: int16 where the numbers are integers, slope and inter are whole and every value fits,
        else float32, computed in float64.

    Raises:
        UnreadableError: as `read_header`; damaged gzip, voxels that are not a number, or beyond float32.
    """
    return volume(parse(path), unit, nan)


def read_labels(path: Path, like: Grid, allow_empty: bool = False) -> NDArray[np.int16]:
    """Read a label map of a volume.

    Args:
        path: of the file.
        like: the grid of the volume, stored or in RAS+; axes of the label map may be stored in another order.
        allow_empty: whether every voxel may be 0.

    Returns:
        Labels (x, y, z) in RAS+.

    Raises:
        UnreadableError: as `read_volume`; another grid than the volume's (with which part of it, and by how much),
            several channels, values that are not whole or beyond int16, or no voxel that is labelled.
    """
    stored = parse(path)
    return labels_of(stored.header, lambda: volume(stored, "stored", "zero"), like, allow_empty)


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
