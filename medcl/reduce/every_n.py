"""Redundant by place: every n-th slice is kept, whatever it shows; the plain control of 'Less is More' (2024)."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from medcl.archive.schema import Kind
from medcl.reduce.strategy import Measure, Pieces, Range, Signatures, Source, Unit


@dataclass(frozen=True)
class EveryN:
    """Distance of places, counted from 1: two units within a run of n are duplicates, so greedy keeps every n-th."""

    name: ClassVar[str] = "every-n"
    kinds: ClassVar[tuple[Kind, ...]] = ("volume", "image", "signal", "report")
    dims: ClassVar[tuple[Unit, ...]] = ("slice", "record")
    source: ClassVar[Source] = "number"
    measure: ClassVar[Measure] = "distance"
    thresholds: ClassVar[Range] = Range(2, 1, 10_000, (1, 2, 3, 4, 5, 6, 8, 10, 12, 16))
    key: ClassVar[str] = "every-n-1"

    def signatures(self, pieces: Pieces) -> Signatures:
        """Return the places as (n, 1)."""
        return np.asarray(pieces, dtype=np.int64).reshape(-1, 1)

    def compare(self, a: Signatures, b: Signatures) -> NDArray[np.float32]:
        """Count the units from one to the other, both included."""
        return np.asarray(np.abs(a - b.T) + 1, dtype=np.float32)

    def vectors(self, signatures: Signatures) -> NDArray[np.float32]:
        """Return the places."""
        return np.asarray(signatures, dtype=np.float32)
