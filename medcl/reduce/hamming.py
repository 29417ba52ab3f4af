"""Redundant by hash: Hamming distance of hashes of 64 bits."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medcl.modality.image_hashes import Method, channel_hashes, hashes
from medcl.modality.small_images import stacks
from medcl.reduce.strategy import DuplicatePairs, Pieces, Range, Signatures, Strategy
from medcl.stats.hamming import BITS, distances, search, words


class ByHamming(Strategy):
    """What strategies of 64 bits share: their signatures, (n, 8) bytes, are compared by the bits that differ."""

    def compare(self, a: Signatures, b: Signatures) -> NDArray[np.float32]:
        """Count the bits that differ, (n, m)."""
        return distances(words(a), words(b))

    def search(self, a: Signatures, b: Signatures, threshold: float) -> Iterator[DuplicatePairs]:
        """Find all pairs within the threshold, exactly."""
        return (DuplicatePairs(*pairs) for pairs in search(words(a), words(b), int(threshold)))

    def vectors(self, signatures: Signatures) -> NDArray[np.float32]:
        """Return the bits, (n, 64)."""
        return np.unpackbits(signatures, axis=1).astype(np.float32)


@dataclass(frozen=True)
class Hash(ByHamming):
    """Hamming distance of hashes, 'Hash-6' of 'Less is More' (2024): slices by 8 x 8 bits, volumes by 4 x 4 x 4.

    Of signals the first channels are hashed, each for itself: 8, 4, 2 or 1 of them by as many bits as make 64.

    Args:
        name: on the command line.
        method: of hashing.
    """

    name: str = "hash"
    method: Method = "difference"
    kinds = ("volume", "image", "signal")
    measure = "distance"
    thresholds = Range(6, 0, BITS, (0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24))

    @property
    def key(self) -> str:
        """What signatures are kept under."""
        return f"hash-{self.method}-1"

    def signatures(self, pieces: Pieces) -> Signatures:
        """Hash pieces to (n, 8) bytes."""
        result = np.empty((len(pieces), BITS // 8), dtype=np.uint8)
        flat = len(pieces) > 0 and pieces[0].ndim == 2
        for rows, values in stacks(pieces, joined=not flat):
            result[rows] = channel_hashes(values, self.method) if flat else hashes(values, self.method)
        return result
