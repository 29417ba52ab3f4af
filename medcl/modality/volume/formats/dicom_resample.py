"""A stack with gantry tilt, uneven spacing or missing slices, resampled onto a regular, untilted grid."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medcl.errors import UnreadableError
from medcl.modality.dicom.stacks import EVEN, Stack, along_normal, places_of, step_of
from medcl.modality.volume.formats.dicom import read_header, read_planes, read_volume
from medcl.modality.volume.record import Grid, Nan, Volume, finite

AIR = -1024
"""HU of voxels that lie outside what was scanned."""
_SAME = 1e-3  # of a pixel
_MOST_GROWTH = 8  # times the voxels of the file: more, and a position is damaged
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])

Floats = NDArray[np.float64]


def read_regular(stack: Stack, root: Path, nan: Nan = "refuse") -> Volume:
    """Decode a stack and resample it onto planes at equal distances along the normal, one straight behind another.

    The planes begin at the first slice, a step apart: the median distance of neighbouring slices along their normal.
    The last plane is the last that does not lie behind the last slice. Within the planes the pixels of the first slice
    are kept, and the grid grows by as many as tilted slices need. Each slice is shifted within its plane by its own
    position, bilinearly; between two slices the numbers are interpolated linearly along the normal, also where a gap is
    wider than 1.5 steps because slices are missing: what lies in it is a guess, and a flag of the stack says so. A
    slice within 2% of a step of a plane is that plane. With an even and untilted stack nothing is interpolated, and
    this is what `medcl.modality.volume.formats.dicom.read_volume` reads.

    Args:
        stack: of a series.
        root: of the archive, the one that its slices were read with.
        nan: what becomes of voxels that are not a number.

    Returns:
        The volume, one channel; int16 where `read_volume` gives int16 (rounded to whole numbers), else float32. Voxels
        that no slice, or only one of two neighbours, reaches are air (-1024) in HU, else the lowest number of the
        stack. Its `stored` grid is the regular one: there is no way back onto tilted slices.

    Raises:
        UnreadableError: as `read_volume`; positions so far apart that the regular grid would hold more than 8 times the
            voxels of the stack.
    """
    header = read_header(stack)
    if len(stack.slices) == 1:
        return read_volume(stack, root, nan)
    grid, along, shifts = _regular(stack, header.grid)
    images, filled = finite(read_planes(stack.slices, root), nan)
    fill = np.float32(AIR if header.unit == "HU" else images.min())
    resampled = np.empty(grid.shape, images.dtype)
    for plane in range(grid.shape[2]):
        below = min(int(np.searchsorted(along, plane + EVEN, side="right")) - 1, len(along) - 2)
        part = (plane - along[below]) / (along[below + 1] - along[below])
        mixed = np.zeros(grid.shape[:2], np.float32)
        for number, weight in ((below, 1 - part), (below + 1, part)):
            if weight > EVEN:
                mixed += np.float32(1 if weight >= 1 - EVEN else weight) * _shifted(
                    images[..., number], shifts[number], grid.shape
                )
        mixed = np.where(np.isnan(mixed), fill, mixed)
        resampled[..., plane] = np.rint(mixed) if resampled.dtype.kind == "i" else mixed
    return replace(Volume.of(resampled[None], grid, header.unit), filled=filled)


def regular_labels(labels: NDArray[Any], stack: Stack) -> NDArray[Any]:
    """Move a label map as `read_regular` moves the slices that it was drawn on: nothing is mixed.

    Args:
        labels: (columns, rows, slices) on the axes of the stack.
        stack: of the series.

    Returns:
        (x, y, z) on the grid that `read_regular` gives, axes of RAS+: in each plane the labels of the nearest slice,
        shifted by whole pixels; 0 where it does not reach.
    """
    grid, along, shifts = _regular(stack, read_header(stack).grid)
    columns, rows = labels.shape[:2]
    moved = np.zeros(grid.shape, labels.dtype)
    for plane in range(grid.shape[2]):
        nearest = int(np.abs(along - plane).argmin())
        x, y = (round(float(shift)) for shift in shifts[nearest])
        moved[x : x + columns, y : y + rows, plane] = labels[..., nearest]
    regular: NDArray[Any] = Volume.of(moved[None], grid, "stored").data[0]
    return regular


def _regular(stack: Stack, grid: Grid) -> tuple[Grid, Floats, Floats]:
    """The regular grid, and where the slices lie: along its third axis (slices,), and in plane (slices, 2), voxels."""
    row, column = np.reshape(stack.slices[0].orientation or (), (2, 3))
    normal, spacing = np.cross(row, column), grid.spacing[:2]
    along = along_normal(stack.slices)
    step = step_of(stack.slices)
    along = (along - along[0]) / step
    places = places_of(stack.slices)
    shifts = (places - places[0]) @ np.stack([row / spacing[0], column / spacing[1]], axis=1)
    first, last = np.floor(shifts.min(axis=0) + _SAME), np.ceil(shifts.max(axis=0) - _SAME)
    columns, rows = (int(length) for length in (last - first) + grid.shape[:2])
    shape = columns, rows, int(along[-1] + EVEN) + 1
    if np.prod(shape, dtype=float) > _MOST_GROWTH * np.prod(grid.shape, dtype=float):
        raise UnreadableError(f"slices too far apart to be resampled: {grid.shape} voxels would become {shape}")
    axes = np.stack([row * spacing[0], column * spacing[1], normal * step], axis=1)
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = axes, places[0] + axes[:, :2] @ first
    affine[:3] = _LPS_TO_RAS @ affine[:3]
    return Grid(shape, affine), along, shifts - first


def _shifted(image: NDArray[Any], shift: Floats, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """An image moved by `shift` pixels along both axes onto a larger one; not a number where it does not reach."""
    for axis in (0, 1):
        whole = round(float(shift[axis]))
        part = float(shift[axis]) - whole
        if abs(part) < _SAME:
            part = 0.0
        elif part < 0:
            whole, part = whole - 1, part + 1
        moved = np.full((shape[0], image.shape[1]) if axis == 0 else (image.shape[0], shape[1]), np.nan, np.float32)
        values = np.moveaxis(image.astype(np.float32, copy=False), axis, 0)
        if part:
            # What comes to lie between two pixels; one pixel fewer, for none is invented beyond the border.
            values = np.float32(1 - part) * values[1:] + np.float32(part) * values[:-1]
            whole += 1
        np.moveaxis(moved, axis, 0)[whole : whole + len(values)] = values
        image = moved
    return image
