"""Similarities of pairs beside loops over windows, histograms and shifts."""

import numpy as np
import pytest
from numpy.typing import NDArray

from medcl.stats.similarity import entropies, mutual_information, shifted_correlation, structural_similarity

Floats = NDArray[np.float64]


def slow_ssim(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    values = []
    for row in range(a.shape[0] - 6):
        for column in range(a.shape[1] - 6):
            x, y = (each[row : row + 7, column : column + 7].ravel() for each in (a, b))
            covariance = np.mean((x - x.mean()) * (y - y.mean()))
            top = (2 * x.mean() * y.mean() + 1e-4) * (2 * covariance + 9e-4)
            values.append(top / ((x.mean() ** 2 + y.mean() ** 2 + 1e-4) * (x.var() + y.var() + 9e-4)))
    return float(np.mean(values))


def slow_information(a: NDArray[np.uint8], b: NDArray[np.uint8], normalised: bool) -> float:
    joint = np.histogram2d(a, b, bins=16, range=[[0, 16], [0, 16]])[0] / len(a)
    one, two = joint.sum(axis=1), joint.sum(axis=0)
    shared = sum(
        joint[x, y] * np.log2(joint[x, y] / (one[x] * two[y])) for x in range(16) for y in range(16) if joint[x, y]
    )
    each = [-sum(p * np.log2(p) for p in side if p) for side in (one, two)]
    return float(2 * shared / sum(each) if normalised else shared)


def slow_correlation(a: Floats, b: Floats, furthest: int) -> float:
    """The best of all shifts, by Pearson's sums over the time that both cover."""
    best = -1.0
    samples = a.shape[1]
    for shift in range(-furthest, furthest + 1):
        x = a[:, max(0, -shift) : samples - max(0, shift)]
        y = b[:, max(0, shift) : samples - max(0, -shift)]
        best = max(best, float((x * y).sum() / np.sqrt((x * x).sum() * (y * y).sum())))
    return best


@pytest.mark.parametrize("rows", [12, 40])
def test_ssim_is_that_of_a_loop_over_windows(rows: int) -> None:
    values = np.random.default_rng(0).random((4, rows, rows)).cumsum(axis=1) / rows
    found = structural_similarity(values[:2].astype(np.float32), values.astype(np.float32))
    np.testing.assert_allclose(found, [[slow_ssim(a, b) for b in values] for a in values[:2]], atol=1e-4)
    assert found[0, 0] == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("normalised", [False, True])
def test_mutual_information_is_that_of_a_joint_histogram(normalised: bool) -> None:
    rng = np.random.default_rng(0)
    levels = (rng.integers(0, 16, (70, 300)) // rng.integers(1, 4, (70, 1))).astype(np.uint8)
    found = mutual_information(levels[:66], levels, 16, normalised=normalised)
    chosen = [(0, 0), (0, 1), (3, 69), (65, 2), (64, 64)]
    expected = [slow_information(levels[a], levels[b], normalised) for a, b in chosen]
    np.testing.assert_allclose([found[pair] for pair in chosen], expected, atol=1e-5)


def test_entropy_is_that_of_the_histogram() -> None:
    two, eight = np.arange(16) % 2, np.arange(16) % 8
    np.testing.assert_allclose(
        entropies(np.stack([two, eight, np.zeros(16, dtype=np.int64)]), 8), [1, 3, 0], atol=1e-12
    )


def test_correlation_is_that_of_a_loop_over_shifts() -> None:
    values = np.random.default_rng(0).normal(size=(5, 3, 64)).cumsum(axis=2)
    values[3], values[4, 1:] = np.roll(values[0], 5, axis=1), 0
    values -= values.mean(axis=2, keepdims=True)
    values /= np.maximum(values.std(axis=2, keepdims=True), 1e-6)
    found = shifted_correlation(values.astype(np.float32), values.astype(np.float32), 8)
    np.testing.assert_allclose(found, [[slow_correlation(a, b, 8) for b in values] for a in values], atol=1e-4)
