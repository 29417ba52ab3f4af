"""Redundant by mutual information: what the values of one piece tell of those of another at the same place."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from medcl.archive.schema import Kind
from medcl.reduce.content import bits
from medcl.reduce.strategy import Measure, Pieces, Range, Signatures, Source, Unit
from medcl.reduce.thumbnails import thumbs

SIDES = {2: 64, 3: 16}
"""Side of what is compared: a slice of 64 x 64, a volume of 16 x 16 x 16."""
LEVELS = 16
"""Grey values that are told apart: 4 bits at most."""
BLOCK = 64
"""Pieces a side that are compared at a time: 16 MB of marked values each."""
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class MutualInformation:
    """Mutual information of 16 grey values, in bits, or as a share of the mean of both entropies (normalised).

    In bits a piece of little content shares little even with its own copy, so that plain slices are kept. Normalised,
    a piece and its copy have 1; two constant pieces too, and a constant piece and another 0.

    Args:
        normalised: from 0 to 1, by 2 I(a, b) / (H(a) + H(b)).
    """

    normalised: bool = False
    kinds: ClassVar[tuple[Kind, ...]] = ("volume", "image")
    dims: ClassVar[tuple[Unit, ...]] = ("slice", "record")
    source: ClassVar[Source] = "array"
    measure: ClassVar[Measure] = "similarity"

    @property
    def name(self) -> str:
        """The name on the command line."""
        return "normalised-mutual-information" if self.normalised else "mutual-information"

    @property
    def thresholds(self) -> Range:
        """Shares, or bits."""
        if self.normalised:
            return Range(0.5, 0, 1, (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1))
        return Range(0.5, 0, float(np.log2(LEVELS)), (0.1, 0.25, 0.4, 0.5, 0.6, 0.75, 1, 1.25, 1.5, 2, 3))

    @property
    def key(self) -> str:
        """What signatures are kept under: one for both measures."""
        return "mutual-information-1"

    def signatures(self, pieces: Pieces) -> Signatures:
        """Return small pieces of 16 grey values, (n, 4096) uint8."""
        return thumbs(pieces, SIDES) // (256 // LEVELS)

    def compare(self, a: Signatures, b: Signatures) -> Floats:
        """Compute the information of each pair, (n, m)."""
        result = np.empty((len(a), len(b)), dtype=np.float32)
        for left in range(0, len(b), BLOCK):
            second = _marked(b[left : left + BLOCK])
            for top in range(0, len(a), BLOCK):
                part = self._block(_marked(a[top : top + BLOCK]), second)
                result[top : top + BLOCK, left : left + BLOCK] = part
        return result

    def _block(self, first: Floats, second: Floats) -> NDArray[np.float64]:
        n, m = len(first) // LEVELS, len(second) // LEVELS
        count = (first @ second.T).reshape(n, LEVELS, m, LEVELS) / first.shape[1]
        joint = bits(count.transpose(0, 2, 1, 3).reshape(n, m, -1))
        one = bits(first.reshape(n, LEVELS, -1).mean(axis=2, dtype=np.float64))[:, None]
        two = bits(second.reshape(m, LEVELS, -1).mean(axis=2, dtype=np.float64))[None]
        shared = np.maximum(one + two - joint, 0)
        if not self.normalised:
            return np.asarray(shared)
        both = one + two
        return np.asarray(np.minimum(np.divide(2 * shared, both, out=np.ones_like(shared), where=both > 0), 1))


def _marked(levels: NDArray[np.uint8]) -> Floats:
    """Mark where each value is, (n, values) -> (16 n, values) of 0 and 1."""
    marks = levels[:, None] == np.arange(LEVELS, dtype=np.uint8)[:, None]
    return np.asarray(marks.reshape(-1, levels.shape[1]), dtype=np.float32)
