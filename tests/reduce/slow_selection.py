"""Selection as one would write it: a loop over units, and one over those before."""

import numpy as np

from medcl.reduce.strategy import Signatures, Strategy


def slow_greedy(signatures: Signatures, strategy: Strategy, threshold: float) -> tuple[list[int], list[int]]:
    """Units kept, and what stands for each unit."""
    remaining = list(range(len(signatures)))
    kept, stands = [], list(range(len(signatures)))
    while remaining:
        first = remaining[0]
        kept.append(first)
        left = []
        for unit in remaining[1:]:
            measure = strategy.compare(signatures[first : first + 1], signatures[unit : unit + 1])[0, 0]
            near = measure <= threshold if strategy.measure == "distance" else measure >= threshold
            if near:
                stands[unit] = first
            else:
                left.append(unit)
        remaining = left
    return kept, stands


def hamming(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Distances by counting the ones of each difference's digits."""
    return np.array([[(int(x) ^ int(y)).bit_count() for y in b] for x in a])
