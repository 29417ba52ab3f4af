"""Electrocardiograms of synthetic patients: a beating dipole in the chest, seen by nine electrodes."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from medcl.phantom.morphology import DIAGNOSES, Wave, draw_waves, fibrillating, sinus
from medcl.phantom.site import Artefacts, fail, spoil
from medcl.phantom.sphere import Place, as_place, lead_field, unit

Floats = NDArray[np.float64]

LEADS = ("I", "II", "III", "AVR", "AVL", "AVF", "V1", "V2", "V3", "V4", "V5", "V6")
ARTEFACTS = Artefacts(noise=0.012, wander=0.05, line=0.01, motion=0.4, bad=0.01)
CLEAN = Artefacts()

# RA, LA, LL and V1 to V6 on the sphere: x to the patient's left, y to the feet, z to the back. The limbs form
# Einthoven's triangle.
ELECTRODES = unit(
    [
        (-0.87, -0.50, 0.10),
        (0.87, -0.50, 0.10),
        (0.12, 1.00, 0.10),
        (-0.22, -0.05, -0.97),
        (0.24, -0.05, -0.97),
        (0.52, 0.05, -0.85),
        (0.76, 0.15, -0.63),
        (0.93, 0.17, -0.32),
        (0.98, 0.17, 0.03),
    ]
)
HEART = (0.12, 0.05, -0.22)
RELAXATION = 0.05
"""Hz; how fast the model returns to its baseline, and the lower edge of a diagnostic ECG."""


@dataclass(frozen=True)
class EcgPatient:
    """Everything that stays the same in one person's recordings.

    Attributes:
        diagnosis: One of `DIAGNOSES`.
        severity: 0 (hardly to be seen) to 1; 0 for 'normal'.
        age: Years.
        sex: 'F' or 'M'.
        heart_rate: Mean, beats/min.
        variability: Standard deviation of RR, s (sinus rhythm); in atrial fibrillation, the coefficient of variation
            of RR.
        lf_hf: Power of the LF peak of RR over that of the HF peak.
        respiration: Breathing rate, Hz.
        ectopy: Probability that a beat is a premature atrial one.
        waves: The beat: P, Q, R, S, T and what the diagnosis adds.
        atrial_rate: Of the f-waves, Hz; 0 without.
        atrial_dipole: Of the f-waves, mV (x, y, z).
        heart: Place of the dipole in the unit sphere.
        electrodes: Nine unit vectors, as placed in this recording.
    """

    diagnosis: str
    severity: float
    age: int
    sex: str
    heart_rate: float
    variability: float
    lf_hf: float
    respiration: float
    ectopy: float
    waves: tuple[Wave, ...]
    atrial_rate: float
    atrial_dipole: Place
    heart: Place
    electrodes: tuple[Place, ...]


def draw_patient(diagnosis: str, rng: np.random.Generator) -> EcgPatient:
    """A person with this diagnosis.

    Raises:
        ValueError: The diagnosis is not in `DIAGNOSES`.
    """
    if diagnosis not in DIAGNOSES:
        raise ValueError(f"unknown diagnosis {diagnosis!r}: one of {', '.join(DIAGNOSES)}")
    fibrillates = diagnosis == "atrial_fibrillation"
    severity = 0.0 if diagnosis == "normal" else float(rng.uniform(0.25, 1.0))
    mean_age = {"normal": 52, "st_elevation": 62, "bundle_branch_block": 66, "atrial_fibrillation": 70}[diagnosis]
    rate = rng.normal(72 + 16 * fibrillates, 11)
    jitter = rng.normal(0, 0.02, 3)
    f_wave = np.array([-0.25, 0.45, -0.8]) * rng.uniform(0.02, 0.03 + 0.06 * severity) + rng.normal(0, 0.005, 3)
    return EcgPatient(
        diagnosis=diagnosis,
        severity=severity,
        age=int(np.clip(rng.normal(mean_age, 13), 18, 95)),
        sex="F" if rng.random() < 0.5 else "M",
        heart_rate=float(np.clip(rate, 48, 130)),
        variability=float(0.1 + 0.18 * severity if fibrillates else np.clip(rng.lognormal(-3.4, 0.5), 0.008, 0.09)),
        lf_hf=float(rng.lognormal(0, 0.4)),
        respiration=float(rng.uniform(0.2, 0.32)),
        ectopy=float(rng.choice([0.0, 0.0, 0.0, 0.08])),
        waves=draw_waves(diagnosis, severity, rng),
        atrial_rate=float(rng.uniform(5, 7.5)) if fibrillates else 0.0,
        atrial_dipole=as_place(f_wave if fibrillates else np.zeros(3)),
        heart=as_place(np.asarray(HEART) + jitter),
        electrodes=_place(rng),
    )


def revisit(patient: EcgPatient, rng: np.random.Generator) -> EcgPatient:
    """The same person in another recording: another heart rate, electrodes placed anew."""
    rate = float(np.clip(patient.heart_rate * rng.lognormal(0, 0.08), 45, 140))
    return replace(patient, heart_rate=rate, electrodes=_place(rng))


def simulate(
    patient: EcgPatient,
    duration: float,
    sampling_rate: float,
    rng: np.random.Generator,
    artefacts: Artefacts = ARTEFACTS,
) -> NDArray[np.float32]:
    """Record a 12-lead ECG.

    The model of McSharry et al. 2003 ("A dynamical model for generating synthetic electrocardiogram signals"), solved
    in closed form: on the limit cycle the phase is known, so each wave's contribution to dz/dt integrates to a
    Gaussian of the time since the beat, and the term -(z - z0) is a first-order high-pass filter. It differs from
    ECGSYN in four ways: z is a dipole of three components; waves keep their width in ms and only repolarisation
    follows RR, as its square root (Bazett), so that a QRS stays a QRS in an irregular rhythm; a wave may rise slower
    than it falls; and the filter is at 0.05 Hz, not 0.16 Hz, because that would bend the ST segment.

    Noise is added at the electrodes, before the leads are formed, so Einthoven's and Goldberger's relations hold in
    what is returned, to the bit:
    III = II - I, aVR = -(I + II) / 2, aVL = I - II / 2, aVF = II - I / 2. Only a chest electrode fails for a
    whole recording.

    The duration is in s, the sampling rate in Hz, and artefacts (noise, drift, line, motion) in mV.

    Returns:
        (12, time) in mV, the leads in the order of `LEADS`.

    Raises:
        ValueError: The recording would hold no sample.
    """
    n = round(duration * sampling_rate)
    if n < 1:
        raise ValueError(f"a recording of {duration} s at {sampling_rate} Hz holds no sample")
    time = np.arange(n) / sampling_rate
    if patient.atrial_rate:
        beats = fibrillating(patient.heart_rate, patient.variability, duration, rng)
    else:
        beats = sinus(
            patient.heart_rate, patient.variability, patient.lf_hf, patient.respiration, patient.ectopy, duration, rng
        )
    heart = _dipole(patient, beats, time) + _f_waves(patient, time, rng)
    field = lead_field(patient.electrodes, [patient.heart])[0]
    potentials = spoil(_relax(field @ heart, sampling_rate), sampling_rate, artefacts, rng)
    wilson = potentials[:3].mean(axis=0)
    chest = fail(potentials[3:] - wilson, sampling_rate, artefacts, rng).astype(np.float32)
    one = (potentials[1] - potentials[0]).astype(np.float32)
    two = (potentials[2] - potentials[0]).astype(np.float32)
    limbs = np.stack([one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2])
    return np.concatenate([limbs, chest])


def _dipole(patient: EcgPatient, beats: Floats, time: Floats) -> Floats:
    """(3, time) in mV. A sample lies within the waves of the beat before it, of the one before that, of the next."""
    delay, rise, fall = (np.array([[getattr(w, key)] for w in patient.waves]) for key in ("delay", "rise", "fall"))
    repolarises = np.array([[w.repolarises] for w in patient.waves])
    moment = np.array([w.dipole for w in patient.waves]).T
    rr = np.clip(np.diff(beats, prepend=2 * beats[0] - beats[1]), 0.45, 1.4)
    latest = np.searchsorted(beats, time, side="right") - 1
    total = np.zeros((3, time.size))
    for step in (-1, 0, 1):
        beat = latest + step
        stretch = np.where(repolarises, np.sqrt(rr[beat]), 1.0)
        since = time - beats[beat] - delay * stretch
        width = np.where(since < 0, rise, fall) * stretch
        breath = 1 + 0.04 * np.sin(2 * np.pi * patient.respiration * beats[beat])
        total += moment @ (np.exp(-0.5 * (since / width) ** 2) * breath)
    return total


def _f_waves(patient: EcgPatient, time: Floats, rng: np.random.Generator) -> Floats:
    """(3, time) in mV: a sawtooth of slowly changing rate and size, each axis with a phase of its own."""
    drift = np.sin(2 * np.pi * rng.uniform(0.1, 0.4) * time + rng.uniform(0, 2 * np.pi))
    pace = patient.atrial_rate * (1 + 0.06 * drift)
    turns = 2 * np.pi * np.cumsum(pace) * (time[1] - time[0] if time.size > 1 else 0.0)
    size = 1 + 0.35 * np.sin(2 * np.pi * rng.uniform(0.15, 0.6) * time + rng.uniform(0, 2 * np.pi))
    lag = rng.uniform(-0.5, 0.5, (3, 1))
    saw = sum(np.sin(k * (turns + lag)) / k**1.5 for k in (1, 2, 3))
    waves: Floats = np.array(patient.atrial_dipole)[:, None] * size * saw
    return waves


def _relax(potentials: Floats, sampling_rate: float) -> Floats:
    from scipy.signal import butter, lfilter, lfilter_zi

    b, a = butter(1, RELAXATION, "highpass", fs=sampling_rate)
    start = lfilter_zi(b, a) * potentials.mean(axis=1, keepdims=True)
    relaxed: Floats = lfilter(b, a, potentials, axis=1, zi=start)[0]
    return relaxed


def _place(rng: np.random.Generator) -> tuple[Place, ...]:
    return tuple(as_place(position) for position in unit(ELECTRODES + rng.normal(0, 0.05, ELECTRODES.shape)))
