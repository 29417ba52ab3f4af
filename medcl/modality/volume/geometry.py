"""The box around a body, and volumes on a grid of another spacing."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from medcl.modality.volume.record import Grid

Ints = NDArray[np.int64]
_MARGIN = 10.0  # mm around the foreground
_BINS = 256


def foreground_box(data: NDArray[Any], spacing: NDArray[np.float64]) -> tuple[Ints, Ints]:
    """The box around what is not background, with a margin of 10 mm.

    Background is what lies at or below Otsu's threshold (between the 0.1st and the 99.9th percentile, so that one
    bright voxel does not move it). Only planes count of which at least one voxel in a thousand is foreground, for the
    noise of the air around a patient has a few.

    Args:
        data: (channels, x, y, z); the mean of the channels decides.
        spacing: (3,) mm.

    Returns:
        First voxel (3,), and the voxel after the last (3,); the whole volume where nothing is foreground.
    """
    image = data.mean(axis=0, dtype=np.float32) if len(data) > 1 else data[0]
    foreground = image > _otsu(image)
    start, stop = np.zeros(3, dtype=np.int64), np.array(image.shape, dtype=np.int64)
    for axis in range(3):
        share = foreground.mean(axis=tuple(other for other in range(3) if other != axis))
        there = np.flatnonzero(share > 1e-3)
        if len(there):
            margin = int(np.ceil(_MARGIN / spacing[axis]))
            start[axis] = max(0, there[0] - margin)
            stop[axis] = min(stop[axis], there[-1] + 1 + margin)
    return start, stop


def _otsu(image: NDArray[Any]) -> float:
    """The threshold between two classes of the least variance (Otsu 1979)."""
    low, high = np.percentile(image.reshape(-1)[:: max(1, image.size // 1_000_000)], [0.1, 99.9])
    counts, edges = np.histogram(image, bins=_BINS, range=(low, max(high, low + 1e-6)))
    middles = (edges[:-1] + edges[1:]) / 2
    below, total = np.cumsum(counts), counts.sum()
    sums = np.cumsum(counts * middles)
    above = total - below
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    return float(edges[1:][np.nanargmax(np.where(np.isfinite(between), between, -1))])


def cropped(grid: Grid, start: Ints, stop: Ints) -> Grid:
    """The grid of a box of voxels."""
    affine = grid.affine.copy()
    affine[:3, 3] = grid.affine[:3, :3] @ start + grid.affine[:3, 3]
    x, y, z = (int(size) for size in stop - start)
    return Grid((x, y, z), affine)


def respaced(grid: Grid, spacing: tuple[float | None, ...]) -> Grid:
    """The grid with the same middle and directions and another spacing; its size is the nearest whole number.

    Args:
        grid: of a volume.
        spacing: (3,) mm; None keeps an axis.
    """
    wanted = np.array([old if new is None else new for old, new in zip(grid.spacing, spacing, strict=True)])
    factor = wanted / grid.spacing
    shape = np.maximum(1, np.rint(np.array(grid.shape) / factor)).astype(np.int64)
    affine = grid.affine.copy()
    affine[:3, :3] = grid.affine[:3, :3] * factor
    first = (np.array(grid.shape) - 1) / 2 - factor * (shape - 1) / 2
    affine[:3, 3] = grid.affine[:3, :3] @ first + grid.affine[:3, 3]
    x, y, z = (int(size) for size in shape)
    return Grid((x, y, z), affine)


def places(inner: Grid, outer: Grid) -> list[NDArray[np.float64]]:
    """Where the voxels of a grid lie on the axes of another one of the same directions.

    Args:
        inner: whose voxels are placed.
        outer: whose voxels are counted.

    Returns:
        For each axis (n,) the places, in voxels of `outer`.
    """
    between = np.linalg.inv(outer.affine) @ inner.affine
    return [between[axis, axis] * np.arange(size) + between[axis, 3] for axis, size in enumerate(inner.shape)]


def resampled(data: NDArray[Any], at: list[NDArray[np.float64]]) -> NDArray[Any]:
    """A volume, linear between its voxels; beyond the first and the last voxel their values go on.

    Args:
        data: (channels, x, y, z).
        at: for each axis (n,) the places that are wanted, in voxels.

    Returns:
        (channels, *n). Of whole numbers the nearest whole ones: the step that the file had stays.
    """
    # The axis that shrinks most comes first: the others then have less to do.
    order = sorted(range(3), key=lambda axis: len(at[axis]) / data.shape[axis + 1])
    values: NDArray[Any] = data
    for axis in order:
        values = _along(values, axis + 1, at[axis])
    if data.dtype.kind in "iu":
        values = np.rint(values, out=values if values is not data else None)
    return np.ascontiguousarray(values.astype(data.dtype, copy=False))


def _along(values: NDArray[Any], axis: int, at: NDArray[np.float64]) -> NDArray[Any]:
    size = values.shape[axis]
    at = np.clip(at, 0, size - 1)
    below = np.minimum(at.astype(np.int64), max(size - 2, 0))
    weight = (at - below).astype(np.float32)
    if size == len(at) and not weight.any() and (below == np.arange(size)).all():
        return values
    shape = [1] * values.ndim
    shape[axis] = len(at)
    part: NDArray[np.float32] = np.take(values, below, axis=axis).astype(np.float32)
    above: NDArray[np.float32] = np.take(values, np.minimum(below + 1, size - 1), axis=axis).astype(np.float32)
    above -= part
    above *= weight.reshape(shape)
    part += above
    return part


def nearest(labels: NDArray[Any], at: list[NDArray[np.float64]]) -> NDArray[Any]:
    """A label map (x, y, z) at places of each axis, (n,) in voxels; beyond the last voxel its value goes on."""
    chosen = [
        # Half-way it is the lower one, wherever on the axis: rint would go to the even one.
        np.clip(np.ceil(place - 0.5), 0, size - 1).astype(np.int64)
        for place, size in zip(at, labels.shape, strict=True)
    ]
    return np.ascontiguousarray(labels[np.ix_(*chosen)])
