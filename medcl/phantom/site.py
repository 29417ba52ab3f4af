"""What a hospital's recorder does to a signal: gain, filters, noise, hum. An encoder may learn it, not the heart."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Artefacts:
    """The artefacts of a recording, in the unit of the signal (mV for ECG, uV for EEG). All zero is a clean recording.

    Attributes:
        noise: Broadband noise, rms in 50 Hz of bandwidth.
        wander: Drift below 0.5 Hz (breathing, sweat), rms.
        line: Amplitude of the power line.
        motion: Size of one electrode motion; about one electrode in ten moves once in a recording.
        bad: Probability that a channel is useless in a whole recording: flat, or disconnected.
        line_frequency: Hz. Where the sampling rate is too low for it, the recorder's anti-alias filter has removed it.
    """

    noise: float = 0.0
    wander: float = 0.0
    line: float = 0.0
    motion: float = 0.0
    bad: float = 0.0
    line_frequency: float = 50.0


def spoil(signals: Floats, sampling_rate: float, artefacts: Artefacts, rng: np.random.Generator) -> Floats:
    """Add noise, drift, power line and motion to electrode potentials (electrodes, time), sampled at so many Hz.

    How much of each there is varies between recordings.
    """
    rows, n = signals.shape
    time = np.arange(n) / sampling_rate
    typical = np.array((artefacts.noise, artefacts.wander, artefacts.line))
    noise, wander, line = typical * rng.lognormal(0.0, 0.4, 3)
    out: Floats = signals + noise * np.sqrt(sampling_rate / 100) * rng.standard_normal((rows, n))
    out += wander * _drift(rows, time, rng)
    if artefacts.line_frequency < 0.45 * sampling_rate:
        phase = rng.uniform(0, 2 * np.pi) + rng.normal(0, 0.3, (rows, 1))
        strength = line * rng.lognormal(0.0, 0.5, (rows, 1))
        out += strength * np.sin(2 * np.pi * artefacts.line_frequency * time + phase)
    moved = rng.random(rows) < 0.1
    start = rng.uniform(0, max(time[-1], 1e-9), rows)
    for row in np.flatnonzero(moved):
        out[row] += artefacts.motion * rng.standard_normal() * _motion(time - start[row])
    return out


def fail(signals: Floats, sampling_rate: float, artefacts: Artefacts, rng: np.random.Generator) -> Floats:
    """Replace some channels (channels, time), sampled at so many Hz, by what a failed electrode gives.

    That is a flat line, exactly 0, or mains hum and drift without any signal. Of the artefacts, `bad` is the chance of
    each channel; `motion` the size of what a loose wire picks up.
    """
    rows, n = signals.shape
    time = np.arange(n) / sampling_rate
    fate = rng.random(rows)
    out = signals.copy()
    out[fate < artefacts.bad / 2] = 0.0
    for row in np.flatnonzero((fate >= artefacts.bad / 2) & (fate < artefacts.bad)):
        hum = np.sin(2 * np.pi * artefacts.line_frequency * time + rng.uniform(0, 2 * np.pi))
        heard = hum if artefacts.line_frequency < 0.45 * sampling_rate else np.zeros(n)
        out[row] = artefacts.motion * (_drift(1, time, rng)[0] + heard + 0.3 * rng.standard_normal(n))
    return out


def _drift(rows: int, time: Floats, rng: np.random.Generator) -> Floats:
    """(rows, time) of rms about 1: one slow wave common to all electrodes (breathing) and three of each one's own."""
    common = np.sin(2 * np.pi * rng.uniform(0.15, 0.35) * time + rng.uniform(0, 2 * np.pi))
    frequency = rng.uniform(0.03, 0.45, (rows, 3, 1))
    own = np.sin(2 * np.pi * frequency * time + rng.uniform(0, 2 * np.pi, (rows, 3, 1))).sum(axis=1)
    drift: Floats = rng.uniform(0.2, 1.0, (rows, 1)) * common + 0.6 * own
    return drift


def _motion(since: Floats) -> Floats:
    """A jerk of height about 1 and its recovery: a fast rise, a slow return with an overshoot; `since` its onset, s."""
    after = np.maximum(since, 0)
    jerk: Floats = (1 - np.exp(-after / 0.03)) * np.exp(-after / 0.35) * np.cos(2 * np.pi * 0.9 * after)
    return jerk


Signals = NDArray[np.float32]


@dataclass(frozen=True)
class Site:
    """A recorder. As it stands, it changes nothing.

    Attributes:
        name: In label tables.
        gain: What a signal is multiplied by.
        offset: Added to each channel, mV.
        lowest: Edge of the high-pass filter, Hz; 0 for none.
        highest: Edge of the low-pass filter, Hz; 0 for none.
        noise: White noise, rms in mV.
        hum: Amplitude of the power line, mV.
        line_frequency: Hz; no hum where the sampling rate is too low for it.
    """

    name: str
    gain: float = 1.0
    offset: float = 0.0
    lowest: float = 0.0
    highest: float = 0.0
    noise: float = 0.0
    hum: float = 0.0
    line_frequency: float = 50.0


SITES = (
    Site("North", noise=0.05),
    Site("South", gain=0.9, lowest=0.5, highest=10.0),
    Site("West", gain=1.1, offset=0.02, hum=0.1, line_frequency=40.0),
)
"""Three hospitals whose recorders differ so that it is visible: baseline noise, a strong filter, hum."""


def record(signals: Signals, sampling_rate: float, site: Site, rng: np.random.Generator) -> Signals:
    """A signal (channels, time) in mV, sampled at so many Hz, as the recorder of a site writes it."""
    from scipy.signal import butter, sosfiltfilt

    out = signals.astype(np.float64)
    if site.lowest:
        out = sosfiltfilt(butter(1, site.lowest, "highpass", fs=sampling_rate, output="sos"), out, axis=1)
    if site.highest:
        out = sosfiltfilt(butter(2, site.highest, "lowpass", fs=sampling_rate, output="sos"), out, axis=1)
    out = site.gain * out + site.offset
    if site.noise:
        out += site.noise * rng.standard_normal(out.shape)
    if site.hum and site.line_frequency < 0.45 * sampling_rate:
        time = np.arange(out.shape[1]) / sampling_rate
        out += site.hum * np.sin(2 * np.pi * site.line_frequency * time + rng.uniform(0, 2 * np.pi))
    return out.astype(np.float32)
