"""Strategies for recordings: the best correlation over shifts, and hashes of median beats."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medcl.modality.image_hashes import channel_hashes
from medcl.modality.signal.median_beat import median_beat
from medcl.modality.small_images import resize, stacks
from medcl.reduce.hamming import ByHamming
from medcl.reduce.strategy import Pieces, Range, Signatures, Strategy
from medcl.stats.hamming import BITS
from medcl.stats.similarity import shifted_correlation

CHANNELS, SAMPLES = 16, 512
"""Of what is compared: the first 16 channels, resized to 512 samples of 8 bits."""
SHIFT = SAMPLES // 8
"""Furthest shift, either way."""
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
        return shifted_correlation(_standardised(a), _standardised(b), SHIFT)

    def vectors(self, signatures: Signatures) -> Floats:
        """Return standardised recordings, (n, 8192): without a shift, nearness orders pairs as correlation does."""
        values = _standardised(signatures).reshape(len(signatures), -1)
        return np.asarray(values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12))


def _standardised(signatures: Signatures) -> Floats:
    """Return (n, channels, samples) float32 of mean 0 and variance 1; constant channels are 0."""
    values = signatures.reshape(len(signatures), CHANNELS, SAMPLES).astype(np.float32)
    values -= values.mean(axis=2, keepdims=True)
    return np.asarray(values / np.maximum(values.std(axis=2, keepdims=True), 1e-6))


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
