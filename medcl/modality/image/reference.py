"""Turn an image into what the network takes, with numpy alone.

    settings = json.load(open("preprocessing.json"))
    x = preprocess(pixels, settings)

Steps: cut the border off, make it grey, scale black to 0 and white to 1, bring it to one size. Pixels are those of the
decoded file, black being low: of a DICOM radiograph after rescaling, MONOCHROME1 turned over.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

GREY = np.array([0.299, 0.587, 0.114], dtype=np.float32)
PRECISION = 22
"""Bits behind the point of a weight, where pixels are whole numbers."""


def preprocess(
    pixels: NDArray[Any], settings: dict[str, Any], window: tuple[float, float] | None = None
) -> NDArray[np.float32]:
    """Turn an image into a sample.

    Args:
        pixels: (rows, columns), or (rows, columns, 3) of red, green and blue.
        settings: content of `preprocessing.json`.
        window: the values that are black and white, as a DICOM header states them; default: those of the type.

    Returns:
        (1, channels, rows, columns) from 0 to 1.

    Raises:
        ValueError: every pixel has the same value, so that there is no black and white.
    """
    data = pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)
    rows, columns = data.shape[1:]
    across, along = (int(settings["border"] * side) for side in (rows, columns))
    data = data[:, across : rows - across, along : columns - along]
    if len(data) == 3 and not settings["colour"]:
        data = np.tensordot(GREY, data.astype(np.float32), axes=1)[None]
    low, high = _range(data, pixels.dtype, settings, window)
    if not high > low:
        raise ValueError(f"black and white are both {low:g}")
    if data.dtype != np.uint8 or (low, high) != (0, 255):
        scaled = (data.astype(np.float32) - np.float32(low)) * np.float32(255 / (high - low))
        data = np.nan_to_num(np.clip(scaled, 0, 255))
    out = np.stack([_fitted(channel, settings) for channel in data])
    if settings["colour"] and len(out) == 1:
        out = np.repeat(out, 3, axis=0)
    return np.asarray(out[None].astype(np.float32) / np.float32(255))


def _range(
    data: NDArray[Any], kind: Any, settings: dict[str, Any], window: tuple[float, float] | None
) -> tuple[float, float]:
    """The values that become 0 and 1."""
    if settings["percentiles"] is not None:
        low, high = np.nanpercentile(data, settings["percentiles"])
        return float(low), float(high)
    if settings["window"] is not None:
        window = tuple(settings["window"])
    if window is None and np.issubdtype(kind, np.integer):
        window = float(np.iinfo(kind).min), float(np.iinfo(kind).max)
    return window or (0.0, 1.0)


def _fitted(channel: NDArray[Any], settings: dict[str, Any]) -> NDArray[np.uint8]:
    """One channel (rows, columns) at the size that is wanted, uint8."""
    rows, columns = channel.shape
    height, width = inner = settings["size"]
    top, left, bottom, right = 0.0, 0.0, float(rows), float(columns)
    if settings["fit"] == "pad":
        scale = min(height / rows, width / columns)
        inner = max(1, min(height, round(rows * scale))), max(1, min(width, round(columns * scale)))
    elif settings["fit"] == "crop":
        scale = max(height / rows, width / columns)
        left, top = max(0.0, (columns - width / scale) / 2), max(0.0, (rows - height / scale) / 2)
        right, bottom = columns - left, rows - top
    small = resized(resized(channel, left, right, inner[1]).T, top, bottom, inner[0]).T
    if small.dtype != np.uint8:
        small = np.clip(small + np.float32(0.5), 0, 255).astype(np.uint8)
    out = np.zeros((height, width), dtype=np.uint8)
    up, before = (height - inner[0]) // 2, (width - inner[1]) // 2
    out[up : up + inner[0], before : before + inner[1]] = small
    return out


def resized(x: NDArray[Any], start: float, stop: float, size: int) -> NDArray[Any]:
    """The columns of (rows, columns) from `start` to `stop` as `size` ones, by Pillow's HAMMING filter.

    Whole numbers are weighted with whole numbers and rounded, as Pillow does it.
    """
    columns = x.shape[1]
    if size == columns and (start, stop) == (0, columns):
        return x
    scale = (stop - start) / size
    support = max(scale, 1.0)
    weights = np.zeros((columns, size))
    for column in range(size):
        centre = start + (column + 0.5) * scale
        first, last = max(0, int(centre - support + 0.5)), min(columns, int(centre + support + 0.5))
        distance = np.abs((np.arange(first, last) - centre + 0.5) / support)
        own = np.where(distance < 1, np.sinc(distance) * (0.54 + 0.46 * np.cos(np.pi * distance)), 0)
        weights[first:last, column] = own / own.sum()
    if x.dtype != np.uint8:
        return np.asarray((x.astype(np.float64) @ weights).astype(np.float32))
    whole = np.trunc(weights * (1 << PRECISION) + 0.5).astype(np.int64)
    # Products of whole numbers below 2 ** 53 are exact in float64, whose matrix product is the faster one.
    total = x.astype(np.float64) @ whole.astype(np.float64) + (1 << (PRECISION - 1))
    return np.asarray(np.clip(np.floor(total / (1 << PRECISION)), 0, 255).astype(np.uint8))
