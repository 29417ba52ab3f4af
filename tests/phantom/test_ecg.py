from dataclasses import replace

import numpy as np
import pytest
from scipy.signal import find_peaks

from medcl.phantom.ecg import CLEAN, LEADS, draw_patient, revisit, simulate
from medcl.phantom.morphology import DIAGNOSES
from medcl.phantom.site import Artefacts

RATE = 500.0


def patients(diagnosis, count=8):
    return [draw_patient(diagnosis, np.random.default_rng([number, 7])) for number in range(count)]


def clean(patient, duration=10.0, seed=0):
    return simulate(patient, duration, RATE, np.random.default_rng(seed), CLEAN)


def r_peaks(signal, sampling_rate=RATE):
    """Samples of steepest change over all leads, one a beat."""
    steep = np.abs(np.diff(signal, axis=1)).sum(axis=0)
    return find_peaks(steep, height=0.4 * np.quantile(steep, 0.995), distance=int(0.3 * sampling_rate))[0]


def beat(signal, before=0.3, after=0.5):
    """The median beat, (12, time), aligned at the R peak."""
    peaks = [p for p in r_peaks(signal) if before * RATE < p < signal.shape[1] - after * RATE]
    return np.median([signal[:, p - int(before * RATE) : p + int(after * RATE)] for p in peaks], axis=0)


def qrs_width(signal):
    """s from the first to the last fast change, between the P wave and the middle of the ST segment."""
    speed = np.abs(np.diff(beat(signal), axis=1)).max(axis=0)[int(0.22 * RATE) : int(0.43 * RATE)]
    fast = np.flatnonzero(speed > 0.08 * speed.max())
    return (fast[-1] - fast[0]) / RATE


@pytest.mark.parametrize("diagnosis", DIAGNOSES)
@pytest.mark.parametrize("sampling_rate", [100, 500])
def test_einthoven_and_goldberger_hold_to_the_bit_with_all_the_noise(diagnosis, sampling_rate):
    noisy = Artefacts(noise=0.05, wander=0.2, line=0.05, motion=1.0, bad=0.3)
    patient = draw_patient(diagnosis, np.random.default_rng(1))
    signal = simulate(patient, 10, sampling_rate, np.random.default_rng(2), noisy)
    assert signal.shape == (12, 10 * sampling_rate)
    assert signal.dtype == np.float32
    lead = dict(zip(LEADS, signal, strict=True))
    np.testing.assert_array_equal(lead["III"], lead["II"] - lead["I"])
    np.testing.assert_array_equal(lead["AVR"], -(lead["I"] + lead["II"]) / 2)
    np.testing.assert_array_equal(lead["AVL"], lead["I"] - lead["II"] / 2)
    np.testing.assert_array_equal(lead["AVF"], lead["II"] - lead["I"] / 2)


@pytest.mark.parametrize("heart_rate", [50, 72, 120])
def test_the_heart_beats_as_often_as_asked(heart_rate):
    patient = replace(
        draw_patient("normal", np.random.default_rng(3)), heart_rate=heart_rate, variability=0.01, ectopy=0
    )
    rr = np.diff(r_peaks(clean(patient, duration=60))) / RATE
    assert 60 / rr.mean() == pytest.approx(heart_rate, rel=0.02)


def test_atrial_fibrillation_is_irregular_without_p_but_with_f_waves():
    def irregularity(patient):
        rr = np.diff(r_peaks(clean(patient, duration=60)))
        return rr.std() / rr.mean()

    sinus = [replace(patient, ectopy=0) for patient in patients("normal")]
    ill = patients("atrial_fibrillation")
    assert min(map(irregularity, ill)) > 0.11
    assert np.median([irregularity(p) for p in ill]) > 3 * np.median([irregularity(p) for p in sinus])
    assert not any(wave.name == "P" for patient in ill for wave in patient.waves)
    for patient in ill:
        silent = clean(replace(patient, waves=tuple(replace(w, dipole=(0, 0, 0)) for w in patient.waves)), duration=30)
        v1 = silent[LEADS.index("V1")]
        peak = np.fft.rfftfreq(v1.size, 1 / RATE)[np.argmax(np.abs(np.fft.rfft(v1)))]
        assert peak == pytest.approx(patient.atrial_rate, rel=0.1)
        assert 0.01 < np.ptp(v1) / 2 < 0.4


def test_normal_voltages_and_intervals_are_those_of_people():
    for patient in patients("normal", 12):
        shape = beat(clean(replace(patient, ectopy=0)))
        assert 0.06 < qrs_width(clean(replace(patient, ectopy=0))) < 0.12
        assert 0.3 < np.abs(shape).max() < 4
        v1, v2 = shape[LEADS.index("V1")], shape[LEADS.index("V2")]
        assert -v1.min() > v1.max()
        assert -v2.min() > 0.2
        assert shape[LEADS.index("AVR")].min() < -shape[LEADS.index("AVR")].max()


def test_bundle_branch_block_widens_the_qrs_with_its_severity():
    normal = np.array([qrs_width(clean(replace(patient, ectopy=0))) for patient in patients("normal")])
    blocked = [replace(patient, ectopy=0) for patient in patients("bundle_branch_block", 16)]
    widths = np.array([qrs_width(clean(patient)) for patient in blocked])
    severe = np.array([patient.severity > 0.6 for patient in blocked])
    assert np.median(widths) > 1.25 * np.median(normal)
    assert widths[severe].min() > normal.max()


def test_st_is_elevated_over_some_wall_and_hardly_in_normals():
    def elevation(patient):
        shape = beat(clean(replace(patient, ectopy=0)))
        zero = int(0.3 * RATE)
        before = shape[:, zero - int(0.06 * RATE) : zero - int(0.05 * RATE)].mean(axis=1)
        return (shape[:, zero + int(0.10 * RATE)] - before).max()

    ill = patients("st_elevation", 16)
    levels = np.array([elevation(patient) for patient in ill])
    normal = np.array([elevation(patient) for patient in patients("normal", 16)])
    assert np.median(normal) < 0.1
    assert np.median(levels) > 2 * np.median(normal)
    assert np.corrcoef(levels, [patient.severity for patient in ill])[0, 1] > 0.4


def test_a_person_stays_the_same_between_recordings_and_differs_from_others():
    first, second = patients("normal", 2)
    again = revisit(first, np.random.default_rng(5))
    assert again.waves == first.waves
    assert again.electrodes != first.electrodes
    a, b, c = (beat(clean(replace(p, heart_rate=70, variability=0.01, ectopy=0))) for p in (first, again, second))
    assert np.abs(a - b).mean() < 0.5 * np.abs(a - c).mean()


def test_artefacts_are_as_large_as_said_and_failed_leads_are_flat_or_noise():
    patient = draw_patient("normal", np.random.default_rng(6))
    quiet, rng = clean(patient), np.random.default_rng
    # The same seed draws the same heart beats: what differs is the artefact.
    noise = simulate(patient, 10, RATE, rng(0), Artefacts(noise=0.02)) - quiet
    assert 0.01 < noise[LEADS.index("V3")].std() / np.sqrt(RATE / 100) < 0.08
    hum = simulate(patient, 10, RATE, rng(0), Artefacts(line=0.1)) - quiet
    spectrum = np.abs(np.fft.rfft(hum[LEADS.index("V3")]))
    assert np.fft.rfftfreq(5000, 1 / RATE)[spectrum.argmax()] == pytest.approx(50)
    slow = simulate(patient, 10, 100, rng(0), Artefacts(line=0.1)) - simulate(patient, 10, 100, rng(0), CLEAN)
    assert np.abs(slow).max() < 1e-6
    bad = simulate(patient, 10, RATE, rng(0), Artefacts(motion=0.3, bad=1.0))
    flat = np.ptp(bad, axis=1) == 0
    assert not flat[:6].any()
    assert 0 < flat[6:].sum() < 6


def test_wrong_requests_are_refused():
    with pytest.raises(ValueError, match="st_elevation"):
        draw_patient("flu", np.random.default_rng(0))
    with pytest.raises(ValueError, match="no sample"):
        simulate(draw_patient("normal", np.random.default_rng(0)), 0, 100, np.random.default_rng(0))
