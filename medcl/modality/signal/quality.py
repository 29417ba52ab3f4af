"""What is wrong with a stretch of signal: flat, clipped, not a number."""

import numpy as np
from numpy.typing import NDArray

NAN, FLAT, CLIPPED = 1, 2, 4
"""Bits of the flag of a second."""
CLIPPED_SAMPLES = 5
"""So many samples in a row at the recording's own extreme are clipped; a peak reaches it once or twice."""


def second_of(sample: NDArray[np.int64], sampling_rate: float) -> NDArray[np.int64]:
    """The second of the recording that a sample lies in; rates need not be whole.

    Args:
        sample: numbers of samples, of any shape.
        sampling_rate: in Hz.
    """
    return (sample / sampling_rate).astype(np.int64)


def flags(x: NDArray[np.floating], sampling_rate: float) -> NDArray[np.uint8]:
    """Flag every second of one channel.

    `FLAT` is a channel that does not change for the whole second: no heart and no brain is so still. `CLIPPED` is one
    that stays at its highest or lowest value of the recording for `CLIPPED_SAMPLES`. `NAN` is a value that is missing.

    Args:
        x: (time,), with NaN where there is no value.
        sampling_rate: in Hz.

    Returns:
        (seconds,) sums of NAN, FLAT and CLIPPED; the last second may be a part of one.
    """
    first = np.flatnonzero(np.diff(second_of(np.arange(len(x)), sampling_rate), prepend=-1))
    missing = np.isnan(x)
    low, high = np.fmin.reduceat(x, first), np.fmax.reduceat(x, first)
    several = np.diff(first, append=len(x)) > 1
    flat = (low == high) & several
    # What is flat throughout is at its extremes all the time, and yet not clipped.
    clipped = np.bitwise_or.reduceat(_clipped(x), first) & ~flat
    result: NDArray[np.uint8] = (NAN * np.logical_or.reduceat(missing, first) + FLAT * flat + CLIPPED * clipped).astype(
        np.uint8
    )
    return result


def _clipped(x: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Samples at which a run of CLIPPED_SAMPLES at the highest or lowest value ends, (time,)."""
    ends = np.zeros(len(x), dtype=bool)
    low, high = np.fmin.reduce(x), np.fmax.reduce(x)
    if low == high:
        return ends
    for extreme in (low, high):
        at = np.concatenate([[0], np.cumsum(x == extreme)])
        ends[CLIPPED_SAMPLES - 1 :] |= at[CLIPPED_SAMPLES:] - at[:-CLIPPED_SAMPLES] == CLIPPED_SAMPLES
    return ends
