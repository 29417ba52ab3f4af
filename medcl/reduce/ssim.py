"""Redundant by structural similarity: Wang et al., 'Image quality assessment' (2004), over windows."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from medcl.archive.schema import Kind
from medcl.reduce.strategy import Measure, Pieces, Range, Signatures, Source, Unit
from medcl.reduce.thumbnails import thumbs, unflat

SIDES = {2: 64, 3: 24}
"""Side of what is compared: a slice of 64 x 64, a volume of 24 x 24 x 24."""
WINDOW = 7
C1, C2 = 0.01**2, 0.03**2
"""Wang's constants, for values from 0 to 1."""
BLOCK = 1 << 18
"""Values of pairs that are worked on at a time."""
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Ssim:
    """Mean structural similarity over all windows of side 7 (uniform weights, population variances)."""

    name: ClassVar[str] = "ssim"
    kinds: ClassVar[tuple[Kind, ...]] = ("volume", "image")
    dims: ClassVar[tuple[Unit, ...]] = ("slice", "record")
    source: ClassVar[Source] = "array"
    measure: ClassVar[Measure] = "similarity"
    thresholds: ClassVar[Range] = Range(0.8, -1, 1, (0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1))
    key: ClassVar[str] = "ssim-1"

    def signatures(self, pieces: Pieces) -> Signatures:
        """Return small pictures, (n, 4096) uint8, or volumes, (n, 13824)."""
        return thumbs(pieces, SIDES)

    def compare(self, a: Signatures, b: Signatures) -> Floats:
        """Compute the similarity of each pair, (n, m)."""
        first, second = (unflat(each, SIDES).astype(np.float32) / np.float32(255) for each in (a, b))
        result = np.empty((len(a), len(b)), dtype=np.float32)
        if not result.size:
            return result
        (mean1, power1), (mean2, power2) = ((_windows(each), _windows(each * each)) for each in (first, second))
        variance1, variance2 = power1 - mean1 * mean1, power2 - mean2 * mean2
        axes = tuple(range(1, first.ndim))
        many = max(1, BLOCK // first[0].size)
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
