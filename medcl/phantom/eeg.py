"""Electroencephalograms of synthetic subjects: rhythms of dipoles in the head, seen by the 10-20 electrodes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medcl.phantom.site import Artefacts, fail, spoil
from medcl.phantom.sphere import Place, as_place, lead_field, unit

Floats = NDArray[np.float64]

GROUPS = ("control", "case")
ARTEFACTS = Artefacts(noise=1.5, wander=4.0, line=1.5, motion=60.0, bad=0.01)
CLEAN = Artefacts()

RING = {"Fp1": 18, "F7": 54, "T7": 90, "P7": 126, "O1": 162, "O2": 198, "P8": 234, "T8": 270, "F8": 306, "Fp2": 342}
"""Degrees from the front towards the left ear, on the circle 72 degrees (80% of the way) down from the vertex."""
CHANNELS = (
    *("Fp1", "Fp2", "F7", "F3", "Fz", "F4", "F8"),
    *("T7", "C3", "Cz", "C4", "T8"),
    *("P7", "P3", "Pz", "P4", "P8", "O1", "O2"),
)

BACKGROUND_SOURCES = 40
STIMULUS = "envelope"
"""Channel of what was heard."""
HEARING: tuple[Place, Place] = ((-0.55, 0.0, 0.25), (0.55, 0.0, 0.25))
"""The two sources that follow it, in the temporal lobes."""
DELAY = 0.15
"""s, from what was heard to the response."""
RESPONSE = 6.0
"""Root mean square of the response, at the electrode that sees it best, uV."""


@dataclass(frozen=True)
class Rhythm:
    """One generator of a rhythm.

    Attributes:
        name: 'delta', 'theta', 'alpha' or 'beta'.
        frequency: Of its spectral peak, Hz.
        bandwidth: Standard deviation of the peak, Hz; its inverse is how long a spindle lasts.
        amplitude: Root mean square at the electrode that sees it best, uV.
        place: In the unit sphere: x to the right ear, y to the nose, z to the vertex. It points outwards.
    """

    name: str
    frequency: float
    bandwidth: float
    amplitude: float
    place: Place


@dataclass(frozen=True)
class EegSubject:
    """Everything that stays the same in one person's recordings.

    Attributes:
        group: One of `GROUPS`.
        severity: 0 for 'control', else up to 1.
        age: Years.
        sex: 'F' or 'M'.
        rhythms: Generators.
        background: Root mean square of the 1/f background at an electrode, uV (about).
        exponent: Of the background's power spectrum, 1/f^exponent.
        sources: Where the background comes from.
        blinks: A minute.
        blink: Size at Fp1 and Fp2, uV (about).
    """

    group: str
    severity: float
    age: int
    sex: str
    rhythms: tuple[Rhythm, ...]
    background: float
    exponent: float
    sources: tuple[Place, ...]
    blinks: float
    blink: float


def electrodes() -> Floats:
    """(19, 3) positions of `CHANNELS` on the unit sphere: x to the right ear, y to the nose, z to the vertex."""
    down, across = np.deg2rad(72), np.deg2rad(36)
    at = {
        name: np.array([-np.sin(down) * np.sin(turn), np.sin(down) * np.cos(turn), np.cos(down)])
        for name, turn in ((name, np.deg2rad(degrees)) for name, degrees in RING.items())
    }
    at["Cz"] = np.array([0.0, 0.0, 1.0])
    for name, (x, y) in {"Fz": (0, 1), "Pz": (0, -1), "C3": (-1, 0), "C4": (1, 0)}.items():
        at[name] = np.array([x * np.sin(across), y * np.sin(across), np.cos(across)])
    for name, middle, side in (("F3", "Fz", "F7"), ("F4", "Fz", "F8"), ("P3", "Pz", "P7"), ("P4", "Pz", "P8")):
        at[name] = unit(at[middle] + at[side])
    return np.stack([at[name] for name in CHANNELS])


def draw_subject(group: str, rng: np.random.Generator) -> EegSubject:
    """A person of this group; cases have a slower and weaker alpha rhythm and more theta, as far as the severity goes.

    Raises:
        ValueError: The group is not in `GROUPS`.
    """
    if group not in GROUPS:
        raise ValueError(f"unknown group {group!r}: one of {', '.join(GROUPS)}")
    severity = float(rng.uniform(0.3, 1.0)) if group == "case" else 0.0
    alpha = float(np.clip(rng.normal(10.2, 0.7), 8.5, 12) - 1.6 * severity)
    alpha_size = rng.lognormal(np.log(14), 0.35) * (1 - 0.5 * severity)
    theta_size = rng.lognormal(np.log(4), 0.3) * (1 + 0.8 * severity)
    sides = rng.lognormal(0, 0.15, 2)
    delta_size, *beta_sizes = rng.lognormal(np.log((4, 1.8, 1.8)), 0.3)
    theta, delta, beta = rng.normal((6.0, 2.0, 20.0), (0.5, 0.3, 2.0))
    generators = (
        ("alpha", alpha, 0.6, alpha_size * sides[0], (-0.25, -0.45, 0.15)),
        ("alpha", alpha, 0.6, alpha_size * sides[1], (0.25, -0.45, 0.15)),
        ("theta", theta, 0.8, theta_size, (0.0, 0.3, 0.5)),
        ("delta", delta, 0.8, delta_size, (0.0, 0.2, 0.3)),
        ("beta", beta, 2.5, beta_sizes[0], (-0.4, 0.15, 0.45)),
        ("beta", beta, 2.5, beta_sizes[1], (0.4, 0.15, 0.45)),
    )
    rhythms = tuple(
        Rhythm(name, float(peak), width, float(size), as_place(np.asarray(place) + rng.normal(0, 0.06, 3)))
        for name, peak, width, size, place in generators
    )
    cortex = unit(rng.normal(0, 1, (BACKGROUND_SOURCES, 3)) + (0, 0, 0.6)) * 0.75
    return EegSubject(
        group=group,
        severity=severity,
        age=int(np.clip(rng.normal(66, 8), 40, 90)),
        sex="F" if rng.random() < 0.5 else "M",
        rhythms=rhythms,
        background=float(rng.lognormal(np.log(7), 0.2)),
        exponent=float(rng.normal(1.3, 0.15)),
        sources=tuple(as_place(source) for source in cortex),
        blinks=float(rng.uniform(4, 20)),
        blink=float(rng.lognormal(np.log(110), 0.25)),
    )


def simulate(
    subject: EegSubject,
    duration: float,
    sampling_rate: float,
    rng: np.random.Generator,
    artefacts: Artefacts = ARTEFACTS,
) -> NDArray[np.float32]:
    """Record an EEG at rest with closed eyes, against the average reference (which failed electrodes do not enter).

    Every generator is narrow-band Gaussian noise, so that it waxes and wanes as spindles do; the two alpha generators
    share most of theirs.

    Args:
        subject: The person.
        duration: s.
        sampling_rate: Hz.
        rng: Random number generator.
        artefacts: Noise, drift, line, motion, failed electrodes, in uV. With `CLEAN` there are no blinks either.

    Returns:
        (19, time) in uV, the channels in the order of `CHANNELS`.

    Raises:
        ValueError: The recording would hold no sample.
    """
    n = round(duration * sampling_rate)
    if n < 1:
        raise ValueError(f"a recording of {duration} s at {sampling_rate} Hz holds no sample")
    positions = electrodes()
    frequency = np.fft.rfftfreq(n, 1 / sampling_rate)

    peaks = [np.exp(-0.25 * ((frequency - r.frequency) / r.bandwidth) ** 2) for r in subject.rhythms]
    courses = np.stack([_noise(peak, n, rng) for peak in peaks])
    alpha = [i for i, rhythm in enumerate(subject.rhythms) if rhythm.name == "alpha"]
    courses[alpha] = 0.9 * courses[alpha[0]] + np.sqrt(1 - 0.9**2) * courses[alpha]
    field = _outward(positions, [rhythm.place for rhythm in subject.rhythms])
    sizes = [rhythm.amplitude for rhythm in subject.rhythms] / np.abs(field).max(axis=0)
    potentials = field * sizes @ courses

    slope = np.maximum(frequency, 0.5) ** (-subject.exponent / 2)
    slope[frequency < 0.3] = 0
    murmur = np.stack([_noise(slope, n, rng) for _ in subject.sources])
    field = _outward(positions, subject.sources)
    potentials += subject.background / np.sqrt(np.mean(np.sum(field**2, axis=1))) * field @ murmur

    if artefacts != CLEAN:
        eyes = lead_field(positions, [(-0.3, 0.85, -0.2), (0.3, 0.85, -0.2)]).sum(axis=0) @ (0.0, 0.5, 0.87)
        scale = subject.blink / eyes[[CHANNELS.index("Fp1"), CHANNELS.index("Fp2")]].mean()
        potentials += scale * np.outer(eyes, _blinks(subject.blinks, n, sampling_rate, rng))
    recorded = fail(spoil(potentials, sampling_rate, artefacts, rng), sampling_rate, artefacts, rng)
    alive = np.any(recorded != 0, axis=1)
    if alive.any():
        recorded[alive] -= recorded[alive].mean(axis=0)
    return recorded.astype(np.float32)


def hear(recorded: Floats, sampling_rate: float, rng: np.random.Generator) -> tuple[NDArray[np.float32], Floats]:
    """Let the subject of a recording hear speech: its envelope, below 8 Hz, and the brain's response to it.

    Args:
        recorded: (19, time) uV; failed electrodes, which are 0 throughout, stay so.
        sampling_rate: Hz.
        rng: Random number generator.

    Returns:
        The recording with the response of `HEARING`, `DELAY` later, uV; and the envelope (time,), of rms 1.
    """
    n = recorded.shape[1]
    frequency = np.fft.rfftfreq(n, 1 / sampling_rate)
    envelope = _noise(np.exp(-0.5 * (frequency / 3) ** 2) * (frequency > 0.3), n, rng)
    late = round(DELAY * sampling_rate)
    response = np.concatenate([np.zeros(min(late, n)), envelope[: max(0, n - late)]])
    field = _outward(electrodes(), HEARING).sum(axis=1)
    alive = np.any(recorded != 0, axis=1)
    field = np.where(alive, field - field[alive].mean() if alive.any() else field, 0)
    size = RESPONSE / max(np.abs(field).max(), 1e-12)
    return (recorded + size * np.outer(field, response)).astype(np.float32), envelope


def _outward(positions: Floats, places: Sequence[Place]) -> Floats:
    """(electrodes, sources): what each sees of a radial dipole at each place."""
    seen: Floats = np.einsum("sej,sj->es", lead_field(positions, places), unit(places))
    return seen


def _noise(amplitude: Floats, n: int, rng: np.random.Generator) -> Floats:
    """(n,) Gaussian noise of this amplitude spectrum and rms 1."""
    spectrum = amplitude * (rng.standard_normal(amplitude.size) + 1j * rng.standard_normal(amplitude.size))
    course = np.fft.irfft(spectrum, n)
    return course / max(float(course.std()), 1e-12)


def _blinks(a_minute: float, n: int, sampling_rate: float, rng: np.random.Generator) -> Floats:
    """(n,) of height about 1: the lid closes within 0.1 s and opens more slowly."""
    time = np.arange(n) / sampling_rate
    course = np.zeros(n)
    for onset in rng.uniform(0, time[-1], rng.poisson(a_minute * n / sampling_rate / 60)):
        since = time - onset
        course += rng.lognormal(0, 0.2) * np.exp(-0.5 * (since / np.where(since < 0, 0.05, 0.09)) ** 2)
    return course
