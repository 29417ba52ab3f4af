"""What is wrong with a stretch of signal: flat, clipped, not a number."""

import numpy as np
from numpy.typing import NDArray

NAN, FLAT, CLIPPED = 1, 2, 4
FLAT_SECONDS = 1.0
"""A channel that does not change for a whole second is flat: no heart and no brain is so still."""
CLIPPED_SAMPLES = 5
"""So many samples in a row at the recording's own extreme are clipped; a peak reaches it once or twice."""


def flags(x: NDArray[np.floating], sampling_rate: float) -> NDArray[np.uint8]:
    """Flag every second of a recording.

    Args:
        x: (channels, time), with NaN where there is no value.
        sampling_rate: in Hz.

    Returns:
        (seconds,) the sum of NAN, FLAT and CLIPPED that hold in any channel; the last second may be a part of one.
    """
    step = max(1, round(sampling_rate * FLAT_SECONDS))
    seconds = -(-x.shape[1] // step)
    padded = np.full((x.shape[0], seconds * step), np.nan)
    padded[:, : x.shape[1]] = x
    blocks = padded.reshape(x.shape[0], seconds, step)
    inside = np.arange(seconds * step).reshape(seconds, step) < x.shape[1]
    nan = (np.isnan(blocks) & inside).any(axis=2)
    low, high = np.where(np.isnan(blocks), np.inf, blocks).min(axis=2), np.where(np.isnan(blocks), -np.inf, blocks).max(axis=2)
    flat = (high == low) & (inside.sum(axis=1) > 1)
    # A flat second sits at its own extreme all the time, which is flat, not clipped.
    clipped = _clipped(padded).reshape(x.shape[0], seconds, step).any(axis=2) & ~flat
    result: NDArray[np.uint8] = (NAN * nan.any(axis=0) + FLAT * flat.any(axis=0) + CLIPPED * clipped.any(axis=0)).astype(np.uint8)
    return result


def _clipped(x: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Samples at which a run of CLIPPED_SAMPLES at the channel's highest or lowest value ends, (channels, time)."""
    result = np.zeros(x.shape, dtype=bool)
    for extreme in (np.fmax, np.fmin):
        at = x == extreme.reduce(x, axis=1, keepdims=True)
        runs = np.lib.stride_tricks.sliding_window_view(at, CLIPPED_SAMPLES, axis=1).all(axis=2) if x.shape[1] >= CLIPPED_SAMPLES else at[:, :0]
        result[:, x.shape[1] - runs.shape[1] :] |= runs
    return result
