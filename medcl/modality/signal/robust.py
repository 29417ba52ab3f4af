"""Robust scaling of recordings: the median of each channel becomes 0, its middle half of values has a fixed width."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from medcl.modality.rows import Ints
from medcl.modality.signal.alignment import spread

Windows = NDArray[np.float32]
NORMAL = 1.349
"""Interquartile range of a normal distribution with a standard deviation of 1."""
_RECORDS = 4096
"""Whose numbers are kept in memory at most."""


def centre_and_scale(windows: Windows) -> tuple[Windows, Windows]:
    """The medians, and what is multiplied by, each (C, 1), of 64 of a recording's windows (n, C, T), evenly spread.

    The factor is 1.349 / the interquartile range, so that normal noise gets a standard deviation of 1; it is 0 for a
    channel whose middle half does not vary.
    """
    x = windows[spread(np.arange(len(windows)))].swapaxes(0, 1).reshape(windows.shape[1], -1)
    low, centre, high = np.percentile(x, [25, 50, 75], axis=1).astype(np.float32)
    width = high - low
    factor = np.where(width > 0, NORMAL / np.where(width > 0, width, 1), 0).astype(np.float32)
    return centre[:, None], factor[:, None]


def clipped(x: Windows, largest: float) -> Windows:
    """Windows with values from -largest to largest; 0 does not clip."""
    return np.clip(x, -largest, largest) if largest else x


class RobustScale:
    """Scales windows by the median and the interquartile range of their recording, which are computed when first met.

    Args:
        windows_of: numbers (n,) of the windows of a row of the manifest.
        read: windows by their numbers, (n, C, T), in physical units.
    """

    def __init__(self, windows_of: Callable[[int], Ints], read: Callable[[Ints], Windows]) -> None:
        self._windows_of, self._read = windows_of, read
        self._found: dict[int, tuple[Windows, Windows]] = {}

    def __call__(self, rows: Ints, x: Windows) -> Windows:
        """Scale windows (B, C, T) of these rows (B,)."""
        known = [self._of(int(row)) for row in rows.tolist()]
        centre, factor = (np.stack(part) for part in zip(*known, strict=True))
        scaled: Windows = (x - centre) * factor
        return scaled

    def _of(self, row: int) -> tuple[Windows, Windows]:
        if row not in self._found:
            if len(self._found) >= _RECORDS:
                self._found.pop(next(iter(self._found)))
            self._found[row] = centre_and_scale(self._read(spread(self._windows_of(row))))
        return self._found[row]
