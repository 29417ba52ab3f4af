"""Redundant by hash: two pieces whose hashes of 64 bits differ in few bits; 'Hash-6' of 'Less is More' (2024)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from medcl.archive.schema import Kind
from medcl.reduce import hamming
from medcl.reduce.eight_bit import stacks
from medcl.reduce.hashes import Method, hashes
from medcl.reduce.strategy import Measure, Pairs, Pieces, Range, Signatures, Source, Unit

BITS = 64


class ByHamming:
    """What strategies of 64 bits share: their signatures, (n, 8) bytes, are compared by the bits that differ."""

    def compare(self, a: Signatures, b: Signatures) -> NDArray[np.float32]:
        """Count the bits that differ, (n, m)."""
        return hamming.distances(hamming.words(a), hamming.words(b))

    def search(self, a: Signatures, b: Signatures, threshold: float) -> Iterator[Pairs]:
        """Find all pairs within the threshold, exactly."""
        return hamming.search(hamming.words(a), hamming.words(b), int(threshold))

    def vectors(self, signatures: Signatures) -> NDArray[np.float32]:
        """Return the bits, (n, 64)."""
        return np.unpackbits(signatures, axis=1).astype(np.float32)


@dataclass(frozen=True)
class Hash(ByHamming):
    """Hamming distance of hashes; slices and pictures are hashed by 8 x 8 bits, volumes by 4 x 4 x 4.

    Of signals the first channels are hashed, each for itself: 8, 4, 2 or 1 of them by as many bits as make 64.

    Args:
        name: on the command line.
        method: of hashing.
    """

    name: str = "hash"
    method: Method = "difference"
    kinds: ClassVar[tuple[Kind, ...]] = ("volume", "image", "signal")
    dims: ClassVar[tuple[Unit, ...]] = ("slice", "record")
    source: ClassVar[Source] = "array"
    measure: ClassVar[Measure] = "distance"
    thresholds: ClassVar[Range] = Range(6, 0, BITS, (0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24))

    @property
    def key(self) -> str:
        """What signatures are kept under."""
        return f"hash-{self.method}-1"

    def signatures(self, pieces: Pieces) -> Signatures:
        """Hash pieces to (n, 8) bytes."""
        arrays = cast(list[NDArray[Any]], pieces)
        result = np.empty((len(arrays), BITS // 8), dtype=np.uint8)
        flat = len(arrays) > 0 and arrays[0].ndim == 2
        for rows, values in stacks(arrays, joined=not flat):
            result[rows] = channel_hashes(values, self.method) if flat else hashes(values, self.method)
        return result


def channel_hashes(values: NDArray[np.float32], method: Method) -> NDArray[np.uint8]:
    """Hash the first channels of signals, (n, C, samples) from 0 to 255, to (n, 8) bytes."""
    rows = next(rows for rows in (8, 4, 2, 1) if rows <= values.shape[1])
    if method == "perceptual":
        values = values[:, :rows]
        each = [hashes(values[:, row], method, (BITS // rows,)) for row in range(rows)]
        return np.concatenate(each, axis=1)
    return hashes(values[:, :rows], method, (rows, BITS // rows))
