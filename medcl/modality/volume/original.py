"""What belongs to a prepared volume on its grid before that: its label map, and a prediction written as NIfTI."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medcl.archive.manifest import Manifest
from medcl.archive.unchanged import require_unchanged, scanned_masks
from medcl.data.volume_store import VolumeStore
from medcl.errors import UnreadableError
from medcl.modality.volume.formats import nifti
from medcl.modality.volume.formats.dicom_spacing import IRREGULAR
from medcl.modality.volume.record import Grid, Volume
from medcl.modality.volume.restore import on_original
from medcl.modality.volume.stack import read_labels, same_place, stack_of

if TYPE_CHECKING:
    from medcl.modality.volume.formats.dicom_geometry import Stack


def grid_of(store: VolumeStore, record: int) -> Grid:
    """The grid of a volume before it was cut and resampled to another spacing, on axes of RAS+.

    It is that of its file; of irregular slices that were resampled (`data.irregular: resample`) the regular grid that
    they were resampled onto, for there is no way back onto tilted slices.

    Args:
        store: of the prepared volume.
        record: its number in the store.
    """
    x, y, z = map(int, store.original_shape[record])
    return Grid((x, y, z), store.original_affine[record])


def labels_of(store: VolumeStore, record: int, manifest: Manifest, row: int, mask: str) -> NDArray[np.int16]:
    """The label map of a volume on `grid_of` it, (x, y, z) on axes of RAS+.

    It is what its file has; one drawn on irregular slices that were resampled is moved with them, so that prediction
    and truth are compared on the regular grid.

    Args:
        store: of the prepared volume.
        record: its number in the store.
        manifest: that names the label map.
        row: of the volume.
        mask: name of the column of label maps.

    Raises:
        UnreadableError: the label map cannot be read any more, has changed since the scan, or is not one of this
            volume.
    """
    grid, (known,) = grid_of(store, record), scanned_masks(manifest.select([row]), mask)
    if known is None:
        raise UnreadableError(f"there is no label map {mask!r} of this volume")
    require_unchanged(known)
    return read_labels(known.root / known.path, grid, _resampled(manifest, row, grid), allow_empty=True)


def _resampled(manifest: Manifest, row: int, grid: Grid) -> "Stack | None":
    """The slices of a volume where its grid is another than theirs: the one they were resampled onto."""
    flags = manifest.column("flags")[row]
    if manifest.column("format")[row] != "dicom" or not any(flag.startswith(IRREGULAR) for flag in flags or ()):
        return None
    path = str(manifest.column("path")[row])
    files = manifest.column("files")[row] or [Path(path).name]
    stack = stack_of(manifest.root, path, files, max(0, int(manifest.column("part")[row])))
    return None if same_place(stack.grid, grid) else stack


def restored(store: VolumeStore, record: int, prediction: NDArray[Any]) -> NDArray[Any]:
    """A prediction (X, Y, Z) on the prepared grid as one on `grid_of` the volume, on axes of RAS+."""
    return on_original(store, record, prediction, grid_of(store, record))


def write_labels(
    path: Path, labels: NDArray[Any], store: VolumeStore, record: int, manifest: Manifest, row: int
) -> None:
    """Write a label map so that it lies on the volume's file, or on the regular grid that was made of its slices.

    Of a volume from NIfTI it gets the order of axes of that file, of any other that of RAS+.

    Args:
        path: to write, .nii or .nii.gz.
        labels: (x, y, z) on `grid_of` the volume, on axes of RAS+.
        store: of the prepared volume.
        record: its number in the store.
        manifest: that names the file.
        row: of the volume.

    Raises:
        MedclError: the file cannot be written, or that of the volume is gone.
    """
    grid = stored = grid_of(store, record)
    if manifest.column("format")[row] == "nifti":
        stored = nifti.read_header(manifest.root / str(manifest.column("path")[row])).grid
    # Only the grid counts: the voxels of the volume itself are not needed to write a label map.
    like = Volume(np.broadcast_to(np.uint8(0), (1, *grid.shape)), grid, stored, "stored")
    nifti.write_like(path, labels, like)
