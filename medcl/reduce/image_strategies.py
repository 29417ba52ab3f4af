"""Strategies for grey values: structural similarity, mutual information, entropy; and every n-th place."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medcl.errors import UsageError
from medcl.reduce.resize import small_images, stacks, unflat
from medcl.reduce.strategy import Pieces, Range, Signatures, Strategy

_SSIM_SIDES = {2: 64, 3: 24}
"""Side of what is compared: a slice of 64 x 64, a volume of 24 x 24 x 24."""
WINDOW = 7
C1, C2 = 0.01**2, 0.03**2
"""Wang's constants, for values from 0 to 1."""
_PAIR_VALUES = 1 << 18
"""Values of pairs that are worked on at a time."""
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Ssim(Strategy):
    """Mean structural similarity over all windows of side 7 (uniform weights, population variances)."""

    name = "ssim"
    kinds = ("volume", "image")
    thresholds = Range(0.8, -1, 1, (0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1))

    def signatures(self, pieces: Pieces) -> Signatures:
        """Return small images, (n, 4096) uint8, or volumes, (n, 13824)."""
        return small_images(pieces, _SSIM_SIDES)

    def compare(self, a: Signatures, b: Signatures) -> Floats:
        """Compute the similarity of each pair, (n, m)."""
        first, second = (unflat(each, _SSIM_SIDES).astype(np.float32) / np.float32(255) for each in (a, b))
        result = np.empty((len(a), len(b)), dtype=np.float32)
        if not result.size:
            return result
        (mean1, power1), (mean2, power2) = ((_windows(each), _windows(each * each)) for each in (first, second))
        variance1, variance2 = power1 - mean1 * mean1, power2 - mean2 * mean2
        axes = tuple(range(1, first.ndim))
        many = max(1, _PAIR_VALUES // first[0].size)
        for row in range(len(a)):
            for left in range(0, len(b), many):
                part = slice(left, left + many)
                both = mean1[row] * mean2[part]
                covariance = _windows(first[row] * second[part]) - both
                likeness = (2 * both + C1) * (2 * covariance + C2)
                likeness /= (mean1[row] ** 2 + mean2[part] ** 2 + C1) * (variance1[row] + variance2[part] + C2)
                result[row, part] = likeness.mean(axis=axes)
        return np.clip(result, -1, 1)

    def vectors(self, signatures: Signatures) -> Floats:
        """Return the grey values: nearness in them stands for similarity of structure."""
        return signatures.astype(np.float32)


def _windows(values: Floats) -> Floats:
    """Average over all windows that lie within, (n, side, ...) -> (n, side - 6, ...)."""
    side = values.shape[-1]
    weights = np.zeros((side, side - WINDOW + 1), dtype=np.float32)
    for place in range(weights.shape[1]):
        weights[place : place + WINDOW, place] = 1 / WINDOW
    for axis in range(1, values.ndim):
        values = np.moveaxis(np.moveaxis(values, axis, -1) @ weights, -1, axis)
    return values


_GREY_LEVELS = 256


@dataclass(frozen=True)
class Entropy(Strategy):
    """Entropy of the histogram of 256 grey values, in bits: a score, of each piece alone.

    Of signals, the mean of the channels' entropies.
    """

    name = "entropy"
    kinds = ("volume", "image", "signal")
    measure = "score"
    thresholds = Range(1, 0, 8, (0, 0.25, 0.5, 1, 1.5, 2, 3, 4, 5, 6, 7, 8))

    def signatures(self, pieces: Pieces) -> Signatures:
        """Return the entropies as (n, 1) float32."""
        result = np.empty((len(pieces), 1), dtype=np.float32)
        flat = len(pieces) > 0 and pieces[0].ndim == 2
        for rows, values in stacks(pieces, joined=not flat):
            levels = values.astype(np.int64).reshape(len(rows), values.shape[1] if flat else 1, -1)
            result[rows, 0] = (
                entropies(levels.reshape(-1, levels.shape[-1]), _GREY_LEVELS).reshape(len(rows), -1).mean(1)
            )
        return result

    def compare(self, a: Signatures, b: Signatures) -> NDArray[np.float32]:
        """Refuse: a score compares nothing, a `UsageError`."""
        raise UsageError("entropy is a score of each piece alone: it finds no duplicates; choose another strategy")


def entropies(levels: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    """Compute the entropy of each row of (n, values) whole numbers below `count`, in bits."""
    places = levels + count * np.arange(len(levels))[:, None]
    histogram = np.bincount(places.ravel(), minlength=count * len(levels)).reshape(-1, count)
    return bits(histogram / levels.shape[1])


def bits(p: NDArray[np.floating]) -> NDArray[np.float64]:
    """Compute the entropy of distributions along the last axis, in bits."""
    logs = np.log2(p, out=np.zeros(p.shape, dtype=np.float64), where=p > 0)
    return np.asarray(np.maximum(-(p * logs).sum(axis=-1), 0))


@dataclass(frozen=True)
class EveryN(Strategy):
    """Distance of places, counted from 1: two units within a run of n are duplicates, so greedy keeps every n-th."""

    name = "every-n"
    kinds = ("volume", "image", "signal", "report")
    source = "number"
    measure = "distance"
    thresholds = Range(2, 1, 10_000, (1, 2, 3, 4, 5, 6, 8, 10, 12, 16))

    def signatures(self, pieces: Pieces) -> Signatures:
        """Return the places as (n, 1)."""
        return np.asarray(pieces, dtype=np.int64).reshape(-1, 1)

    def compare(self, a: Signatures, b: Signatures) -> NDArray[np.float32]:
        """Count the units from one to the other, both included."""
        return np.asarray(np.abs(a - b.T) + 1, dtype=np.float32)

    def vectors(self, signatures: Signatures) -> NDArray[np.float32]:
        """Return the places."""
        return np.asarray(signatures, dtype=np.float32)


_INFORMATION_SIDES = {2: 64, 3: 16}
"""Side of what is compared: a slice of 64 x 64, a volume of 16 x 16 x 16."""
_INFORMATION_LEVELS = 16
"""Number of grey values that are distinguished: 4 bits at most."""
_INFORMATION_BLOCK = 64
"""Pieces a side that are compared at a time: 16 MB of marked values each."""


@dataclass(frozen=True)
class MutualInformation(Strategy):
    """Mutual information of 16 grey values, in bits, or as a share of the mean of both entropies (normalised).

    In bits a piece of little content shares little even with its own copy, so that plain slices are kept. Normalised,
    a piece and its copy have 1; two constant pieces too, and a constant piece and another 0.

    Args:
        normalised: from 0 to 1, by 2 I(a, b) / (H(a) + H(b)).
    """

    normalised: bool = False
    kinds = ("volume", "image")

    @property
    def name(self) -> str:
        """The name on the command line."""
        return "normalised-mutual-information" if self.normalised else "mutual-information"

    @property
    def thresholds(self) -> Range:
        """Shares, or bits."""
        if self.normalised:
            return Range(0.5, 0, 1, (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1))
        return Range(0.5, 0, float(np.log2(_INFORMATION_LEVELS)), (0.1, 0.25, 0.4, 0.5, 0.6, 0.75, 1, 1.25, 1.5, 2, 3))

    @property
    def key(self) -> str:
        """What signatures are kept under: one for both measures."""
        return "mutual-information-1"

    def signatures(self, pieces: Pieces) -> Signatures:
        """Return small pieces of 16 grey values, (n, 4096) uint8."""
        return small_images(pieces, _INFORMATION_SIDES) // (256 // _INFORMATION_LEVELS)

    def compare(self, a: Signatures, b: Signatures) -> Floats:
        """Compute the information of each pair, (n, m)."""
        result = np.empty((len(a), len(b)), dtype=np.float32)
        for left in range(0, len(b), _INFORMATION_BLOCK):
            second = _marked(b[left : left + _INFORMATION_BLOCK])
            for top in range(0, len(a), _INFORMATION_BLOCK):
                part = self._block(_marked(a[top : top + _INFORMATION_BLOCK]), second)
                result[top : top + _INFORMATION_BLOCK, left : left + _INFORMATION_BLOCK] = part
        return result

    def _block(self, first: Floats, second: Floats) -> NDArray[np.float64]:
        n, m = len(first) // _INFORMATION_LEVELS, len(second) // _INFORMATION_LEVELS
        count = (first @ second.T).reshape(n, _INFORMATION_LEVELS, m, _INFORMATION_LEVELS) / first.shape[1]
        joint = bits(count.transpose(0, 2, 1, 3).reshape(n, m, -1))
        one = bits(first.reshape(n, _INFORMATION_LEVELS, -1).mean(axis=2, dtype=np.float64))[:, None]
        two = bits(second.reshape(m, _INFORMATION_LEVELS, -1).mean(axis=2, dtype=np.float64))[None]
        shared = np.maximum(one + two - joint, 0)
        if not self.normalised:
            return np.asarray(shared)
        both = one + two
        return np.asarray(np.minimum(np.divide(2 * shared, both, out=np.ones_like(shared), where=both > 0), 1))


def _marked(levels: NDArray[np.uint8]) -> Floats:
    """Mark where each value is, (n, values) -> (16 n, values) of 0 and 1."""
    marks = levels[:, None] == np.arange(_INFORMATION_LEVELS, dtype=np.uint8)[:, None]
    return np.asarray(marks.reshape(-1, levels.shape[1]), dtype=np.float32)
