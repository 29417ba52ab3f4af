"""Resampling, band-pass and notch: what they keep, what they remove, what they refuse."""

import numpy as np
import pytest

from medcl.errors import UnreadableError, UsageError
from medcl.modality.signal import filters
from medcl.modality.signal.config import SignalConfig

RATE = 200.0


def sine(frequency: float, rate: float = RATE, seconds: float = 20) -> np.ndarray:
    return np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate + 0.3)


def middle(x: np.ndarray) -> np.ndarray:
    return x[..., x.shape[-1] // 4 : 3 * x.shape[-1] // 4]


@pytest.mark.parametrize("wanted", [100.0, 160.0, 250.0, 500.0])
def test_resampling_keeps_a_sine_in_place(wanted: float) -> None:
    resampled = filters.resample(np.stack([sine(7) + 2, sine(3)]), RATE, wanted)
    expected = np.stack([sine(7, wanted) + 2, sine(3, wanted)])
    assert resampled.shape == expected.shape
    assert np.abs(middle(resampled - expected)).max() < 5e-3


def test_resampling_removes_what_the_new_rate_cannot_hold() -> None:
    assert np.abs(middle(filters.resample(sine(80)[None], RATE, 100.0))).max() < 5e-3


def test_rates_without_a_common_measure_are_refused() -> None:
    with pytest.raises(UnreadableError, match=r"ratio is not one of integers"):
        filters.resample(sine(5)[None], RATE, 199.8765)


@pytest.mark.parametrize(
    ("band", "notch", "kept", "removed"),
    [
        ([1.0, 30.0], None, 10, 60),
        ([1.0, 30.0], None, 10, 0.1),
        ([None, 30.0], None, 0.1, 60),
        ([5.0, None], None, 60, 1),
        (None, 50.0, 47, 50),
        (None, 50.0, 53, 50),
    ],
)
def test_filters_keep_and_remove_without_a_shift(
    band: list[float | None] | None, notch: float | None, kept: float, removed: float
) -> None:
    x = np.stack([sine(kept), sine(removed)])
    filtered = filters.band_and_notch(x, RATE, SignalConfig(band=band, notch=notch))
    assert np.abs(middle(filtered[0] - x[0])).max() < 0.02
    assert np.abs(middle(filtered[1])).max() < 0.02


def test_a_recording_shorter_than_its_filter_is_refused() -> None:
    with pytest.raises(UnreadableError, match="too short for its filter: 2 s"):
        filters.band_and_notch(sine(5, seconds=2)[None], RATE, SignalConfig(band=[0.5, 30.0]))
    with pytest.raises(UnreadableError, match="too short"):
        filters.band_and_notch(sine(5, seconds=3)[None], RATE, SignalConfig(notch=50.0))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (SignalConfig(band=[0.5, 100.0]), "data.band: 100 Hz is not between 0 and 100 Hz"),
        (SignalConfig(band=[0.0, 30.0]), "data.band: 0 Hz"),
        (SignalConfig(band=[30.0, 0.5]), "30 Hz is not below 0.5 Hz"),
        (SignalConfig(band=[1.0, 2.0, 3.0]), r"\[low, high\]"),
        (SignalConfig(notch=99.5), "data.notch: 99.5 Hz"),
    ],
)
def test_filters_that_cannot_be_are_refused_at_once(config: SignalConfig, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        filters.check(config, RATE)
