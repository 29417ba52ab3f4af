"""Flags of seconds."""

import numpy as np

from medcl.modality.signal.filters import CLIPPED, CLIPPED_SAMPLES, FLAT, NAN, flags


def signal(seconds: float, rate: float = 100) -> np.ndarray:
    return np.random.default_rng(0).normal(size=int(seconds * rate))


def test_each_kind_is_flagged_in_its_second() -> None:
    x = signal(6.5)
    x[130] = np.nan
    x[200:300] = 0.5
    x[420 : 420 + CLIPPED_SAMPLES] = 9
    x[620 : 620 + CLIPPED_SAMPLES] = -9
    assert flags(x, 100).tolist() == [0, NAN, FLAT, 0, CLIPPED, 0, CLIPPED]


def test_short_plateaus_and_peaks_are_not_flagged() -> None:
    x = signal(3)
    x[10 : 10 + CLIPPED_SAMPLES - 1] = 9
    x[60:159] = 0.5
    assert flags(x, 100).tolist() == [0, 0, 0]


def test_a_channel_without_any_change_is_flat_and_not_clipped() -> None:
    assert flags(np.full(301, 0.3), 100).tolist() == [FLAT, FLAT, FLAT, 0]


def test_a_whole_second_of_gaps_is_a_gap_only() -> None:
    x = signal(3)
    x[100:200] = np.nan
    assert flags(x, 100).tolist() == [0, NAN, 0]


def test_seconds_keep_their_time_at_rates_that_are_not_whole() -> None:
    x = signal(1000, 100.5)
    x[int(900.5 * 100.5)] = np.nan
    assert np.flatnonzero(flags(x, 100.5)).tolist() == [900]
    assert len(flags(x, 100.5)) == 1000
