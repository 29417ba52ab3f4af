"""Selection of a number of units by k-centre, greedily: always the one that is farthest from all that are kept."""

import numpy as np

from medcl.errors import UsageError
from medcl.reduce.kept import Kept, checked_size
from medcl.reduce.strategy import Signatures, Strategy


def k_centre(signatures: Signatures, strategy: Strategy, size: int) -> Kept:
    """Keep the first unit, then the farthest from it, then the farthest from both, and so on.

    At most twice as far from every unit is a kept one as with the best choice of as many (Gonzalez, 1985). Of units as
    far, the earlier is kept. Time grows with n times size.

    Args:
        signatures: (n, width) of one group, in the order that counts.
        strategy: what they are compared by.
        size: units to keep; all where there are fewer.

    Returns:
        The selection; what is dropped stands for the nearest unit that is kept.

    Raises:
        UsageError: the size is below 1, or the strategy's measure is a score.
    """
    n = len(signatures)
    size = checked_size(size, n)
    if strategy.measure == "score":
        raise UsageError(f"{strategy.name} is a score: it tells no distance; k-centre takes strategies that compare")
    sign = 1 if strategy.measure == "distance" else -1
    nearest, duplicate_of = np.full(n, np.inf), np.arange(n)
    keep = np.zeros(n, dtype=bool)
    for step in range(size):
        centre = int(np.argmax(np.where(keep, -np.inf, nearest))) if step else 0
        keep[centre] = True
        distance = sign * strategy.compare(signatures[centre : centre + 1], signatures)[0].astype(np.float64)
        nearer = distance < nearest
        nearest[nearer], duplicate_of[nearer] = distance[nearer], centre
    duplicate_of[keep] = np.flatnonzero(keep)
    measure = np.where(keep, np.nan, sign * nearest).astype(np.float32)
    return Kept(keep, duplicate_of, measure)
