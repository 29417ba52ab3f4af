import numpy as np
import pytest
from scipy.signal import welch

from medcl.phantom.morphology import REFRACTORY, fibrillating, sinus


@pytest.mark.parametrize("heart_rate", [48, 75, 130])
def test_sinus_rhythm_has_the_rate_and_the_variability_asked_for(heart_rate):
    beats = sinus(heart_rate, 0.03, 1.0, 0.25, 0.0, 600, np.random.default_rng(0))
    rr = np.diff(beats)
    assert 60 / rr.mean() == pytest.approx(heart_rate, rel=0.01)
    assert rr.std() == pytest.approx(0.03, rel=0.2)
    assert beats[0] < 0
    assert beats[-1] > 600


def test_rr_spectrum_has_its_peaks_at_mayer_waves_and_at_breathing():
    beats = sinus(70, 0.04, 1.0, 0.25, 0.0, 1200, np.random.default_rng(1))
    even = np.interp(np.arange(0, 1200, 0.25), beats[1:], np.diff(beats))
    frequency, power = welch(even, 4, nperseg=512)
    inside = power[((frequency > 0.07) & (frequency < 0.13)) | ((frequency > 0.22) & (frequency < 0.28))].sum()
    assert inside > 0.9 * power[frequency > 0.03].sum()
    assert frequency[np.argmax(np.where(frequency < 0.17, power, 0))] == pytest.approx(0.1, abs=0.02)
    assert frequency[np.argmax(np.where(frequency > 0.17, power, 0))] == pytest.approx(0.25, abs=0.02)


def test_a_premature_beat_is_followed_by_a_pause():
    beats = sinus(60, 0.01, 1.0, 0.25, 0.1, 600, np.random.default_rng(2))
    rr = np.diff(beats)
    early = np.flatnonzero(rr[:-1] < 0.8)
    assert early.size > 20
    assert rr[early + 1].min() > 1.2
    assert (np.diff(beats) > REFRACTORY).all()


@pytest.mark.parametrize("heart_rate", [60, 130])
def test_fibrillation_is_irregular_uncorrelated_and_respects_the_refractory_time(heart_rate):
    rr = np.diff(fibrillating(heart_rate, 0.2, 900, np.random.default_rng(3)))
    assert 60 / rr.mean() == pytest.approx(heart_rate, rel=0.03)
    assert rr.std() / rr.mean() == pytest.approx(0.2, rel=0.1)
    assert abs(np.corrcoef(rr[:-1], rr[1:])[0, 1]) < 0.1
    assert rr.min() >= REFRACTORY
