"""Resampling, band-pass and notch of one recording."""

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from medcl.data.config import SignalConfig
from medcl.errors import UnreadableError, UsageError

Floats = NDArray[np.float64]


def check(config: SignalConfig, sampling_rate: float) -> None:
    """Refuse filters that cannot be at this rate (Hz), before any recording is read.

    Raises:
        UsageError: an edge at or above half the sampling rate, or a band that is none.
    """
    edges = [edge for edge in (*(config.band or ()), config.notch) if edge is not None]
    if any(not 0 < edge < sampling_rate / 2 for edge in edges):
        raise UsageError(f"data.band and data.notch must lie between 0 and {sampling_rate / 2:g} Hz, half of the sampling rate, not {edges}")
    if config.band is not None and len(config.band) != 2:
        raise UsageError(f"data.band is [low, high] in Hz, not {config.band}")
    if config.band is not None and None not in config.band and not config.band[0] < config.band[1]:  # type: ignore[operator]
        raise UsageError(f"data.band: {config.band[0]} is not below {config.band[1]}")


def resample(x: Floats, rate: float, wanted: float) -> Floats:
    """Resample (channels, time) by a polyphase filter, with an antialiasing FIR.

    Args:
        x: the recording.
        rate: its sampling rate, in Hz.
        wanted: the rate to come to, in Hz.

    Raises:
        UnreadableError: if the two rates have no small common measure.
    """
    from scipy.signal import resample_poly

    ratio = Fraction(wanted / rate).limit_denominator(1000)
    if abs(float(ratio) * rate / wanted - 1) > 1e-6:
        raise UnreadableError(f"{rate:g} Hz cannot be resampled to {wanted:g} Hz: the ratio is not one of small integers")
    resampled: Floats = resample_poly(x, ratio.numerator, ratio.denominator, axis=1, padtype="line")
    return resampled


def band_and_notch(x: Floats, rate: float, config: SignalConfig) -> Floats:
    """Filter (channels, time) by mne's zero-phase FIR filters.

    Raises:
        UnreadableError: if the recording is shorter than the filter.
    """
    import mne

    if config.band is not None:
        low, high = config.band
        length = len(mne.filter.create_filter(None, rate, low, high, verbose="error"))
        if length > x.shape[1]:
            raise UnreadableError(f"{x.shape[1] / rate:g} s are too short for a band-pass of {length / rate:g} s; raise the lower edge of data.band")
        x = mne.filter.filter_data(x, rate, low, high, verbose="error")
    if config.notch is not None:
        x = mne.filter.notch_filter(x, rate, [config.notch], method="iir", verbose="error")
    return x
