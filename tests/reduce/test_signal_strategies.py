"""Strategies of recordings."""

import numpy as np
import pytest
from numpy.typing import NDArray

from medcl.errors import UnreadableError
from medcl.reduce.hamming import Hash
from medcl.reduce.rules import greedy
from medcl.reduce.signal_strategies import Beats, Correlation
from medcl.reduce.strategy import Strategy

Floats = NDArray[np.float64]


def rhythm(heart: int, beats: int = 12, every: int = 180, start: int = 60, leads: int = 3) -> Floats:
    """An ECG of one heart: (leads, samples); its waves are of the heart, the place of the first beat is not."""
    rng = np.random.default_rng(heart)
    time = np.arange(beats * every)
    phase = (time - start) % every
    waves = [(0, 4, 1.0), (-30, 9, rng.uniform(0.1, 0.3)), (50, rng.uniform(12, 22), rng.uniform(-0.4, 0.5))]
    waves += [(12, 5, rng.uniform(-0.6, 0.1)), (-12, 5, rng.uniform(-0.4, 0.1))]
    signed = np.where(phase > every / 2, phase - every, phase)
    gains = rng.uniform(0.5, 1.5, (leads, len(waves), 1))
    return np.stack(
        [sum(g * h * np.exp(-((signed - c) ** 2) / (2 * w * w)) for g, (c, w, h) in zip(lead, waves, strict=True))
         for lead in gains]
    )  # fmt: skip


def noise(seed: int, leads: int = 3) -> Floats:
    return np.random.default_rng(seed).normal(size=(leads, 2160))


def test_a_shifted_copy_of_another_gain_is_dropped_and_others_are_kept() -> None:
    whole = np.random.default_rng(0).normal(size=(3, 2400)).cumsum(axis=1)
    pieces = [whole[:, :2000], -3 + 5 * whole[:, 100:2100], noise(1), noise(2)]
    strategy = Correlation()
    assert greedy(strategy.signatures(pieces), strategy).keep.tolist() == [True, False, True, True]


def test_constant_recordings_correlate_with_each_other_alone() -> None:
    strategy = Correlation()
    flat = np.zeros((2, 500))
    signatures = strategy.signatures([flat, flat + 3, noise(0)])
    np.testing.assert_array_equal(strategy.compare(signatures[:1], signatures), [[1, 1, 0]])


def test_beats_of_one_heart_are_alike_wherever_they_begin() -> None:
    pieces = [rhythm(0), rhythm(0, start=100), rhythm(3), rhythm(3, start=10, every=181), rhythm(0, beats=5)]
    strategy = Beats()
    found = greedy(strategy.signatures(pieces), strategy)
    assert found.keep.tolist() == [True, False, True, False, False]
    assert found.duplicate_of.tolist() == [0, 0, 2, 2, 0]


@pytest.mark.parametrize("piece", [noise(0), np.zeros((2, 3000)), np.ones((1, 9))], ids=["noise", "flat", "short"])
def test_what_does_not_beat_says_what_to_do(piece: Floats) -> None:
    with pytest.raises(UnreadableError, match="by correlation or hash"):
        Beats().signatures([piece])


@pytest.mark.parametrize("strategy", [Hash(), Correlation(), Beats()], ids=lambda strategy: strategy.name)
def test_recordings_of_any_channels_and_lengths(strategy: Strategy) -> None:
    pieces = [rhythm(0, leads=leads, beats=beats) for leads, beats in ((12, 9), (1, 20), (3, 9), (64, 8))]
    together = strategy.signatures(pieces)
    alone = np.concatenate([strategy.signatures([piece]) for piece in pieces])
    np.testing.assert_array_equal(together, alone)
    gap = pieces[0].copy()
    gap[0, 100] = np.nan
    with pytest.raises(UnreadableError, match="not finite"):
        strategy.signatures([gap])
