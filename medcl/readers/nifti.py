"""NIfTI-1 and NIfTI-2 in one file, .nii or .nii.gz: volumes, label maps, and masks on the grid of a volume."""

import gzip
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from medcl import files
from medcl.errors import UnreadableError, UsageError
from medcl.readers.nifti_header import BLOCK, Stored, distance, opened, parse
from medcl.readers.scaling import scaled
from medcl.readers.volume import Grid, Volume, VolumeHeader

_SAME_PLACE = 1e-3  # mm
_EXPRESSED = 1e-2  # of a voxel: a qform that is further off, such as that of a sheared grid, is left out
_WHOLE = 1e-3  # how far a label may be from a whole number: a program that wrote it as number * slope rounded it
_INTEGERS = (np.uint8, np.int8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64)
_INT16 = np.iinfo(np.int16)


def read_header(path: Path) -> VolumeHeader:
    """Read the header of a NIfTI file, whatever its name.

    Geometry is that of the sform where its code says that it holds, else of the qform, else of pixdim with a flag.
    Free text (`descrip`, `db_name`, `aux_file`), in which names have been found, is not read.

    Args:
        path: of the file.

    Returns:
        The header, in mm; modality `mr` and unit `stored`, for NIfTI states neither.

    Raises:
        UnreadableError: it is not NIfTI, damaged or shorter than it says, has other than 3 axes (4 with channels), no
            spacing, or voxels that are colours or complex.
    """
    return parse(path).header


def read_volume(path: Path, unit: str = "stored") -> Volume:
    """Read a volume.

    Args:
        path: of the file.
        unit: of its numbers, which NIfTI does not state: `HU` for CT.

    Returns:
        number * slope + inter: int16 where the numbers are integers, slope and inter are whole and every value fits,
        else float32, computed in float64.

    Raises:
        UnreadableError: as `read_header`; damaged gzip, voxels that are not a number, or beyond float32.
    """
    return _volume(path, parse(path), unit)


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
    header = stored.header
    if header.n_channels > 1:
        raise UnreadableError(f"a label map of {header.n_channels} channels: one label a voxel is read")
    _check_same(header.grid.to_ras(), like.to_ras())
    values = _volume(path, stored, header.unit).data[0]
    labels: NDArray[Any] = np.rint(values)
    fraction = int((np.abs(values - labels) > _WHOLE).sum())
    if fraction:
        raise UnreadableError(f"{fraction} voxels of the label map are not whole numbers: resampled, or no label map")
    if labels.min() < _INT16.min or labels.max() > _INT16.max:
        raise UnreadableError(f"labels from {labels.min():g} to {labels.max():g} do not fit into int16")
    if not (allow_empty or labels.any()):
        raise UnreadableError(
            "an empty label map: every voxel is 0, so it shows no structure (allow_empty=True reads it all the same)"
        )
    whole: NDArray[np.int16] = labels.astype(np.int16)
    return whole


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


def _volume(path: Path, stored: Stored, unit: str) -> Volume:
    values = scaled(_read(path, stored), stored.slope, stored.inter)
    channels = np.moveaxis(values.reshape(stored.shape, order="F"), -1, 0)
    return Volume.of(channels, stored.header.grid, unit)


def _read(path: Path, stored: Stored) -> NDArray[Any]:
    """The numbers in the order of the file; a map of it, read-only, where it is not packed."""
    total = int(np.prod(stored.shape, dtype=np.int64))
    if not stored.is_gzip:
        try:
            with opened(path):
                return np.asarray(np.memmap(path, stored.dtype, "r", stored.offset, (total,)))
        except ValueError as error:
            raise UnreadableError("truncated file: it became shorter while it was read") from error
    numbers = np.empty(total, dtype=stored.dtype)
    room = memoryview(numbers.view(np.uint8).data)
    with opened(path) as file:
        file.seek(stored.offset)
        at = 0
        while at < len(room):
            count = file.readinto(room[at : at + BLOCK])
            if not count:
                raise UnreadableError(f"truncated file: it ends {len(room) - at} bytes before its last voxel")
            at += count
        while file.read(BLOCK):
            pass  # only at its end is a gzip file held against its checksum
    return numbers


def _check_same(labels: Grid, volume: Grid) -> None:
    if labels.shape != volume.shape:
        raise UnreadableError(f"the label map has {labels.shape} voxels (in RAS+), its volume {volume.shape}")
    apart = distance(labels.affine, volume.affine, volume.shape)
    if apart > _SAME_PLACE:
        axes = (labels.affine[:3, :3] / labels.spacing * volume.affine[:3, :3] / volume.spacing).sum(axis=0)
        parts = {
            "spacing by {:.4g} mm": float(np.abs(labels.spacing - volume.spacing).max()),
            "origin by {:.4g} mm": float(np.linalg.norm(labels.affine[:3, 3] - volume.affine[:3, 3])),
            "axes by {:.3g} degrees": float(np.degrees(np.arccos(np.clip(axes, -1, 1))).max()),
        }
        differing = ", ".join(text.format(much) for text, much in parts.items() if much > 1e-4)
        raise UnreadableError(
            f"the label map lies up to {apart:.4g} mm beside its volume ({differing}): resample it onto the volume"
        )


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
