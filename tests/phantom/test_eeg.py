from dataclasses import replace

import numpy as np
import pytest
from scipy.signal import welch

from medcl.phantom.eeg import ARTEFACTS, CHANNELS, CLEAN, DELAY, draw_subject, electrodes, hear, simulate
from medcl.phantom.site import Artefacts

RATE = 128.0
OCCIPITAL = [CHANNELS.index("O1"), CHANNELS.index("O2")]


def subjects(group, count=12):
    return [draw_subject(group, np.random.default_rng([number, 9])) for number in range(count)]


def spectrum(subject, artefacts=CLEAN, seed=0):
    signal = simulate(subject, 60, RATE, np.random.default_rng(seed), artefacts)
    return welch(signal, RATE, nperseg=512)


def alpha_peak(subject):
    """Frequency in Hz and power of the largest occipital peak between 5 and 14 Hz."""
    frequency, power = spectrum(subject)
    inside = (frequency >= 5) & (frequency <= 14)
    mean = power[OCCIPITAL].mean(axis=0)[inside]
    return frequency[inside][mean.argmax()], mean.max()


def test_electrodes_sit_where_the_10_20_system_puts_them():
    at = dict(zip(CHANNELS, electrodes(), strict=True))
    np.testing.assert_allclose(np.linalg.norm(list(at.values()), axis=1), 1)
    assert at["Cz"] == pytest.approx([0, 0, 1])
    for left, right in (
        ("Fp1", "Fp2"),
        ("F7", "F8"),
        ("F3", "F4"),
        ("C3", "C4"),
        ("T7", "T8"),
        ("P3", "P4"),
        ("O1", "O2"),
    ):
        assert at[left] == pytest.approx(at[right] * (-1, 1, 1))
        assert at[left][0] < 0
    assert at["Fp1"][1] > at["F3"][1] > 0 > at["P3"][1] > at["O1"][1]


def test_alpha_is_occipital_and_where_the_subject_has_it():
    for subject in subjects("control", 6):
        wanted = next(rhythm.frequency for rhythm in subject.rhythms if rhythm.name == "alpha")
        assert alpha_peak(subject)[0] == pytest.approx(wanted, abs=0.75)
        frequency, power = spectrum(subject)
        alpha = power[:, (frequency > wanted - 1) & (frequency < wanted + 1)].sum(axis=1)
        assert alpha[OCCIPITAL].mean() > 2 * alpha[[CHANNELS.index("F7"), CHANNELS.index("F8")]].mean()


def test_cases_have_a_slower_and_weaker_alpha():
    control, case = (np.array([alpha_peak(s) for s in subjects(group, 24)]) for group in ("control", "case"))
    assert 0.5 < control[:, 0].mean() - case[:, 0].mean() < 2
    assert np.median(case[:, 1]) < 0.8 * np.median(control[:, 1])


def test_background_falls_with_frequency_as_asked():
    subject = draw_subject("control", np.random.default_rng(3))
    subject = replace(subject, rhythms=tuple(replace(r, amplitude=0.0) for r in subject.rhythms), exponent=1.5)
    frequency, power = spectrum(subject)
    band = (frequency > 2) & (frequency < 40)
    slope = np.polyfit(np.log(frequency[band]), np.log(power.mean(axis=0)[band]), 1)[0]
    assert slope == pytest.approx(-1.5, abs=0.2)


def test_voltages_are_those_of_people_against_the_average_reference():
    for subject in subjects("control", 4):
        signal = simulate(subject, 20, RATE, np.random.default_rng(0), CLEAN)
        assert signal.shape == (19, 2560)
        assert signal.dtype == np.float32
        assert 3 < signal.std() < 40
        np.testing.assert_allclose(signal.mean(axis=0), 0, atol=1e-4)


def test_blinks_are_frontal_and_line_noise_is_at_50_hz():
    subject = replace(draw_subject("control", np.random.default_rng(4)), blinks=20.0, blink=120.0)
    signal = simulate(subject, 60, RATE, np.random.default_rng(1), Artefacts(noise=0.1))
    quantile = np.quantile(signal, 0.999, axis=1)
    assert quantile[:2].min() > 60
    assert quantile[2:].max() < 0.7 * quantile[:2].min()
    frequency, power = spectrum(subject, replace(ARTEFACTS, bad=0.0, line=3.0))
    assert frequency[frequency > 30][power.mean(axis=0)[frequency > 30].argmax()] == pytest.approx(50, abs=0.3)


def test_failed_channels_are_flat_or_loose_and_do_not_reach_the_reference():
    subject = draw_subject("control", np.random.default_rng(5))
    signal = simulate(subject, 10, RATE, np.random.default_rng(2), replace(ARTEFACTS, bad=0.5))
    flat = np.ptp(signal, axis=1) == 0
    assert 0 < flat.sum() < 19
    assert (signal[flat] == 0).all()
    np.testing.assert_allclose(signal[~flat].mean(axis=0), 0, atol=1e-3)


def test_wrong_requests_are_refused():
    with pytest.raises(ValueError, match="control, case"):
        draw_subject("placebo", np.random.default_rng(0))
    with pytest.raises(ValueError, match="no sample"):
        simulate(draw_subject("case", np.random.default_rng(0)), 0, 128, np.random.default_rng(0))


def test_what_is_heard_is_seen_at_the_sides_of_the_head_after_a_delay():
    subject = subjects("control", 1)[0]
    quiet = simulate(subject, 60, RATE, np.random.default_rng(0), CLEAN).astype(float)
    recorded, envelope = hear(quiet, RATE, np.random.default_rng(1))
    late = round(DELAY * RATE)
    temporal = recorded[[CHANNELS.index("T7"), CHANNELS.index("T8")]].mean(axis=0)
    at_once, delayed = (
        np.corrcoef(temporal[late:], envelope[late - shift : len(envelope) - shift])[0, 1] for shift in (0, late)
    )
    assert abs(delayed) > 0.3
    assert abs(at_once) < abs(delayed) / 2
    silent = np.zeros_like(quiet)
    silent[0] = quiet[0]
    assert not hear(silent, RATE, np.random.default_rng(1))[0][1:].any()
