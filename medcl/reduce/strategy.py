"""The contract of a strategy: what two pieces of an archive are compared by, apart from the rule that selects."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from medcl.archive.manifest import Manifest
from medcl.archive.schema import Kind
from medcl.engine.progress import watched
from medcl.errors import UsageError

if TYPE_CHECKING:
    from medcl.reduce.signatures import Described
    from medcl.reduce.units import Units

Unit: TypeAlias = Literal["slice", "record"]
Measure: TypeAlias = Literal["distance", "similarity", "score"]
"""How a threshold reads: duplicates lie at or below a `distance`, at or above a `similarity`; a `score` compares
nothing: what lies below it is dropped."""
Source: TypeAlias = Literal["array", "text", "number"]
"""What signatures are made of: decoded arrays, texts, or only the places of the units in their groups, such as the
numbers of slices, for which no file is opened."""
Signatures: TypeAlias = NDArray[Any]
"""(n, width) of one data type; rows are compared, saved and joined, whatever they mean."""
Pieces: TypeAlias = Sequence[Any]
"""Pieces of one dimension: slices or images (C, rows, columns), volumes (C, x, y, z), signals (C, samples), texts or
numbers. Sizes and data types may differ from piece to piece."""


@dataclass(frozen=True)
class Range:
    """Thresholds that are allowed; those of the redundancy curve ascend, and are evenly spaced ones where empty."""

    default: float
    lowest: float
    highest: float
    curve: tuple[float, ...] = ()


@dataclass(frozen=True)
class DuplicatePairs:
    """Pairs (p,) that are duplicates at some threshold: rows of two sets, or an earlier and a later unit of one."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    measure: NDArray[np.float32]


class Strategy(ABC):
    """What makes two pieces redundant.

    Signatures depend on their own piece alone, so that they can be made in chunks, kept, and compared at a second
    threshold without reading a file again.

    Attributes:
        kinds: of records that it takes.
        dims: units that it takes of them: `slice` of a volume, whole `record`.
        source: what `signatures` is given.
        measure: how a threshold reads.
    """

    kinds: tuple[Kind, ...]
    dims: tuple[Unit, ...] = ("slice", "record")
    source: Source = "array"
    measure: Measure = "similarity"

    @property
    @abstractmethod
    def name(self) -> str:
        """The name on the command line."""

    @property
    @abstractmethod
    def thresholds(self) -> Range:
        """The default threshold and its limits."""

    @property
    def key(self) -> str:
        """Name, settings and version: signatures are kept under it; without characters that a path does not allow."""
        return f"{self.name}-1"

    @abstractmethod
    def signatures(self, pieces: Pieces) -> Signatures:
        """Describe n pieces of one dimension, of any sizes and data types, by rows of numbers.

        Returns:
            (n, width); width and data type depend on the strategy and the dimension alone.

        Raises:
            UnreadableError: a piece is empty or holds a value that is not a finite number.
        """

    def described(
        self, manifest: Manifest, units: "Units", store: Path, *, axis: int, jobs: int = -1, cluster: str | None = None
    ) -> "Described":
        """The signatures of the records of some units of one family, from the cache or made now; see `describe`."""
        from medcl.reduce.signatures import describe

        return describe(manifest, units, self, store, axis=axis, jobs=jobs, cluster=cluster)

    @abstractmethod
    def compare(self, a: Signatures, b: Signatures) -> NDArray[np.float32]:
        """Compare each of some signatures (n, width) with each of others (m, width).

        Returns:
            (n, m) float32, in the unit of `measure`. Memory apart from the result does not grow with n times m.

        Raises:
            UsageError: the measure is a score, which compares nothing.
        """


@runtime_checkable
class Searchable(Protocol):
    """A strategy whose duplicates are found without a measure of every pair; others are compared block by block."""

    def search(self, a: Signatures, b: Signatures, threshold: float) -> Iterator[DuplicatePairs]:
        """Find all duplicates between two sets of signatures (n, width) and (m, width), at a checked threshold.

        Yields:
            Every pair of a row of a and a row of b at or within the threshold exactly once, with the very measure that
            `compare` gives, in blocks of bounded memory; in no order.
        """


@runtime_checkable
class Vectorial(Protocol):
    """A strategy whose signatures lie in a space with means, so that they can be clustered."""

    def vectors(self, signatures: Signatures) -> NDArray[np.float32]:
        """Return (n, d) float32, whose Euclidean distance orders pairs as `compare` does."""


def checked(strategy: Strategy, threshold: float | None) -> float:
    """Return the threshold to use: the strategy's default where none is given.

    Raises:
        UsageError: the threshold is not a number of the strategy's range.
    """
    limits = strategy.thresholds
    if threshold is None:
        return limits.default
    if not limits.lowest <= threshold <= limits.highest:
        raise UsageError(
            f"threshold {threshold:g} of {strategy.name}: a {strategy.measure} between {limits.lowest:g} and "
            f"{limits.highest:g}, {limits.default:g} by default"
        )
    return float(threshold)


def within(strategy: Strategy, measure: NDArray[Any], threshold: float) -> NDArray[np.bool_]:
    """Tell which pairs (or single units, of a score) pass a threshold: duplicates, or units that a score keeps."""
    return np.asarray(measure <= threshold if strategy.measure == "distance" else measure >= threshold)


_PART, _PARTS = 8192, 32
"""Signatures that are compared with all behind them before the progress is told, at least; and number of such parts."""
BLOCK = 1024
"""Signatures a side that are compared at a time."""


def matches(strategy: Strategy, a: Signatures, b: Signatures, threshold: float) -> Iterator[DuplicatePairs]:
    """Find all duplicates between two sets of signatures (n, width) and (m, width): each pair once, in blocks.

    The strategy measures a distance or a similarity, and the threshold is checked.
    """
    if isinstance(strategy, Searchable):
        yield from strategy.search(a, b, threshold)
        return
    for top in range(0, len(a), BLOCK):
        for left in range(0, len(b), BLOCK):
            measure = strategy.compare(a[top : top + BLOCK], b[left : left + BLOCK])
            row, column = np.nonzero(within(strategy, measure, threshold))
            yield DuplicatePairs(row + top, column + left, measure[row, column])


def duplicates(strategy: Strategy, signatures: Signatures, threshold: float) -> Iterator[DuplicatePairs]:
    """Find all duplicates within one set of signatures (n, width): each pair once, first < second, in blocks.

    An archive of n equal pieces has n (n - 1) / 2 pairs: only a selection rule is quick for it.
    """
    step = max(_PART, -(-len(signatures) // _PARTS))
    for top in watched(range(0, len(signatures), step), "reduce: comparison", "part"):
        for pairs in matches(strategy, signatures[top : top + step], signatures[top:], threshold):
            later = pairs.first < pairs.second
            yield DuplicatePairs(pairs.first[later] + top, pairs.second[later] + top, pairs.measure[later])


def earliest(
    strategy: Strategy, a: Signatures, b: Signatures, threshold: float
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Find for each signature of a set b (m, width) the first one of a (n, width), in its order, that it duplicates.

    Returns:
        (m,) rows of a, n where there is none; and (m,) their measures, nan where there is none.
    """
    found = np.full(len(b), len(a))
    measure = np.full(len(b), np.nan, dtype=np.float32)
    for pairs in matches(strategy, a, b, threshold):
        if not len(pairs.first):
            continue
        order = np.lexsort((pairs.first, pairs.second))
        column, lead = np.unique(pairs.second[order], return_index=True)
        best = order[lead]
        sooner = pairs.first[best] < found[column]
        column, best = column[sooner], best[sooner]
        found[column], measure[column] = pairs.first[best], pairs.measure[best]
    return found, measure
