"""The median beat of a recording, found without its sampling rate."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft, signal

from medcl.errors import UnreadableError
from medcl.modality.small_images import stacks

_LONGEST = 1 << 16
"""Samples of a recording in which beats are sought."""
_SHORTEST = 16
"""Samples of a beat at least."""
_LOW = 0.4
"""Of the autocorrelation's greatest value: the first maximum above it is the period."""
_BEAT_CHANNELS = 8


def median_beat(recording: NDArray[Any]) -> NDArray[np.float32]:
    """Find the beats of a recording, and their median.

    Args:
        recording: (C, samples).

    Returns:
        (C, period) from half a period before the steepest place to half a period after.

    Raises:
        UnreadableError: the recording holds no number somewhere, or does not beat.
    """
    _, scaled = next(iter(stacks([recording[:_BEAT_CHANNELS, :_LONGEST]], joined=False)))
    values = scaled[0].copy()
    steepness = np.abs(np.diff(values, axis=1, prepend=values[:, :1])).sum(axis=0, dtype=np.float64)
    smooth = np.convolve(steepness, signal.windows.hann(9), mode="same")
    period = _period(smooth)
    peaks, _ = signal.find_peaks(smooth, height=0.5 * np.quantile(smooth, 0.995), distance=max(1, period // 2))
    half = period // 2
    peaks = peaks[(peaks >= half) & (peaks + half <= values.shape[1])]
    if len(peaks) < 2:
        raise UnreadableError("fewer than two whole beats found: compare such recordings by correlation or hash")
    windows = values[:, peaks[:, None] + np.arange(-half, half)]
    return np.asarray(np.median(windows, axis=1), dtype=np.float32)


def _period(steepness: NDArray[np.float64]) -> int:
    """Return the samples from beat to beat: the first high maximum of the autocorrelation."""
    n = len(steepness)
    power = np.abs(fft.rfft(steepness - steepness.mean(), 2 * n)) ** 2
    likeness = fft.irfft(power, 2 * n)[: n // 2]
    if n < 4 * _SHORTEST or likeness[0] <= 0:
        raise UnreadableError("a constant or very short recording has no beats: compare such by correlation or hash")
    peaks, _ = signal.find_peaks(likeness[_SHORTEST:])
    peaks = peaks + _SHORTEST
    if not len(peaks) or likeness[peaks].max() < 0.1 * likeness[0]:
        raise UnreadableError("a recording without a period has no beats: compare such by correlation or hash")
    high = peaks[likeness[peaks] >= likeness[peaks].max() * (1 - _LOW)]
    return int(high[0])
