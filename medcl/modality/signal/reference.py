"""Turn a recording into what the network takes, with numpy alone.

    settings = json.load(open("preprocessing.json"))
    x = preprocess(recording, 500.0, ["I", "II"], ["mV", "mV"], settings)

Steps: choose channels, bring them to one unit, resample, filter, cut into windows, standardise or align. The recording
has no gap in time; where it is resampled or filtered, every value is a number.
"""

from fractions import Fraction
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
VOLTS = {"V": 1.0, "mV": 1e-3, "uV": 1e-6, "nV": 1e-9}
ROUNDING = 1e-6
"""A window that varies less than this share of its recording does not vary."""


def preprocess(
    x: NDArray[Any], sampling_rate: float, channels: list[str], units: list[str], settings: dict[str, Any]
) -> NDArray[np.float32]:
    """Turn a recording into windows.

    Args:
        x: (channels, samples); NaN where there is no value.
        sampling_rate: Hz.
        channels: name of each channel; case does not matter.
        units: of each channel: V, mV, uV or nV.
        settings: content of `preprocessing.json`.

    Returns:
        (windows, channels, samples), `stride` seconds from one to the next; those that touch a second without a value
        are left out.

    Raises:
        ValueError: a channel or a unit is not known, or there are gaps where a filter would spread over them.
    """
    rate = float(settings["sampling_rate"])
    values = _chosen(np.asarray(x, dtype=np.float64), channels, units, settings)
    constant = np.nanmin(values, axis=1) == np.nanmax(values, axis=1)
    if sampling_rate != rate or settings["filters"]:
        if np.isnan(values).any():
            raise ValueError("values are missing, over which a filter would spread: cut the recording at the gaps")
        values = resampled(values, sampling_rate, rate)
        for taps in settings["filters"]:
            values = filtered(values, np.asarray(taps))
        values = values.astype(np.float32).astype(np.float64)
    if settings.get("reference"):
        mixing = np.asarray(settings["reference"])
        values, constant = mixing @ values, ((mixing != 0) & ~constant).sum(axis=1) == 0
    spread = np.where(constant, 0.0, np.nanstd(values, axis=1))
    windows = _windows(values, rate, round(settings["window"] * rate), max(1, round(settings["stride"] * rate)))
    if settings["standardise"] == "record":
        windows = (windows - np.nanmean(values, axis=1)[:, None]) / np.where(spread > 0, spread, np.inf)[:, None]
    elif settings["standardise"] == "window":
        windows = windows - windows.mean(axis=2, keepdims=True)
        own = windows.std(axis=2)
        windows = windows / np.where((spread > 0) & (own > ROUNDING * spread), own, np.inf)[:, :, None]
    elif settings["standardise"] == "robust" and len(windows):
        low, centre, high = np.percentile(_some(windows).swapaxes(0, 1).reshape(len(values), -1), [25, 50, 75], axis=1)
        width = np.where(high > low, high - low, np.inf)
        windows = (windows - centre[:, None]) * 1.349 / width[:, None]
    if settings.get("align", "none") != "none" and len(windows):
        windows = aligned(windows)
    largest = settings.get("clip") or np.inf
    return np.asarray(np.clip(windows, -largest, largest), dtype=np.float32)


def _some(windows: Floats) -> Floats:
    """At most 64 of the windows, evenly spread."""
    return np.asarray(windows[np.linspace(0, len(windows) - 1, min(len(windows), 64)).round().astype(int)])


def _chosen(x: Floats, channels: list[str], units: list[str], settings: dict[str, Any]) -> Floats:
    """The channels of the network in their order and unit."""
    place = {name.strip().casefold(): number for number, name in enumerate(channels)}
    # A channel C3-P3 that a recording does not have is the difference of two that it has.
    pairs = [(name,) if name.casefold() in place else tuple(name.split("-", 1)) for name in settings["channels"]]
    missing = [name for pair in pairs for name in pair if name.casefold() not in place]
    unknown = sorted(set(units) - VOLTS.keys())
    if missing or unknown or x.ndim != 2 or not len(x) == len(channels) == len(units):
        raise ValueError(f"missing channels {missing}, unknown units {unknown}, values {x.shape} of {len(channels)}")
    factors = np.array([VOLTS[unit] for unit in units])[:, None] / VOLTS[settings["unit"]]
    rows = [[x[place[name.casefold()]] * factors[place[name.casefold()]] for name in pair] for pair in pairs]
    return np.stack([row[0] if len(row) == 1 else row[0] - row[1] for row in rows])


def resampled(x: Floats, rate: float, wanted: float) -> Floats:
    """Resample (channels, samples) by a polyphase filter: Kaiser window, beta 5, 10 periods of the lower rate.

    Beyond its ends a recording goes on along the line from its first to its last sample.
    """
    step = Fraction(wanted / rate).limit_denominator(1000)
    up, down, samples = step.numerator, step.denominator, x.shape[1]
    if up == down:
        return x
    half = 10 * max(up, down)
    taps = np.sinc(np.arange(-half, half + 1) / max(up, down)) * np.kaiser(2 * half + 1, 5.0)
    taps *= up / taps.sum()
    more = half // up + 1
    slope = (x[:, -1:] - x[:, :1]) / max(1, samples - 1)
    before, after = x[:, :1] + slope * np.arange(-more, 0), x[:, -1:] + slope * np.arange(1, more + 1)
    stuffed = np.zeros((len(x), (samples + 2 * more) * up))
    stuffed[:, ::up] = np.concatenate([before, x, after], axis=1)
    first = half + more * up
    return _convolved(stuffed, taps)[:, first : first + ceil(samples * step) * down : down][:, : ceil(samples * step)]


def filtered(x: Floats, taps: Floats) -> Floats:
    """Filter (channels, samples) without delay by a symmetric FIR filter; at its ends a recording is turned over."""
    samples = x.shape[1]
    if len(taps) > samples:
        raise ValueError(f"{samples} samples are fewer than the {len(taps)} of the filter")
    more = len(taps) - 1
    before, after = 2 * x[:, :1] - x[:, more:0:-1], 2 * x[:, -1:] - x[:, -2 : -more - 2 : -1]
    first = more + (len(taps) - 1) // 2
    return _convolved(np.concatenate([before, x, after], axis=1), taps)[:, first : first + samples]


def _convolved(x: Floats, taps: Floats) -> Floats:
    """The full convolution of (channels, samples) with (taps,)."""
    length = x.shape[1] + len(taps) - 1
    size = 1 << (length - 1).bit_length()
    return np.asarray(np.fft.irfft(np.fft.rfft(x, size) * np.fft.rfft(taps, size), size)[:, :length])


def aligned(windows: Floats) -> Floats:
    """Turn the channels of windows (n, channels, samples) so that the mean covariance of 64 of them is the identity.

    It is that of one recording: where a person has several, join them in time, as long as their channels are the same.
    """
    windows = windows - windows.mean(axis=2, keepdims=True)
    some = _some(windows)
    matrix = (some @ some.swapaxes(1, 2)).mean(axis=0) / (some.shape[2] - 1)
    values, vectors = np.linalg.eigh(matrix)
    seen = values > 1e-6 * values.mean()
    return np.asarray((vectors * np.where(seen, 1 / np.sqrt(np.where(seen, values, 1)), 0)) @ vectors.T @ windows)


def _windows(x: Floats, rate: float, length: int, stride: int) -> Floats:
    """Windows (windows, channels, length), a stride from one to the next, that touch no second without a value."""
    second = (np.arange(x.shape[1]) / rate).astype(np.int64)
    lost = np.unique(second[np.isnan(x).any(axis=0)])
    starts = [at for at in range(0, x.shape[1] - length + 1, stride)]
    kept = [at for at in starts if not ((lost >= second[at]) & (lost <= second[at + length - 1])).any()]
    return np.stack([x[:, at : at + length] for at in kept]) if kept else np.empty((0, len(x), length))
