"""What belongs to a prepared volume on the grid of its file: its label map, and a prediction written as NIfTI."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medcl.archive.manifest import Manifest
from medcl.data.volume_restore import on_original
from medcl.data.volume_store import VolumeStore
from medcl.readers import nifti
from medcl.readers.volume import Grid, Volume


def grid_of(store: VolumeStore, record: int) -> Grid:
    """The grid of a volume before it was cut and resampled, on axes of RAS+.

    Args:
        store: of the prepared volume.
        record: its number in the store.
    """
    x, y, z = map(int, store.original_shape[record])
    return Grid((x, y, z), store.original_affine[record])


def labels_of(store: VolumeStore, record: int, manifest: Manifest, row: int, mask: str) -> NDArray[np.int16]:
    """The label map of a volume as its file has it, (x, y, z) on axes of RAS+.

    Args:
        store: of the prepared volume.
        record: its number in the store.
        manifest: that names the label map.
        row: of the volume.
        mask: name of the column of label maps.

    Raises:
        UnreadableError: the label map cannot be read any more, or is not one of this volume.
    """
    path = manifest.root / str(manifest.column(mask)[row])
    return nifti.read_labels(path, grid_of(store, record), allow_empty=True)


def restored(store: VolumeStore, record: int, prediction: NDArray[Any]) -> NDArray[Any]:
    """A prediction (X, Y, Z) on the prepared grid as one on the grid of the file, on axes of RAS+."""
    return on_original(store, record, prediction, grid_of(store, record))


def write_labels(
    path: Path, labels: NDArray[Any], store: VolumeStore, record: int, manifest: Manifest, row: int
) -> None:
    """Write a label map so that it lies on the volume's file.

    Of a volume from NIfTI it gets the order of axes of that file, of any other that of RAS+.

    Args:
        path: to write, .nii or .nii.gz.
        labels: (x, y, z) on the grid of the file, on axes of RAS+.
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
