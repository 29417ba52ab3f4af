"""Redundant by beat: recordings of one heart, whose median beats have nearly the same hash."""

from dataclasses import dataclass
from typing import Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray
from scipy import fft, signal

from medcl.archive.schema import Kind
from medcl.errors import UnreadableError
from medcl.reduce.hash_strategy import BITS, ByHamming, channel_hashes
from medcl.reduce.strategy import Measure, Pieces, Range, Signatures, Source, Unit
from medcl.reduce.thumbnails import stacks

LONGEST = 1 << 16
"""Samples of a recording in which beats are sought."""
SHORTEST = 16
"""Samples of a beat at least."""
LOW = 0.4
"""Of the autocorrelation's greatest value: the first maximum above it is the period."""
CHANNELS = 8


@dataclass(frozen=True)
class Beats(ByHamming):
    """Hamming distance of the difference hashes of median beats, one period of the first 8, 4, 2 or 1 channels.

    Beats are found without a sampling rate: the period is that of the steepness of all channels, beats are its
    greatest peaks, half a period apart at least. What has no period, such as most EEG, has no signature.
    """

    name: ClassVar[str] = "beats"
    kinds: ClassVar[tuple[Kind, ...]] = ("signal",)
    dims: ClassVar[tuple[Unit, ...]] = ("record",)
    source: ClassVar[Source] = "array"
    measure: ClassVar[Measure] = "distance"
    thresholds: ClassVar[Range] = Range(6, 0, BITS, (0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24))
    key: ClassVar[str] = "beats-1"

    def signatures(self, pieces: Pieces) -> Signatures:
        """Hash the median beats of recordings to (n, 8) bytes."""
        beats = [median_beat(piece) for piece in cast(list[NDArray[Any]], pieces)]
        result = np.empty((len(beats), BITS // 8), dtype=np.uint8)
        for rows, values in stacks(beats, joined=False):
            result[rows] = channel_hashes(values, "difference")
        return result


def median_beat(recording: NDArray[Any]) -> NDArray[np.float32]:
    """Find the beats of a recording, and their median.

    Args:
        recording: (C, samples).

    Returns:
        (C, period) from half a period before the steepest place to half a period after.

    Raises:
        UnreadableError: the recording holds no number somewhere, or does not beat.
    """
    _, scaled = next(iter(stacks([recording[:CHANNELS, :LONGEST]], joined=False)))
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
    if n < 4 * SHORTEST or likeness[0] <= 0:
        raise UnreadableError("a constant or very short recording has no beats: compare such by correlation or hash")
    peaks, _ = signal.find_peaks(likeness[SHORTEST:])
    peaks = peaks + SHORTEST
    if not len(peaks) or likeness[peaks].max() < 0.1 * likeness[0]:
        raise UnreadableError("a recording without a period has no beats: compare such by correlation or hash")
    high = peaks[likeness[peaks] >= likeness[peaks].max() * (1 - LOW)]
    return int(high[0])
