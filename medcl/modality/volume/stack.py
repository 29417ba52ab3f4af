"""The slices of a DICOM volume, and its label map where they were resampled onto a regular grid."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medcl.errors import UnreadableError
from medcl.modality.volume.formats import label_map
from medcl.modality.volume.record import Grid, Volume, distance

if TYPE_CHECKING:
    from medcl.modality.volume.formats.dicom_geometry import Stack

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
    from medcl.modality.volume.formats.dicom_geometry import stacks_of

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
