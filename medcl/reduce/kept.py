"""What a selection rule answers: which units of a group are kept, and what stands for each that is not."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medcl.errors import UsageError


@dataclass(frozen=True)
class Kept:
    """A selection from the n units of one group.

    Args:
        keep: (n,) bool.
        duplicate_of: (n,) int64, the unit that is kept in place of each: itself where it is kept, and -1 where a score
            alone dropped it.
        measure: (n,) float32, distance or similarity to that unit, in the unit of the strategy's measure; of a score,
            the score; nan of units kept.
    """

    keep: NDArray[np.bool_]
    duplicate_of: NDArray[np.int64]
    measure: NDArray[np.float32]


def checked_size(size: int, units: int) -> int:
    """Return how many of some units to keep: `size`, or all where there are fewer.

    Raises:
        UsageError: the size keeps nothing.
    """
    if size < 1:
        raise UsageError(f"size {size}: a reduction keeps at least one unit of a group")
    return min(size, units)
