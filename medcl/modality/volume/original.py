"""What belongs to a prepared volume on its grid before that: its label map, and a prediction written as NIfTI."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from medcl.errors import UnreadableError, UsageError, system_reason
from medcl.modality.dicom import IRREGULAR
from medcl.modality.formats import WING, identify, read_header, read_volume
from medcl.modality.rows import Source
from medcl.modality.volume.formats import nifti
from medcl.modality.volume.geometry import cropped, nearest, places
from medcl.modality.volume.record import Grid, Nan, Volume, VolumeHeader, distance
from medcl.modality.volume.store import VolumeStore

if TYPE_CHECKING:
    from medcl.modality.dicom.stacks import Stack

_SAME_PLACE = 1e-3  # mm
_WHOLE = 1e-3  # how far a label may be from a whole number: a program that wrote it as number * slope rounded it
_INT16 = np.iinfo(np.int16)


def header_of(path: Path) -> tuple[VolumeHeader, str]:
    """The header of a label map, and its format.

    Raises:
        UnreadableError: it cannot be read, or is no volume in one file.
    """
    try:
        form = identify(path)
    except OSError as error:
        raise UnreadableError(f"cannot be read: {system_reason(error)}") from None
    if form is None or WING[form] != "volume" or form == "dicom":
        raise UnreadableError("no label map: NIfTI, NRRD, MetaImage and MGH are read as such")
    return cast(VolumeHeader, read_header(path, form)), form


def read_label_map(path: Path, like: Grid, allow_empty: bool = False) -> NDArray[np.int16]:
    """Read a label map that lies on the grid of its volume.

    Args:
        path: of the file, NIfTI, NRRD, MetaImage or MGH.
        like: the grid of the volume, stored or in RAS+; axes of the label map may be stored in another order.
        allow_empty: whether every voxel may be 0.

    Returns:
        Labels (x, y, z) in RAS+.

    Raises:
        UnreadableError: as `header_of`; another grid than the volume's (with which part of it, and by how much),
            several channels, values that are not whole or beyond int16, or no voxel that is labelled.
    """
    header, form = header_of(path)
    if header.n_channels > 1:
        raise UnreadableError(f"a label map of {header.n_channels} channels: one label a voxel is read")
    _check_same(header.grid.to_ras(), like.to_ras())
    volume = read_volume(path, form, nan="zero")
    if volume.filled:
        raise UnreadableError(f"{volume.filled} voxels of the label map are not a number (NaN): write them as 0")
    values = volume.data[0]
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


def on_original(store: VolumeStore, record: int, prediction: NDArray[Any], original: Volume | Grid) -> NDArray[Any]:
    """A label map (X, Y, Z) of a prepared volume on the volume's grid before it was cut and resampled.

    `original` is the volume as it is read, or its grid, in RAS+.

    Returns:
        (x, y, z) on the original's grid: of each voxel the nearest prediction, 0 outside of the foreground box.

    Raises:
        UsageError: a prediction of another shape, or another original than the one that was prepared.
    """
    if prediction.shape != tuple(store.shape[record]):
        raise UsageError(
            f"a prediction of shape {prediction.shape} does not fit the prepared volume {tuple(store.shape[record])}"
        )
    grid = original.grid if isinstance(original, Volume) else original
    known = store.original_affine[record]
    if grid.shape != tuple(store.original_shape[record]) or np.abs(grid.affine - known).max() > _SAME_PLACE:
        raise UsageError(
            f"this is not the volume that was prepared, in RAS+: its grid is {grid.shape}, that of the one prepared "
            f"{tuple(store.original_shape[record].tolist())}, or lies elsewhere"
        )
    start, stop = store.box_start[record], store.box_stop[record]
    x, y, z = prediction.shape
    box = cropped(grid, start, stop)
    whole = np.zeros(grid.shape, dtype=prediction.dtype)
    whole[start[0] : stop[0], start[1] : stop[1], start[2] : stop[2]] = nearest(
        prediction, places(box, Grid((x, y, z), store.affine[record]))
    )
    return whole


def stack_of(source: Source) -> "Stack":
    """The slices of a volume, without their pixels.

    Raises:
        UnreadableError: a file is damaged, or its files hold fewer volumes than when they were scanned.
    """
    from medcl.modality.dicom.slice import read_slices
    from medcl.modality.dicom.stacks import stacks_of

    names = [Path(os.path.normpath(source.file.parent / name)) for name in source.files]
    stacks = stacks_of([one for name in names for one in read_slices(name, source.root)])
    if source.part >= len(stacks):
        raise UnreadableError(f"its files hold {len(stacks)} volumes, not {source.part + 1}: scan the archive again")
    return stacks[source.part]


def read_labels(path: Path, grid: Grid, stack: "Stack | None" = None, allow_empty: bool = False) -> NDArray[np.int16]:
    """Read the label map of a volume, also of one that was resampled onto a regular grid.

    A label map that was drawn on the tilted or uneven slices of a series is moved as they are: to each plane of the
    regular grid goes the nearest slice, by whole pixels. One that lies on the regular grid already (such as that of a
    whole series of which slices were lost since) is read as it is. `stack` are the slices where `grid` is the regular
    grid that they were resampled onto.

    Returns:
        (x, y, z) on `grid`, axes of RAS+.

    Raises:
        UnreadableError: as of `read_label_map`.
    """
    if stack is None:
        return read_label_map(path, grid, allow_empty)
    from medcl.modality.volume.formats import dicom

    slices = dicom.read_header(stack).grid
    if not same_place(header_of(path)[0].grid, slices):
        return read_label_map(path, grid, allow_empty)
    like = _empty(slices.to_ras(), slices)
    moved: NDArray[np.int16] = dicom.regular_labels(like.as_stored(read_label_map(path, slices, allow_empty)), stack)
    return moved


def same_place(one: Grid, other: Grid) -> bool:
    """Whether two grids have their voxels in the same places, axes in whatever order."""
    first, second = one.to_ras(), other.to_ras()
    return first.shape == second.shape and bool(distance(first.affine, second.affine, second.shape) <= _SAME_PLACE)


def _empty(grid: Grid, stored: Grid) -> Volume:
    """A volume of which only the grids count: in RAS+, and as it is stored."""
    return Volume(np.broadcast_to(np.uint8(0), (1, *grid.shape)), grid, stored, "stored")


def read_original(source: Source, resample: bool = False, nan: Nan = "refuse") -> tuple[Volume, "Stack | None"]:
    """Read a volume on axes of RAS+, CT in HU.

    Args:
        source: the volume, with its modality.
        resample: put tilted or uneven slices onto a regular grid; only DICOM says where each lies.
        nan: what becomes of voxels that are not a number.

    Returns:
        The volume, and its slices where they were resampled.

    Raises:
        UnreadableError: with what is wrong.
        OSError: a file is missing.
    """
    if source.format != "dicom":
        if resample:
            raise UnreadableError("an irregular grid: only DICOM says where each of its slices lies")
        unit = "HU" if source.row["modality"] == "ct" else "stored"
        return read_volume(source.file, source.format, unit, nan), None
    from medcl.modality.volume.formats import dicom

    stack = stack_of(source)
    if resample:
        return dicom.read_regular(stack, source.root, nan), stack
    return dicom.read_volume(stack, source.root, nan), None


def labels_of(store: VolumeStore, record: int, source: Source, path: Path) -> NDArray[np.int16]:
    """A label map of a volume on its original grid, (x, y, z) on axes of RAS+.

    It is what its file has; one drawn on irregular slices that were resampled is moved with them, so that prediction
    and truth are compared on the regular grid.

    Raises:
        UnreadableError: the label map cannot be read any more, or is not one of this volume.
    """
    grid = store.original_grid(record)
    return read_labels(path, grid, _resampled(source, grid), allow_empty=True)


def _resampled(source: Source, grid: Grid) -> "Stack | None":
    """The slices of a volume where its grid is another than theirs: the one they were resampled onto."""
    if source.format != "dicom" or not any(flag.startswith(IRREGULAR) for flag in source.row["flags"] or ()):
        return None
    stack = stack_of(source)
    from medcl.modality.volume.formats.dicom import stack_grid

    return None if same_place(stack_grid(stack), grid) else stack


def restored(store: VolumeStore, record: int, prediction: NDArray[Any]) -> NDArray[Any]:
    """A prediction (X, Y, Z) on the prepared grid as one on the original grid of the volume, on axes of RAS+."""
    return on_original(store, record, prediction, store.original_grid(record))


def write_labels(path: Path, labels: NDArray[Any], store: VolumeStore, record: int, source: Source) -> None:
    """Write a label map so that it lies on the volume's file, or on the regular grid that was made of its slices.

    Of a volume from NIfTI it gets the order of axes of that file, of any other that of RAS+. `path` is a .nii or
    .nii.gz, `labels` are (x, y, z) on the original grid of the volume, on axes of RAS+.

    Raises:
        MedclError: the file cannot be written, or that of the volume is missing.
    """
    grid = stored = store.original_grid(record)
    if source.format == "nifti":
        stored = nifti.read_header(source.file).grid
    nifti.write_like(path, labels, _empty(grid, stored))
