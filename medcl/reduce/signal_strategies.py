"""Strategies for recordings: the best correlation over shifts, and hashes of median beats."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft, signal

from medcl.errors import UnreadableError
from medcl.reduce.hamming import BITS, ByHamming, channel_hashes
from medcl.reduce.resize import resize, stacks
from medcl.reduce.strategy import Pieces, Range, Signatures, Strategy

CHANNELS, SAMPLES = 16, 512
"""Of what is compared: the first 16 channels, resized to 512 samples of 8 bits."""
SHIFT = SAMPLES // 8
"""Furthest shift, either way."""
BLOCK = 32
"""Signals a side that are compared at a time."""
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Correlation(Strategy):
    """Pearson's correlation of two recordings, all channels as one, at the best shift up to an eighth of their length.

    Recordings are resized to one number of samples, so those of equal length are compared second by second. Correlation
    is that of the time both cover, about each channel's mean. A channel that only one recording has counts against it.
    """

    name = "correlation"
    kinds = ("signal",)
    dims = ("record",)
    thresholds = Range(0.95, -1, 1, (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, 1))

    def signatures(self, pieces: Pieces) -> Signatures:
        """Return small recordings, (n, 8192) uint8; channels that there are not are constant."""
        result = np.zeros((len(pieces), CHANNELS, SAMPLES), dtype=np.uint8)
        for rows, values in stacks(pieces, joined=False):
            small = resize(values[:, :CHANNELS], (values[:, :CHANNELS].shape[1], SAMPLES))
            result[rows, : small.shape[1]] = small
        return result.reshape(len(pieces), -1)

    def compare(self, a: Signatures, b: Signatures) -> Floats:
        """Compute the correlation of each pair, (n, m); 1 of two that are constant, 0 of one that is."""
        result = np.empty((len(a), len(b)), dtype=np.float32)
        for left in range(0, len(b), BLOCK):
            second = _Spectra(b[left : left + BLOCK])
            for top in range(0, len(a), BLOCK):
                part = _correlations(_Spectra(a[top : top + BLOCK]), second)
                result[top : top + BLOCK, left : left + BLOCK] = part
        return result

    def vectors(self, signatures: Signatures) -> Floats:
        """Return standardised recordings, (n, 8192): without a shift, nearness orders pairs as correlation does."""
        values = _standardised(signatures).reshape(len(signatures), -1)
        return np.asarray(values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12))


class _Spectra:
    """Standardised signals, their spectra, and the energy of what remains of each at each shift."""

    def __init__(self, signatures: Signatures) -> None:
        values = _standardised(signatures)
        self.spectra = fft.rfft(values, 2 * SAMPLES, axis=2)
        until = np.cumsum((values * values).sum(axis=1, dtype=np.float64), axis=1)
        self.total = until[:, -1]
        self.first = until[:, SAMPLES - 1 - np.arange(SHIFT + 1)]  # (n, shifts) energy without the last samples
        cut = np.concatenate([np.zeros((len(values), 1)), until[:, :SHIFT]], axis=1)
        self.last = self.total[:, None] - cut  # without the first


def _correlations(a: _Spectra, b: _Spectra) -> NDArray[np.float64]:
    cross = fft.irfft(np.einsum("ncf,mcf->nmf", a.spectra.conj(), b.spectra), 2 * SAMPLES, axis=2)
    later, sooner = cross[:, :, : SHIFT + 1], cross[:, :, -np.arange(SHIFT + 1)]
    energy_later = np.sqrt(a.first[:, None] * b.last[None])
    energy_sooner = np.sqrt(a.last[:, None] * b.first[None])
    at_shifts = [
        np.divide(product, energy, out=np.zeros(product.shape, dtype=np.float64), where=energy > 1e-6)
        for product, energy in ((later, energy_later), (sooner, energy_sooner))
    ]
    best = np.concatenate(at_shifts, axis=2).max(axis=2)
    constant = (a.total == 0)[:, None] & (b.total == 0)[None]
    return np.clip(np.where(constant, 1, best), -1, 1)


def _standardised(signatures: Signatures) -> Floats:
    """Return (n, channels, samples) float32 of mean 0 and variance 1; constant channels are 0."""
    values = signatures.reshape(len(signatures), CHANNELS, SAMPLES).astype(np.float32)
    values -= values.mean(axis=2, keepdims=True)
    return np.asarray(values / np.maximum(values.std(axis=2, keepdims=True), 1e-6))


_LONGEST = 1 << 16
"""Samples of a recording in which beats are sought."""
_SHORTEST = 16
"""Samples of a beat at least."""
_LOW = 0.4
"""Of the autocorrelation's greatest value: the first maximum above it is the period."""
_BEAT_CHANNELS = 8


@dataclass(frozen=True)
class Beats(ByHamming):
    """Hamming distance of the difference hashes of median beats, one period of the first 8, 4, 2 or 1 channels.

    Beats are found without a sampling rate: the period is that of the steepness of all channels, beats are its
    greatest peaks, half a period apart at least. What has no period, such as most EEG, has no signature.
    """

    name = "beats"
    kinds = ("signal",)
    dims = ("record",)
    measure = "distance"
    thresholds = Range(6, 0, BITS, (0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24))

    def signatures(self, pieces: Pieces) -> Signatures:
        """Hash the median beats of recordings to (n, 8) bytes."""
        beats = [median_beat(piece) for piece in pieces]
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
