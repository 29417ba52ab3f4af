"""The median beat: one period, wherever the recording begins."""

import numpy as np
import pytest

from medcl.errors import UnreadableError
from medcl.modality.signal.median_beat import median_beat

EVERY = 180


def recording(start: int) -> np.ndarray:
    """A peak of another height in each of two channels, every 180 samples, and noise."""
    time = np.arange(12 * EVERY)
    peak = np.exp(-(((time - start) % EVERY - EVERY / 2) ** 2) / 40)
    return np.outer([1, -0.5], peak) + np.random.default_rng(0).normal(0, 0.01, (2, len(time)))


@pytest.mark.parametrize("start", [0, 60, 100])
def test_the_median_beat_is_one_period(start: int) -> None:
    beat = median_beat(recording(start))
    assert beat.shape == (2, pytest.approx(EVERY, abs=2))
    # Each channel is scaled from 0 to 255 for itself: the peak is the highest of the first, the lowest of the second.
    assert abs(int(beat[0].argmax()) - EVERY // 2) < 12
    assert abs(int(beat[1].argmin()) - EVERY // 2) < 12
    assert beat[0].max() > 230


@pytest.mark.parametrize("piece", [np.zeros((2, 3000)), np.ones((1, 9))], ids=["flat", "short"])
def test_what_does_not_beat_says_what_to_do(piece: np.ndarray) -> None:
    with pytest.raises(UnreadableError, match="by correlation or hash"):
        median_beat(piece)
