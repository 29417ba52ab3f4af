"""The shape of one heart beat as a few moving dipoles, and how a disease bends it."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from medcl.phantom.sphere import Place, as_place, rotation

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
        rng: Random number generator.

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
        rng: Random number generator.

    Returns:
        (beats,) times of the R peaks in s, ascending, from before 0 to after `duration`.
    """
    mean = 60 / heart_rate
    free = mean - REFRACTORY
    shape = (free / (irregularity * mean)) ** 2
    count = int(np.ceil((duration + 2 * MARGIN) / mean * 1.5)) + 20
    beats = np.cumsum(REFRACTORY + rng.gamma(shape, free / shape, count)) - MARGIN - mean * rng.random()
    return beats[beats < duration + MARGIN]


DIAGNOSES = ("normal", "st_elevation", "bundle_branch_block", "atrial_fibrillation")
ISCHAEMIA = {"anterior": (0.25, 0.0, -0.95), "inferior": (-0.25, 0.95, 0.0), "lateral": (0.9, -0.4, -0.1)}
"""Where the injury current points, by the wall that suffers: (left, feet, back)."""


@dataclass(frozen=True)
class Wave:
    """One Gaussian of the beat.

    Attributes:
        name: 'P', 'Q', 'R', 'S', 'ST', 'T' ...
        delay: Of its peak after the R peak, s; times sqrt(RR / 1 s) where it belongs to repolarisation.
        rise: Standard deviation before the peak, s.
        fall: Standard deviation after the peak, s.
        dipole: At the peak, mV: to the patient's left, to the feet, to the back.
    """

    name: str
    delay: float
    rise: float
    fall: float
    dipole: Place

    @property
    def repolarises(self) -> bool:
        """Whether it belongs to repolarisation, whose timing follows the heart rate."""
        return self.name in ("ST", "T")


NORMAL = (
    Wave("P", -0.168, 0.018, 0.018, (0.02, 0.06, -0.03)),
    Wave("P", -0.138, 0.018, 0.018, (0.05, 0.04, 0.03)),
    Wave("Q", -0.024, 0.0075, 0.0075, (-0.10, -0.04, -0.22)),
    Wave("R", 0.0, 0.011, 0.011, (0.76, 0.74, 0.10)),
    Wave("S", 0.022, 0.011, 0.012, (-0.10, -0.12, 0.48)),
    Wave("ST", 0.14, 0.05, 0.06, (0.015, 0.015, -0.02)),
    Wave("T", 0.275, 0.055, 0.036, (0.17, 0.15, -0.10)),
)


def draw_waves(diagnosis: str, severity: float, rng: np.random.Generator) -> tuple[Wave, ...]:
    """One person's beat: the normal one, turned, scaled and delayed as people differ, then bent by the disease.

    The diagnosis is one of `DIAGNOSES`, the severity from 0 to 1.
    """
    # The turn about z, from back to front, moves the electrical axis in the frontal plane.
    turn = rotation(np.deg2rad(rng.normal(0, (12, 16, 22))))
    size, pr, qt, width = rng.lognormal(0, (0.2, 0.08, 0.05, 0.08))
    early = {"ST": rng.lognormal(0, 0.7), "T": rng.lognormal(0, 0.3), "P": rng.lognormal(0, 0.25)}
    waves = []
    for wave in NORMAL:
        slow = {"P": pr, "ST": qt, "T": qt}.get(wave.name, width)
        spread = qt if wave.repolarises else 1.0 if wave.name == "P" else width
        moment = turn @ wave.dipole * size * early.get(wave.name, 1.0) * rng.lognormal(0, 0.12)
        moment += np.linalg.norm(moment) * rng.normal(0, 0.08, 3)
        moved = replace(wave, delay=wave.delay * slow, rise=wave.rise * spread, fall=wave.fall * spread)
        waves.append(_with(moved, moment))
    if diagnosis == "st_elevation":
        return _ischaemia(waves, severity, rng)
    if diagnosis == "bundle_branch_block":
        return _left_block(waves, severity) if rng.random() < 0.5 else _right_block(waves, severity)
    if diagnosis == "atrial_fibrillation":
        return tuple(wave for wave in waves if wave.name != "P")
    return tuple(waves)


def _ischaemia(waves: list[Wave], severity: float, rng: np.random.Generator) -> tuple[Wave, ...]:
    """Injury current over one wall: ST rises towards it into a taller T; an old infarct leaves a Q pointing away."""
    towards = np.array(list(ISCHAEMIA.values())[rng.integers(len(ISCHAEMIA))])
    old = rng.random() < 0.4
    bent = []
    for wave in waves:
        moment = np.array(wave.dipole)
        if wave.name == "ST":
            moment = moment + towards * (0.03 + 0.17 * severity)
            wave = replace(wave, delay=0.12, rise=0.045, fall=0.085)
        elif wave.name == "T":
            moment = moment + towards * 0.15 * severity
        elif wave.name == "Q" and old:
            moment = moment - towards * 0.25 * severity
            wave = replace(wave, rise=wave.rise * (1 + 0.4 * severity), fall=wave.fall * (1 + 0.4 * severity))
        bent.append(_with(wave, moment))
    return tuple(bent)


def _left_block(waves: list[Wave], severity: float) -> tuple[Wave, ...]:
    """The left ventricle is reached late, by muscle: no septal Q, a broad notched R to left and back, T opposite."""
    bent = []
    for wave in waves:
        moment = np.array(wave.dipole)
        if wave.name == "Q":
            moment = moment * (1 - severity)
        elif wave.name == "R":
            moment = moment * (1 - 0.2 * severity) + severity * np.array([0.0, -0.25, 0.25])
            wave = _wider(wave, 1 + 0.8 * severity)
        elif wave.name == "S":
            moment = (1 - 0.5 * severity) * moment + severity * np.array([0.5, 0.1, 0.35])
            wave = replace(_wider(wave, 1 + 1.2 * severity), delay=wave.delay + 0.032 * severity)
        elif wave.name == "ST":
            moment = moment + severity * np.array([-0.10, -0.02, -0.10])
        elif wave.name == "T":
            moment = moment + severity * np.array([-0.42, -0.18, -0.18])
        bent.append(_with(wave, moment))
    return tuple(bent)


def _right_block(waves: list[Wave], severity: float) -> tuple[Wave, ...]:
    """The right ventricle is reached late: a slow last wave to the right and front (R' in V1, broad S in I and V6)."""
    late = Wave("R'", 0.060 + 0.008 * severity, 0.016 + 0.006 * severity, 0.019 + 0.007 * severity, (0, 0, 0))
    bent = [_with(late, severity * np.array([-0.36, -0.04, -0.46]))]
    for wave in waves:
        moment = np.array(wave.dipole)
        if wave.name == "T":
            moment = moment + severity * np.array([0.06, 0.02, 0.18])
        elif wave.name == "S":
            moment = moment * (1 - 0.5 * severity)
        bent.append(_with(wave, moment))
    return tuple(bent)


def _wider(wave: Wave, factor: float) -> Wave:
    return replace(wave, rise=wave.rise * factor, fall=wave.fall * factor)


def _with(wave: Wave, dipole: Floats) -> Wave:
    return replace(wave, dipole=as_place(dipole))
