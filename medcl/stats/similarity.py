"""How alike the pairs of two sets are: structural similarity, mutual information, correlation at the best shift."""

import numpy as np
from numpy.typing import NDArray
from scipy import fft

Floats = NDArray[np.float32]
WINDOW = 7
C1, C2 = 0.01**2, 0.03**2
"""Wang's constants, for values from 0 to 1."""
_PAIR_VALUES = 1 << 18
"""Values of pairs that are worked on at a time."""
_INFORMATION_BLOCK = 64
"""Pieces a side whose information is computed at a time: of 16 levels 16 MB of marked values each."""
_SIGNAL_BLOCK = 32
"""Signals a side that are correlated at a time."""


def structural_similarity(a: Floats, b: Floats) -> Floats:
    """Mean structural similarity over all windows of side 7 (uniform weights, population variances).

    Args:
        a: (n, side, ...) values from 0 to 1, of two or three dimensions.
        b: (m, side, ...).

    Returns:
        (n, m).
    """
    result = np.empty((len(a), len(b)), dtype=np.float32)
    if not result.size:
        return result
    (mean1, power1), (mean2, power2) = ((_windows(each), _windows(each * each)) for each in (a, b))
    variance1, variance2 = power1 - mean1 * mean1, power2 - mean2 * mean2
    axes = tuple(range(1, a.ndim))
    many = max(1, _PAIR_VALUES // a[0].size)
    for row in range(len(a)):
        for left in range(0, len(b), many):
            part = slice(left, left + many)
            both = mean1[row] * mean2[part]
            covariance = _windows(a[row] * b[part]) - both
            likeness = (2 * both + C1) * (2 * covariance + C2)
            likeness /= (mean1[row] ** 2 + mean2[part] ** 2 + C1) * (variance1[row] + variance2[part] + C2)
            result[row, part] = likeness.mean(axis=axes)
    return np.clip(result, -1, 1)


def _windows(values: Floats) -> Floats:
    """Average over all windows that lie within, (n, side, ...) -> (n, side - 6, ...)."""
    side = values.shape[-1]
    weights = np.zeros((side, side - WINDOW + 1), dtype=np.float32)
    for place in range(weights.shape[1]):
        weights[place : place + WINDOW, place] = 1 / WINDOW
    for axis in range(1, values.ndim):
        values = np.moveaxis(np.moveaxis(values, axis, -1) @ weights, -1, axis)
    return values


def entropies(levels: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    """Entropy of each row of (n, values) whole numbers below `count`, in bits."""
    places = levels + count * np.arange(len(levels))[:, None]
    histogram = np.bincount(places.ravel(), minlength=count * len(levels)).reshape(-1, count)
    return _bits(histogram / levels.shape[1])


def _bits(p: NDArray[np.floating]) -> NDArray[np.float64]:
    """Entropy of distributions along the last axis, in bits."""
    logs = np.log2(p, out=np.zeros(p.shape, dtype=np.float64), where=p > 0)
    return np.asarray(np.maximum(-(p * logs).sum(axis=-1), 0))


def mutual_information(a: NDArray[np.uint8], b: NDArray[np.uint8], count: int, *, normalised: bool = False) -> Floats:
    """Mutual information in bits, or as a share of the mean of both entropies, 2 I(a, b) / (H(a) + H(b)).

    As a share, two constant pieces have 1.

    Args:
        a: (n, values) whole numbers below `count`.
        b: (m, values).
        count: of levels.
        normalised: as a share.

    Returns:
        (n, m).
    """
    result = np.empty((len(a), len(b)), dtype=np.float32)
    step = _INFORMATION_BLOCK
    for left in range(0, len(b), step):
        second = _marked(b[left : left + step], count)
        for top in range(0, len(a), step):
            part = _information(_marked(a[top : top + step], count), second, count, normalised)
            result[top : top + step, left : left + step] = part
    return result


def _information(first: Floats, second: Floats, count: int, normalised: bool) -> NDArray[np.float64]:
    n, m = len(first) // count, len(second) // count
    together = (first @ second.T).reshape(n, count, m, count) / first.shape[1]
    joint = _bits(together.transpose(0, 2, 1, 3).reshape(n, m, -1))
    one = _bits(first.reshape(n, count, -1).mean(axis=2, dtype=np.float64))[:, None]
    two = _bits(second.reshape(m, count, -1).mean(axis=2, dtype=np.float64))[None]
    shared = np.maximum(one + two - joint, 0)
    if not normalised:
        return np.asarray(shared)
    both = one + two
    return np.asarray(np.minimum(np.divide(2 * shared, both, out=np.ones_like(shared), where=both > 0), 1))


def _marked(levels: NDArray[np.uint8], count: int) -> Floats:
    """Mark where each value is, (n, values) -> (count n, values) of 0 and 1."""
    marks = levels[:, None] == np.arange(count, dtype=np.uint8)[:, None]
    return np.asarray(marks.reshape(-1, levels.shape[1]), dtype=np.float32)


def shifted_correlation(a: Floats, b: Floats, furthest: int) -> Floats:
    """Pearson's correlation of the time that both signals cover, all channels as one, at the best shift.

    Args:
        a: (n, channels, samples), each channel of mean 0 and variance 1, or constant at 0.
        b: (m, channels, samples).
        furthest: shift, either way, in samples.

    Returns:
        (n, m); 1 of two that are constant, 0 of one that is.
    """
    result = np.empty((len(a), len(b)), dtype=np.float32)
    for left in range(0, len(b), _SIGNAL_BLOCK):
        second = _Spectra(b[left : left + _SIGNAL_BLOCK], furthest)
        for top in range(0, len(a), _SIGNAL_BLOCK):
            part = _correlations(_Spectra(a[top : top + _SIGNAL_BLOCK], furthest), second)
            result[top : top + _SIGNAL_BLOCK, left : left + _SIGNAL_BLOCK] = part
    return result


class _Spectra:
    """The spectra of signals, and the energy of what remains of each at each shift."""

    def __init__(self, values: Floats, furthest: int) -> None:
        self.samples, self.shifts = values.shape[2], np.arange(furthest + 1)
        self.spectra = fft.rfft(values, 2 * self.samples, axis=2)
        until = np.cumsum((values * values).sum(axis=1, dtype=np.float64), axis=1)
        self.total = until[:, -1]
        self.first = until[:, self.samples - 1 - self.shifts]  # (n, shifts) energy without the last samples
        cut = np.concatenate([np.zeros((len(values), 1)), until[:, :furthest]], axis=1)
        self.last = self.total[:, None] - cut  # without the first


def _correlations(a: _Spectra, b: _Spectra) -> NDArray[np.float64]:
    cross = fft.irfft(np.einsum("ncf,mcf->nmf", a.spectra.conj(), b.spectra), 2 * a.samples, axis=2)
    later, sooner = cross[:, :, a.shifts], cross[:, :, -a.shifts]
    energy_later = np.sqrt(a.first[:, None] * b.last[None])
    energy_sooner = np.sqrt(a.last[:, None] * b.first[None])
    at_shifts = [
        np.divide(product, energy, out=np.zeros(product.shape, dtype=np.float64), where=energy > 1e-6)
        for product, energy in ((later, energy_later), (sooner, energy_sooner))
    ]
    best = np.concatenate(at_shifts, axis=2).max(axis=2)
    constant = (a.total == 0)[:, None] & (b.total == 0)[None]
    return np.clip(np.where(constant, 1, best), -1, 1)
