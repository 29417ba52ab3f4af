"""A label map on the grid of its volume, in whichever format it is."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from medcl.errors import UnreadableError, system_reason
from medcl.modality.volume.record import Grid, Volume, VolumeHeader, distance

_SAME_PLACE = 1e-3  # mm
_WHOLE = 1e-3  # how far a label may be from a whole number: a program that wrote it as number * slope rounded it
_INT16 = np.iinfo(np.int16)


def header_of(path: Path) -> tuple[VolumeHeader, str]:
    """The header of a label map, and its format.

    Raises:
        UnreadableError: it cannot be read, or is no volume in one file.
    """
    from medcl.modality.formats import WING, identify, read_header

    try:
        form = identify(path)
    except OSError as error:
        raise UnreadableError(f"cannot be read: {system_reason(error)}") from None
    if form is None or WING[form] != "volume" or form == "dicom":
        raise UnreadableError("no label map: NIfTI, NRRD, MetaImage and MGH are read as such")
    return cast(VolumeHeader, read_header(path, form)), form


def read_labels(path: Path, like: Grid, allow_empty: bool = False) -> NDArray[np.int16]:
    """Read a label map of a volume.

    Args:
        path: of the file, NIfTI, NRRD, MetaImage or MGH.
        like: the grid of the volume, stored or in RAS+; axes of the label map may be stored in another order.
        allow_empty: whether every voxel may be 0.

    Returns:
        Labels (x, y, z) in RAS+.

    Raises:
        UnreadableError: as `header_of` and `labels_of`.
    """
    from medcl.modality.formats import read_volume

    header, form = header_of(path)
    return labels_of(header, lambda: read_volume(path, form, nan="zero"), like, allow_empty)


def labels_of(
    header: VolumeHeader, read: Callable[[], Volume], like: Grid, allow_empty: bool = False
) -> NDArray[np.int16]:
    """The labels of a map that lies on the grid of its volume.

    Args:
        header: of the label map.
        read: its voxels, those that are not a number filled.
        like: the grid of the volume.
        allow_empty: whether every voxel may be 0.

    Returns:
        Labels (x, y, z) in RAS+.

    Raises:
        UnreadableError: another grid than the volume's (with which part of it, and by how much), several channels,
            values that are not whole or beyond int16, or no voxel that is labelled.
    """
    if header.n_channels > 1:
        raise UnreadableError(f"a label map of {header.n_channels} channels: one label a voxel is read")
    _check_same(header.grid.to_ras(), like.to_ras())
    volume = read()
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
