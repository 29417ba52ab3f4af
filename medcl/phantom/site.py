"""What a hospital's recorder does to a signal: gain, filters, noise, hum. An encoder may learn it, not the heart."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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
"""Three hospitals whose recorders differ so that one sees it: baseline noise, a strong filter, hum."""


def without_effect(sites: tuple[Site, ...] = SITES) -> tuple[Site, ...]:
    """The same hospitals with recorders that change nothing."""
    return tuple(Site(site.name) for site in sites)


def record(signals: Signals, sampling_rate: float, site: Site, rng: np.random.Generator) -> Signals:
    """A signal as the recorder of a site writes it.

    Args:
        signals: (channels, time), mV.
        sampling_rate: Hz.
        site: Where.
        rng: Source of the noise.

    Returns:
        (channels, time), mV; the same signal where the site changes nothing.
    """
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
