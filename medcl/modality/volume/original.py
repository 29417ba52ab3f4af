"""What belongs to a prepared volume on its grid before that: its label map, and a prediction written as NIfTI."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medcl.errors import UnreadableError
from medcl.modality.dicom import IRREGULAR
from medcl.modality.formats import read_volume
from medcl.modality.rows import Source
from medcl.modality.volume.formats import label_map, nifti
from medcl.modality.volume.geometry import on_original
from medcl.modality.volume.record import Grid, Nan, Volume, distance
from medcl.modality.volume.store import VolumeStore

if TYPE_CHECKING:
    from medcl.modality.dicom.stacks import Stack


_SAME_PLACE = 1e-3  # mm


def stack_of(root: Path, path: str, files: Sequence[str], part: int) -> "Stack":
    """The slices of a volume, without their pixels.

    Args:
        root: of the archive.
        path: of the volume, relative to the root.
        files: of the volume, relative to the folder of `path`.
        part: which volume of its files it is.

    Raises:
        UnreadableError: a file is damaged, or its files hold fewer volumes than when they were scanned.
    """
    from medcl.modality.dicom.slice import read_slices
    from medcl.modality.dicom.stacks import stacks_of

    folder = (root / path).parent
    names = [Path(os.path.normpath(folder / name)) for name in files]
    stacks = stacks_of([one for name in names for one in read_slices(name, root)])
    if part >= len(stacks):
        raise UnreadableError(f"its files hold {len(stacks)} volumes, not {part + 1}: scan the archive again")
    return stacks[part]


def read_labels(path: Path, grid: Grid, stack: "Stack | None" = None, allow_empty: bool = False) -> NDArray[np.int16]:
    """Read the label map of a volume, also of one that was resampled onto a regular grid.

    A label map that was drawn on the tilted or uneven slices of a series is moved as they are: to each plane of the
    regular grid goes the nearest slice, by whole pixels. One that lies on the regular grid already (such as that of a
    whole series of which slices were lost since) is read as it is.

    Args:
        path: of the label map.
        grid: of the volume as it was decoded.
        stack: its slices, where `grid` is the regular grid that they were resampled onto; else None.
        allow_empty: whether every voxel may be 0.

    Returns:
        (x, y, z) on `grid`, axes of RAS+.

    Raises:
        UnreadableError: the label map cannot be read, or lies on another grid.
    """
    if stack is None:
        return label_map.read_labels(path, grid, allow_empty)
    from medcl.modality.volume.formats import dicom
    from medcl.modality.volume.formats.dicom_resample import regular_labels

    slices = dicom.read_header(stack).grid
    if not same_place(label_map.header_of(path)[0].grid, slices):
        return label_map.read_labels(path, grid, allow_empty)
    like = _empty(slices)
    moved: NDArray[np.int16] = regular_labels(like.as_stored(label_map.read_labels(path, slices, allow_empty)), stack)
    return moved


def same_place(one: Grid, other: Grid) -> bool:
    """Whether two grids have their voxels in the same places, axes in whatever order."""
    first, second = one.to_ras(), other.to_ras()
    return first.shape == second.shape and bool(distance(first.affine, second.affine, second.shape) <= _SAME_PLACE)


def _empty(stored: Grid) -> Volume:
    """A volume of which only the grid counts."""
    grid = stored.to_ras()
    nothing: NDArray[Any] = np.broadcast_to(np.uint8(0), (1, *grid.shape))
    return Volume(nothing, grid, stored, "stored")


def read_original(
    root: Path,
    path: str,
    files: Sequence[str],
    part: int,
    format: str,
    modality: str,
    resample: bool = False,
    nan: Nan = "refuse",
) -> tuple[Volume, "Stack | None"]:
    """Read a volume on axes of RAS+, CT in HU.

    Args:
        root: of the archive.
        path: of the volume, relative to the root.
        files: of the volume, relative to the folder of `path`.
        part: which volume of its files it is.
        format: as the manifest has it.
        modality: `ct` is in HU.
        resample: put tilted or uneven slices onto a regular grid; only DICOM says where each lies.
        nan: what becomes of voxels that are not a number.

    Returns:
        The volume, and its slices where they were resampled.

    Raises:
        UnreadableError: with what is wrong.
        OSError: a file is missing.
    """
    if format != "dicom":
        if resample:
            raise UnreadableError("an irregular grid: only DICOM says where each of its slices lies")
        return read_volume(root / path, format, "HU" if modality == "ct" else "stored", nan), None
    stack = stack_of(root, path, files, part)
    if resample:
        from medcl.modality.volume.formats.dicom_resample import read_regular

        return read_regular(stack, root, nan), stack
    from medcl.modality.volume.formats import dicom

    return dicom.read_volume(stack, root, nan), None


def labels_of(store: VolumeStore, record: int, source: Source, path: Path) -> NDArray[np.int16]:
    """A label map of a volume on its original grid, (x, y, z) on axes of RAS+.

    It is what its file has; one drawn on irregular slices that were resampled is moved with them, so that prediction
    and truth are compared on the regular grid.

    Args:
        store: of the prepared volume.
        record: its number in the store.
        source: the volume's files.
        path: of the label map.

    Raises:
        UnreadableError: the label map cannot be read any more, or is not one of this volume.
    """
    grid = store.original_grid(record)
    return read_labels(path, grid, _resampled(source, grid), allow_empty=True)


def _resampled(source: Source, grid: Grid) -> "Stack | None":
    """The slices of a volume where its grid is another than theirs: the one they were resampled onto."""
    if source.format != "dicom" or not any(flag.startswith(IRREGULAR) for flag in source.row["flags"] or ()):
        return None
    stack = stack_of(source.root, source.path, source.files, source.part)
    from medcl.modality.volume.formats.dicom import stack_grid

    return None if same_place(stack_grid(stack), grid) else stack


def restored(store: VolumeStore, record: int, prediction: NDArray[Any]) -> NDArray[Any]:
    """A prediction (X, Y, Z) on the prepared grid as one on the original grid of the volume, on axes of RAS+."""
    return on_original(store, record, prediction, store.original_grid(record))


def write_labels(path: Path, labels: NDArray[Any], store: VolumeStore, record: int, source: Source) -> None:
    """Write a label map so that it lies on the volume's file, or on the regular grid that was made of its slices.

    Of a volume from NIfTI it gets the order of axes of that file, of any other that of RAS+.

    Args:
        path: to write, .nii or .nii.gz.
        labels: (x, y, z) on the original grid of the volume, on axes of RAS+.
        store: of the prepared volume.
        record: its number in the store.
        source: the volume's files.

    Raises:
        MedclError: the file cannot be written, or that of the volume is missing.
    """
    grid = stored = store.original_grid(record)
    if source.format == "nifti":
        stored = nifti.read_header(source.file).grid
    # Only the grid counts: the voxels of the volume itself are not needed to write a label map.
    like = Volume(np.broadcast_to(np.uint8(0), (1, *grid.shape)), grid, stored, "stored")
    nifti.write_like(path, labels, like)
