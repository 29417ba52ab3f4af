"""Turn a volume into what the network takes, with numpy alone.

    settings = json.load(open("preprocessing.json"))
    x = preprocess(voxels, (0.7, 0.7, 5.0), settings)

Steps: cut to the foreground, resample, scale, cut into tiles. Axes are those of RAS+ (x to the right, y to the front, z
upwards; `nibabel.as_closest_canonical` turns a NIfTI so); a CT is in HU.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

MARGIN = 10.0
"""mm around the foreground."""


def preprocess(voxels: NDArray[Any], spacing: tuple[float, ...], settings: dict[str, Any]) -> NDArray[np.float32]:
    """Turn a volume into tiles.

    Args:
        voxels: (x, y, z) or (channels, x, y, z), each a number.
        spacing: mm along x, y, z.
        settings: content of `preprocessing.json`.

    Returns:
        (tiles, channels, *size), scaled; of slices (tiles, channels, a, b), the two other axes in their order.

    Raises:
        ValueError: every voxel has the same value.
    """
    return cut(prepared(voxels, spacing, settings), settings["size"])


def prepared(voxels: NDArray[Any], spacing: tuple[float, ...], settings: dict[str, Any]) -> NDArray[np.float32]:
    """The whole volume (channels, x, y, z), resampled and scaled."""
    data = voxels[None] if voxels.ndim == 3 else voxels
    if data.dtype.kind not in "iu":
        data = data.astype(np.float32)
    if settings["foreground"]:
        start, stop = _foreground(data, np.asarray(spacing))
        data = data[:, start[0] : stop[0], start[1] : stop[1], start[2] : stop[2]]
    if settings["spacing"] is not None:
        data = _resampled(data, np.asarray(spacing), settings["spacing"])
    if settings["window"] is not None:
        low, high = settings["window"]
    else:
        # Of whole numbers the percentiles are among them.
        method: Any = "lower" if data.dtype.kind in "iu" else "linear"
        low, high = (float(one) for one in np.percentile(data, settings["percentiles"], method=method))
    if not high > low:
        raise ValueError(f"black and white are both {low:g}")
    scaled = (data.astype(np.float32) - np.float32(low)) * np.float32(1 / (high - low))
    return np.clip(scaled, 0, 1) if settings["window"] is not None else scaled


def cut(x: NDArray[np.float32], size: list[int]) -> NDArray[np.float32]:
    """Tiles that cover (channels, x, y, z); a volume that is smaller than one lies in its middle, zeros around it."""
    missing = np.maximum(np.array(size) - x.shape[1:], 0)
    x = np.pad(x, [(0, 0), *((-(-int(one) // 2), int(one) // 2) for one in missing)])
    axes = [
        np.linspace(0, voxels - side, -(-voxels // side)).round().astype(np.int64)
        for voxels, side in zip(x.shape[1:], size, strict=True)
    ]
    starts = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    tiles = np.stack([x[:, *map(slice, start, start + size)] for start in starts])
    return tiles.squeeze(size.index(1) + 2) if 1 in size else tiles


def _foreground(data: NDArray[Any], spacing: NDArray[np.float64]) -> tuple[list[int], list[int]]:
    """The box around what lies above Otsu's threshold, with a margin; planes count from one voxel in a thousand on."""
    image = data.mean(axis=0, dtype=np.float32) if len(data) > 1 else data[0]
    above = image > _otsu(image)
    start, stop = [0, 0, 0], list(image.shape)
    for axis in range(3):
        share = above.mean(axis=tuple(other for other in range(3) if other != axis))
        there = np.flatnonzero(share > 1e-3)
        if len(there):
            margin = int(np.ceil(MARGIN / spacing[axis]))
            start[axis] = max(0, int(there[0]) - margin)
            stop[axis] = min(stop[axis], int(there[-1]) + 1 + margin)
    return start, stop


def _otsu(image: NDArray[Any]) -> float:
    """The threshold between two classes of the least variance (Otsu 1979)."""
    low, high = np.percentile(image.reshape(-1)[:: max(1, image.size // 1_000_000)], [0.1, 99.9])
    counts, edges = np.histogram(image, bins=256, range=(low, max(high, low + 1e-6)))
    middles = (edges[:-1] + edges[1:]) / 2
    below, sums = np.cumsum(counts), np.cumsum(counts * middles)
    above = counts.sum() - below
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    return float(edges[1:][np.nanargmax(np.where(np.isfinite(between), between, -1))])


def _resampled(data: NDArray[Any], spacing: NDArray[np.float64], wanted: list[float | None]) -> NDArray[Any]:
    """(channels, x, y, z) at another spacing with the same middle, linear between voxels; whole numbers stay whole."""
    factor = np.array([1.0 if new is None else new / old for old, new in zip(spacing, wanted, strict=True)])
    before = np.array(data.shape[1:])
    after = np.maximum(1, np.rint(before / factor)).astype(np.int64)
    values: NDArray[Any] = data
    for axis in sorted(range(3), key=lambda axis: after[axis] / before[axis]):
        size, first = before[axis], (before[axis] - 1) / 2 - factor[axis] * (after[axis] - 1) / 2
        at = np.clip(first + factor[axis] * np.arange(after[axis]), 0, size - 1)
        below = np.minimum(at.astype(np.int64), max(size - 2, 0))
        shape = [len(at) if one == axis + 1 else 1 for one in range(4)]
        weight = (at - below).astype(np.float32).reshape(shape)
        lower = np.take(values, below, axis=axis + 1).astype(np.float32)
        upper = np.take(values, np.minimum(below + 1, size - 1), axis=axis + 1).astype(np.float32)
        values = lower + (upper - lower) * weight
    return np.rint(values).astype(data.dtype) if data.dtype.kind in "iu" else values
