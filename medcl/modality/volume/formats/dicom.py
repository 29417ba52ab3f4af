"""A stack of DICOM slices as a volume: CT in HU, MR as the scanner scaled it.

With gantry tilt, uneven spacing or missing slices it is resampled onto a regular, untilted grid, if that is asked for.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medcl.errors import UnreadableError
from medcl.modality.dicom.file import reading
from medcl.modality.dicom.header import frame_sources, quotable
from medcl.modality.dicom.lookup import modality_table
from medcl.modality.dicom.pixels import read_frames
from medcl.modality.dicom.slice import Slice
from medcl.modality.dicom.stacks import EVEN, SeriesRecord, Stack, along_normal, places_of, step_of
from medcl.modality.unpack import scaled
from medcl.modality.volume.record import Grid, Nan, Volume, VolumeHeader, finite

_MODALITIES = {"CT": "ct", "MR": "mr", "PT": "pt"}
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])
_HU = {"HU", "US", ""}  # US: unspecified, which scanners write of HU


def records(stack: Stack) -> list[SeriesRecord]:
    """The volume that a stack is.

    Raises:
        UnreadableError: as `read_header`.
    """
    return [SeriesRecord(stack, read_header(stack))]


def read_header(stack: Stack) -> VolumeHeader:
    """What a stack says of itself, from its headers alone.

    Raises:
        UnreadableError: a colour image, another modality than CT, MR or PT, a CT that does not state how its numbers
            become HU, or a geometry that cannot be used.
    """
    first = stack.slices[0]
    if not first.photometric.startswith("MONOCHROME"):
        raise UnreadableError(f"a colour image ({quotable(first.photometric)}): a volume has one number a voxel")
    if first.modality not in _MODALITIES:
        raise UnreadableError(f"modality {quotable(first.modality)}: volumes are of CT, MR or PT")
    if first.modality == "CT" and first.rescale_type not in _HU:
        raise UnreadableError(f"a map in {quotable(first.rescale_type)} units: the numbers of a CT must be HU")
    if first.modality == "CT" and any(one.slope is None or one.intercept is None for one in stack.slices):
        raise UnreadableError(
            "no rescale slope and intercept, nor a Modality LUT in HU: the numbers of a CT cannot be told in HU"
        )
    if any(one.slope == 0 for one in stack.slices):
        raise UnreadableError("a rescale slope of 0: every voxel would be the same")
    ids = {"patient": first.patient, "study": first.study, "series": first.series}
    return VolumeHeader(
        modality=_MODALITIES[first.modality],
        format="dicom",
        grid=stack_grid(stack),
        n_channels=1,
        dtype=first.dtype,
        unit="HU" if first.modality == "CT" else "stored",
        ids={name: value for name, value in ids.items() if value},
        files=tuple(dict.fromkeys(one.file for one in stack.slices)),
        flags=stack.flags,
    )


def stack_grid(stack: Stack) -> Grid:
    """Where the voxels (column, row, slice) of a stack lie: the first and the last slice are where the file says.

    Gantry tilt is a shear: the third axis leads from slice to slice, not along the normal. Slices in between that are
    not evenly spaced are off this grid by what a flag of the stack says.

    Raises:
        UnreadableError: no position, orientation or pixel spacing, a mosaic, or what `Grid` refuses.
    """
    first = stack.slices[0]
    if "MOSAIC" in first.image_type:
        raise UnreadableError("a mosaic: several slices in one image; convert it with dcm2niix")
    if first.position is None or first.orientation is None or first.pixel_spacing is None:
        raise UnreadableError("no position, orientation or pixel spacing: not slices of a volume")
    row, column = np.reshape(first.orientation, (2, 3))
    if abs(np.linalg.norm(row) - 1) > 0.01 or abs(np.linalg.norm(column) - 1) > 0.01 or abs(row @ column) > 0.01:
        raise UnreadableError("damaged header: its orientation is not two perpendicular directions of length 1")
    if min(first.pixel_spacing) < 0:
        raise UnreadableError("damaged header: a negative pixel spacing, which would mirror the image")
    places = places_of(stack.slices)
    # The extent of a lone slice along its normal is not stated: its thickness is no spacing.
    step = (places[-1] - places[0]) / (len(places) - 1) if len(places) > 1 else np.cross(row, column)
    affine = np.eye(4)
    affine[:3, :3] = np.stack([row * first.pixel_spacing[1], column * first.pixel_spacing[0], step], axis=1)
    affine[:3, 3] = places[0]
    affine[:3] = _LPS_TO_RAS @ affine[:3]
    return Grid((first.columns, first.rows, len(stack.slices)), affine)


def read_volume(stack: Stack, root: Path, nan: Nan = "refuse") -> Volume:
    """Decode the slices of a stack, compressed or not, and rescale each by its own slope and intercept, or table.

    MONOCHROME1 says that low numbers are to be shown bright. An MR or PT so written is inverted within the range of
    its bits before it is rescaled; HU mean the same however they are to be shown, so a CT is not. `root` is the one
    that the slices were read with; `nan` says what becomes of float pixel data that are not a number.

    Returns:
        The volume, one channel: int16 where every rescaled number is a whole one in its range, else float32.

    Raises:
        UnreadableError: as `read_header`; a file is missing or its pixels are damaged.
    """
    header = read_header(stack)
    return Volume.of(read_planes(stack.slices, root)[None], header.grid, header.unit, nan)


def read_planes(slices: Sequence[Slice], root: Path) -> NDArray[Any]:
    """Decode and rescale slices of one size of a stack; a file of many frames is decoded once.

    Returns:
        (columns, rows, slices), int16 or float32 as `read_volume` says.

    Raises:
        UnreadableError: a file is missing, its pixels are damaged or of another size than its header said.
    """
    by_file: dict[str, list[int]] = {}
    for number, one in enumerate(slices):
        by_file.setdefault(one.file, []).append(number)
    images = {}
    for file, numbers in by_file.items():
        (header, _, frames), first = read_frames(root / file), slices[numbers[0]]
        with reading("damaged header"):
            found = modality_table(frame_sources(header, first.frame), first.modality)
            frames = frames if found is None else found[0](frames)
        if frames.shape != (first.frames, first.rows, first.columns):
            raise UnreadableError(f"its images {frames.shape} are of another size than when its header was read")
        for number in numbers:
            images[number] = _rescaled(frames[slices[number].frame], slices[number])
    # In memory as in the files, row by row; int16 and float32 together are float32.
    return np.stack([image for _, image in sorted(images.items())]).T


def _rescaled(stored: NDArray[Any], one: Slice) -> NDArray[Any]:
    if one.photometric == "MONOCHROME1" and one.modality != "CT":
        # The lowest and the highest number that the bits can hold change places.
        stored = (-1 if one.dtype.startswith("i") else 2**one.bits - 1) - stored.astype(np.int64)
    slope = 1.0 if one.slope is None else one.slope
    intercept = 0.0 if one.intercept is None else one.intercept
    return scaled(stored.reshape(-1), slope, intercept).reshape(stored.shape)


AIR = -1024
"""HU of voxels that lie outside what was scanned."""
_SAME = 1e-3  # of a pixel
_MOST_GROWTH = 8  # times the voxels of the file: more, and a position is damaged

Floats = NDArray[np.float64]


def read_regular(stack: Stack, root: Path, nan: Nan = "refuse") -> Volume:
    """Decode a stack and resample it onto planes at equal distances along the normal, one straight behind another.

    The planes begin at the first slice, a step apart: the median distance of neighbouring slices along their normal.
    The last plane is the last that does not lie behind the last slice. Within the planes the pixels of the first slice
    are kept, and the grid grows by as many as tilted slices need. Each slice is shifted within its plane by its own
    position, bilinearly; between two slices the numbers are interpolated linearly along the normal, also where a gap is
    wider than 1.5 steps because slices are missing: what lies in it is a guess, and a flag of the stack says so. A
    slice within 2% of a step of a plane is that plane. With an even and untilted stack nothing is interpolated, and
    this is what `read_volume` reads.

    Returns:
        The volume, as of `read_volume`. Voxels that no slice, or only one of two neighbours, reaches are air (-1024) in
        HU, else the lowest number of the stack. Its `stored` grid is the regular one: there is no way back.

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
    """Move a label map (columns, rows, slices) as `read_regular` moves the slices that it was drawn on.

    Returns:
        (x, y, z) on the grid that `read_regular` gives, axes of RAS+: in each plane the labels of the nearest slice,
        shifted by whole pixels, so that nothing is mixed; 0 where it does not reach.
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
