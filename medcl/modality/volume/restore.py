"""The way back: a prediction on the grid of a prepared volume becomes one on the grid of its file."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from medcl.data.volume_store import VolumeStore
from medcl.errors import UsageError
from medcl.modality.volume.geometry import cropped, nearest, places
from medcl.modality.volume.record import Grid, Volume

_SAME_PLACE = 1e-3  # mm


def on_original(store: VolumeStore, record: int, prediction: NDArray[Any], original: Volume | Grid) -> NDArray[Any]:
    """A label map on the grid of the volume before it was cut and resampled; `write_like` then writes it.

    Args:
        store: of the prepared volume.
        record: its number in the store.
        prediction: (X, Y, Z) on the prepared grid.
        original: the volume as it is read, or its grid, in RAS+.

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
