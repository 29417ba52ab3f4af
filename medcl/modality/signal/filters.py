"""Resampling, band-pass and notch of one recording."""

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from medcl.errors import UnreadableError, UsageError
from medcl.modality.signal.config import SignalConfig

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


Floats = NDArray[np.float64]
_NOTCH_EDGE = 1.0
"""Hz to either side of a notch in which the signal comes back. The filter has 3.7 s; half of this would double it."""


def check(config: SignalConfig, sampling_rate: float) -> None:
    """Refuse filters that cannot be at a sampling rate, before any recording is read.

    Args:
        config: band and notch.
        sampling_rate: that they are applied at, in Hz.

    Raises:
        UsageError: an edge at or above half the sampling rate, or an empty band.
    """
    band = config.band or [None, None]
    if len(band) != 2:
        raise UsageError(f"data.band is [low, high] in Hz, not {config.band}")
    low, high = band
    if low is not None and high is not None and low >= high:
        raise UsageError(f"data.band: {low:g} Hz is not below {high:g} Hz")
    for name, edge, beyond in (("band", low, 0.0), ("band", high, 0.0), ("notch", config.notch, _NOTCH_EDGE)):
        if edge is not None and not beyond < edge < sampling_rate / 2 - beyond:
            raise UsageError(
                f"data.{name}: {edge:g} Hz is not between {beyond:g} and {sampling_rate / 2 - beyond:g} Hz, "
                f"as it must be at a sampling rate of {sampling_rate:g} Hz"
            )


class TooShortError(UnreadableError):
    """A recording, or a stretch of it, is shorter than a filter."""


def ratio(rate: float, wanted: float) -> Fraction:
    """How many samples one becomes.

    Args:
        rate: in Hz.
        wanted: the rate to come to, in Hz.

    Raises:
        UnreadableError: if the two rates have no small common measure.
    """
    found = Fraction(wanted / rate).limit_denominator(1000)
    if abs(float(found) * rate / wanted - 1) > 1e-6:
        raise UnreadableError(
            f"{rate:g} Hz cannot be resampled to {wanted:g} Hz: the ratio is not one of integers up to 1000"
        )
    return found


def resample(x: Floats, rate: float, wanted: float) -> Floats:
    """Resample by a polyphase filter, with an antialiasing FIR.

    Args:
        x: (channels, time).
        rate: its sampling rate, in Hz.
        wanted: the rate to come to, in Hz.

    Returns:
        (channels, time at the new rate).

    Raises:
        UnreadableError: if the two rates have no small common measure.
    """
    from scipy.signal import resample_poly

    step = ratio(rate, wanted)
    resampled: Floats = resample_poly(x, step.numerator, step.denominator, axis=1, padtype="line")
    return resampled


def band_and_notch(x: Floats, rate: float, config: SignalConfig) -> Floats:
    """Filter by mne's zero-phase FIR filters.

    Args:
        x: (channels, time).
        rate: its sampling rate, in Hz.
        config: band and notch.

    Returns:
        (channels, time).

    Raises:
        TooShortError: if the recording is shorter than a filter.
    """
    if config.band is not None and config.band != [None, None]:
        x = _fir(x, rate, config.band[0], config.band[1], "auto")
    if config.notch is not None:
        # A band-stop, which mne writes as a high-pass that begins above where the low-pass ends.
        x = _fir(x, rate, config.notch + _NOTCH_EDGE, config.notch - _NOTCH_EDGE, 0.9 * _NOTCH_EDGE)
    return x


def _fir(x: Floats, rate: float, low: float | None, high: float | None, transition: float | str) -> Floats:
    import mne

    shape = {"l_trans_bandwidth": transition, "h_trans_bandwidth": transition, "verbose": "error"}
    length = len(mne.filter.create_filter(None, rate, low, high, **shape))
    if length > x.shape[1]:
        raise TooShortError(
            f"too short for its filter: {x.shape[1] / rate:g} s, and the filter has {length / rate:.1f} s; "
            "a higher low edge of data.band or no data.notch shortens it"
        )
    filtered: Floats = mne.filter.filter_data(x, rate, low, high, **shape)
    return filtered
