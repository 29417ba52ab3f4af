"""What all strategies by embedding have in common: unit vectors, compared by their cosine."""

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from medcl.reduce import cosine
from medcl.reduce.strategy import Measure, Pairs, Range, Signatures, Source


class ByCosine:
    """Cosine similarity of embeddings; signatures are their directions, (n, width) float32 of length 1."""

    name: ClassVar[str] = "embedding"
    source: ClassVar[Source] = "array"
    measure: ClassVar[Measure] = "similarity"
    thresholds: ClassVar[Range] = Range(0.95, -1, 1, (0.5, 0.7, 0.8, 0.85, 0.9, 0.925, 0.95, 0.97, 0.98, 0.99, 0.999))

    def compare(self, a: Signatures, b: Signatures) -> NDArray[np.float32]:
        """Compute the cosine of each pair, (n, m)."""
        return cosine.cosines(a, b)

    def search(self, a: Signatures, b: Signatures, threshold: float) -> Iterator[Pairs]:
        """Find all pairs at or above the threshold, exactly, in blocks of bounded memory."""
        return cosine.search(a, b, threshold)

    def vectors(self, signatures: Signatures) -> NDArray[np.float32]:
        """Unit vectors: their Euclidean distance orders pairs as the cosine does."""
        return np.asarray(signatures, dtype=np.float32)
