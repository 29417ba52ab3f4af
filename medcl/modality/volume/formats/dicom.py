"""A stack of DICOM slices as a volume: CT in HU, MR as the scanner scaled it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medcl.errors import UnreadableError
from medcl.modality.dicom.claims import quotable
from medcl.modality.dicom.elements import frame_sources
from medcl.modality.dicom.file import reading
from medcl.modality.dicom.lookup import modality_table
from medcl.modality.dicom.pixels import read_frames
from medcl.modality.dicom.slice import Slice
from medcl.modality.dicom.stacks import SeriesRecord, Stack, places_of
from medcl.modality.scaling import scaled
from medcl.modality.volume.record import Grid, Nan, Volume, VolumeHeader

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

    Args:
        stack: of a series.

    Returns:
        The header.

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
    its bits before it is rescaled; HU mean the same however they are to be shown, so a CT is not.

    Args:
        stack: of a series.
        root: of the archive, the one that its slices were read with.

        nan: what becomes of voxels of float pixel data that are not a number.

    Returns:
        The volume, one channel: int16 where every rescaled number is a whole one in its range, else float32.

    Raises:
        UnreadableError: as `read_header`; a file is missing or its pixels are damaged.
    """
    header = read_header(stack)
    return Volume.of(read_planes(stack.slices, root)[None], header.grid, header.unit, nan)


def read_planes(slices: Sequence[Slice], root: Path) -> NDArray[Any]:
    """Decode and rescale slices of one size; a file of many frames is decoded once.

    Args:
        slices: of a stack that `read_header` accepts.
        root: of the archive.

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
