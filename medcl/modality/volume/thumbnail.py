"""Slices of volumes as grey images: CT in a window of HU, others between percentiles, as a radiologist holds them."""

import numpy as np
from numpy.typing import NDArray

from medcl.modality.volume.record import Volume

SOFT_TISSUE = (-160.0, 240.0)
"""HU that are shown black and white: level 40, width 400."""
PERCENTILES = (1.0, 99.5)
PLANES = ("sagittal", "coronal", "axial")
"""Of slices across each axis of RAS+."""
ENDS = (("A", "P"), ("R", "L"), ("R", "L"))
"""Sides of the patient at the left and at the right of such an image: front and back, right and left."""
_SAMPLE = 200_000  # voxels that percentiles are taken of


def window_of(volume: Volume, modality: str) -> tuple[float, float]:
    """The numbers that are shown black and white, the same for every slice of a volume.

    `SOFT_TISSUE` for CT, which is in HU; else percentiles of the voxels that differ from the smallest number, which is
    the air or the background that was taken out.
    """
    if modality == "ct":
        return SOFT_TISSUE
    values = volume.data[0].ravel(order="K")
    values = values[:: max(1, values.size // _SAMPLE)]
    inside = values[values > values.min()]
    if not inside.size:
        return float(values[0]), float(values[0]) + 1
    low, high = (float(one) for one in np.percentile(inside, PERCENTILES))
    return (low, high) if high > low else (low - 1, high + 1)


def slice_image(
    volume: Volume, number: int | None, axis: int, window: tuple[float, float]
) -> tuple[NDArray[np.uint8], tuple[float, float]]:
    """One slice: the patient's front or head upwards, the right side or the front on the left.

    The first channel of a volume on axes of RAS+ is shown, of slice `number` (the middle one by default) across `axis`:
    2 for axial, 1 for coronal, 0 for sagittal slices. `window`: the numbers that are shown black and white.

    Returns:
        (rows, columns) of grey, and mm from one row and from one column to the next.

    Raises:
        IndexError: the volume has no such slice.
    """
    place = volume.grid.shape[axis] // 2 if number is None else number
    if not 0 <= place < volume.grid.shape[axis]:
        raise IndexError(f"no slice {place}: the volume has {volume.grid.shape[axis]}")
    plane = volume.data[0].take(place, axis).astype(np.float32)
    grey = np.clip((plane - window[0]) * (255 / (window[1] - window[0])), 0, 255).astype(np.uint8)
    across, down = (float(length) for length in np.delete(volume.grid.spacing, axis))
    return np.ascontiguousarray(grey.T[::-1, ::-1]), (down, across)
