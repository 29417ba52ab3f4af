"""When the heart beats: sinus rhythm with its two spectral peaks, and the irregular rhythm of atrial fibrillation."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

TACHOGRAM_RATE = 4.0
"""Hz; RR intervals change far more slowly than this."""
MARGIN = 4.0
"""s of beats before and after the recording, so that every sample lies between complete beats."""
REFRACTORY = 0.3
"""s; the AV node conducts no beat sooner after another."""


def sinus(
    heart_rate: float,
    variability: float,
    lf_hf: float,
    respiration: float,
    ectopy: float,
    duration: float,
    rng: np.random.Generator,
) -> Floats:
    """Beat times of a sinus rhythm.

    The RR tachogram has a spectrum of two Gaussian peaks with random phases: LF at 0.1 Hz (Mayer waves) and HF at the
    breathing rate (McSharry et al. 2003, eq. 6); the phase on the limit cycle is its integral, and a beat falls
    wherever it passes a full turn.

    Args:
        heart_rate: Mean, beats/min.
        variability: Standard deviation of RR, s.
        lf_hf: Power of the LF peak over that of the HF peak.
        respiration: Breathing rate, Hz.
        ectopy: Probability that a beat is a premature atrial one, followed by a pause.
        duration: Of the recording, s.
        rng: Source of randomness.

    Returns:
        (beats,) times of the R peaks in s, ascending, from before 0 to after `duration`.
    """
    span = max(duration + 2 * MARGIN, 128.0)
    n = int(np.ceil(span * TACHOGRAM_RATE)) + 1
    frequency = np.fft.rfftfreq(n, 1 / TACHOGRAM_RATE)
    low = lf_hf / (1 + lf_hf) * np.exp(-0.5 * ((frequency - 0.1) / 0.01) ** 2)
    high = 1 / (1 + lf_hf) * np.exp(-0.5 * ((frequency - respiration) / 0.01) ** 2)
    wave = np.fft.irfft(np.sqrt(low + high) * np.exp(2j * np.pi * rng.random(frequency.size)), n)
    rr = 60 / heart_rate + variability * (wave - wave.mean()) / wave.std()
    rr = np.maximum(rr, REFRACTORY)
    turns = np.concatenate([[0.0], np.cumsum(0.5 * (1 / rr[1:] + 1 / rr[:-1]) / TACHOGRAM_RATE)]) + rng.random()
    time = np.arange(n) / TACHOGRAM_RATE - MARGIN
    beats = np.interp(np.arange(np.ceil(turns[0]), np.floor(turns[-1]) + 1), turns, time)
    premature = rng.random(beats.size) < ectopy
    premature[[0, -1]] = False
    premature[1:] &= ~premature[:-1]
    early = beats - 0.3 * 60 / heart_rate
    beats = np.where(premature, early, beats)
    return beats[beats < duration + MARGIN]


def fibrillating(heart_rate: float, irregularity: float, duration: float, rng: np.random.Generator) -> Floats:
    """Beat times of atrial fibrillation: independent RR intervals, gamma distributed above the AV node's refractory.

    Args:
        heart_rate: Mean ventricular rate, beats/min.
        irregularity: Coefficient of variation of RR.
        duration: Of the recording, s.
        rng: Source of randomness.

    Returns:
        (beats,) times of the R peaks in s, ascending, from before 0 to after `duration`.
    """
    mean = 60 / heart_rate
    free = mean - REFRACTORY
    shape = (free / (irregularity * mean)) ** 2
    count = int(np.ceil((duration + 2 * MARGIN) / mean * 1.5)) + 20
    beats = np.cumsum(REFRACTORY + rng.gamma(shape, free / shape, count)) - MARGIN - mean * rng.random()
    return beats[beats < duration + MARGIN]
