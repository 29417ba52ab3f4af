"""Strategies that look at one piece at a time: how much its values say, and its place in its volume."""

from dataclasses import dataclass
from typing import Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from medcl.archive.schema import Kind
from medcl.errors import UsageError
from medcl.reduce.strategy import Measure, Pieces, Range, Signatures, Source, Unit
from medcl.reduce.thumbnails import stacks

LEVELS = 256


@dataclass(frozen=True)
class Entropy:
    """Entropy of the histogram of 256 grey values, in bits: a score, of each piece alone.

    Of signals, the mean of the channels' entropies.
    """

    name: ClassVar[str] = "entropy"
    kinds: ClassVar[tuple[Kind, ...]] = ("volume", "image", "signal")
    dims: ClassVar[tuple[Unit, ...]] = ("slice", "record")
    source: ClassVar[Source] = "array"
    measure: ClassVar[Measure] = "score"
    thresholds: ClassVar[Range] = Range(1, 0, 8, (0, 0.25, 0.5, 1, 1.5, 2, 3, 4, 5, 6, 7, 8))
    key: ClassVar[str] = "entropy-1"

    def signatures(self, pieces: Pieces) -> Signatures:
        """Return the entropies as (n, 1) float32."""
        arrays = cast(list[NDArray[Any]], pieces)
        result = np.empty((len(arrays), 1), dtype=np.float32)
        flat = len(arrays) > 0 and arrays[0].ndim == 2
        for rows, values in stacks(arrays, joined=not flat):
            levels = values.astype(np.int64).reshape(len(rows), values.shape[1] if flat else 1, -1)
            result[rows, 0] = entropies(levels.reshape(-1, levels.shape[-1]), LEVELS).reshape(len(rows), -1).mean(1)
        return result

    def compare(self, a: Signatures, b: Signatures) -> NDArray[np.float32]:
        """Compare nothing.

        Raises:
            UsageError: always.
        """
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
