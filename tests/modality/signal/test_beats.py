"""MeanBeat of synthetic ECGs."""

from pathlib import Path

import numpy as np
import pytest

from medcl.modality.signal.beats import POINTS, MeanBeat, r_peaks
from medcl.modality.signal.config import SignalConfig
from medcl.phantom.ecg import draw_patient, simulate
from medcl.phantom.morphology import DIAGNOSES, fibrillating, sinus
from tests.data.wfdb_archive import noise
from tests.modality.signal.test_baselines import ROWS, windows_of

REST = 5


def drawn(diagnosis: str, seed: int, seconds: float, rate: float) -> tuple[np.ndarray, np.ndarray]:
    """(12, time) in mV, and the seconds at which its beats are."""
    patient = draw_patient(diagnosis, np.random.default_rng(seed))
    ecg = simulate(patient, seconds, rate, np.random.default_rng([seed, 1]))
    again = np.random.default_rng([seed, 1])
    if patient.atrial_rate:
        beats = fibrillating(patient.heart_rate, patient.variability, seconds, again)
    else:
        beats = sinus(
            patient.heart_rate, patient.variability, patient.lf_hf, patient.respiration, patient.ectopy, seconds, again
        )
    return ecg, beats[(beats > 0) & (beats < seconds)]


@pytest.mark.parametrize("rate", [100, 250, 500])
@pytest.mark.parametrize("diagnosis", DIAGNOSES)
def test_the_heart_rate_of_a_phantom_is_found(tmp_path: Path, diagnosis: str, rate: float) -> None:
    ecgs, beats = zip(*(drawn(diagnosis, seed, 20, rate) for seed in range(3)), strict=True)
    config = SignalConfig(window=2.5, stride=2.5, standardise="record")
    windows = windows_of(tmp_path, *(ecg[:3].T.astype(np.float64) for ecg in ecgs), rate=rate, config=config)
    found = MeanBeat().transform(windows, np.arange(3), {})
    assert found.shape == (3, 3 * POINTS + REST)
    for features, true in zip(found, beats, strict=True):
        mean, _, _, heart_rate, none = features[-REST:]
        assert heart_rate == pytest.approx(60 / np.diff(true).mean(), abs=3)
        assert mean == pytest.approx(60 / heart_rate)
        assert none == 0


def test_a_fast_heart_is_counted_whole() -> None:
    at = np.arange(0.3, 10, 60 / 180)
    time = np.arange(1000) / 100
    lead = sum(np.exp(-0.5 * ((time - beat) / 0.02) ** 2) for beat in at)
    lead = lead + sum(0.3 * np.exp(-0.5 * ((time - beat - 0.2) / 0.04) ** 2) for beat in at)
    found = r_peaks(lead, 100)
    assert len(found) == len(at)
    np.testing.assert_allclose(found / 100, at, atol=0.02)


def test_equal_beats_have_their_own_shape_and_no_variability(tmp_path: Path) -> None:
    time = np.arange(2000) / 100
    beat = sum(np.exp(-0.5 * ((time - 0.5 - second) / 0.03) ** 2) for second in range(20))
    windows = windows_of(tmp_path, np.column_stack([-0.5 * beat, beat, 2 * beat]))
    (features,) = MeanBeat().transform(windows, ROWS, {})
    shape = np.exp(-0.5 * (np.linspace(-0.2, 0.4, POINTS) / 0.03) ** 2)
    leads = features[:-REST].reshape(3, POINTS)
    np.testing.assert_allclose(leads, np.outer([-0.5, 1, 2], shape), atol=0.06)
    np.testing.assert_allclose(features[-REST:], [1, 0, 0, 60, 0], atol=1e-6)


def test_no_beat_is_told_and_stays_finite(tmp_path: Path) -> None:
    windows = windows_of(tmp_path, np.full((500, 3), 0.2))
    (features,) = MeanBeat().transform(windows, ROWS, {})
    assert features.tolist() == [0] * (3 * POINTS + REST - 1) + [1]
    assert len(r_peaks(np.ones(20), 100)) == 0


def test_intervals_do_not_reach_over_what_windows_leave_out(tmp_path: Path) -> None:
    time = np.arange(3000) / 100
    beat = sum(np.exp(-0.5 * ((time - 0.5 - second) / 0.03) ** 2) for second in range(30))
    beat[1000:2000] = np.nan
    windows = windows_of(tmp_path, np.column_stack([beat] * 3))
    pieces = [piece.shape for piece in windows.stretches(windows.samples_of(0), 600)]
    assert pieces == [(3, 500), (3, 500)] * 2
    (features,) = MeanBeat().transform(windows, ROWS, {})
    np.testing.assert_allclose(features[-REST:], [1, 0, 0, 60, 0], atol=1e-6)


def test_overlapping_windows_are_read_once(tmp_path: Path) -> None:
    signal = noise(10)
    windows = windows_of(tmp_path, signal, config=SignalConfig(window=2.5, stride=1.25))
    np.testing.assert_allclose(
        np.concatenate(list(windows.stretches(windows.samples_of(0), 10_000)), axis=1), signal.T, atol=1e-6
    )
