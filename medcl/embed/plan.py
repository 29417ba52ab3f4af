"""What becomes one embedding: windows, records or patients; and which of them are written together."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from medcl.archive.manifest import Manifest
from medcl.modality.sampling import SampleSet

Ints = NDArray[np.int64]
Level = Literal["window", "record", "patient"]
_PIECES, _SHARDS = 8192, 2048
"""Pieces of a shard at least, and shards of an archive at most, about."""


@dataclass(frozen=True)
class Plan:
    """The pieces of some records in the order in which they are embedded, and what each counts for.

    Args:
        numbers: (P,) of the pieces.
        owner: (P,) row of the manifest of each piece.
        group: (P,) number of the embedding that each piece belongs to, ascending without a gap.
        weight: (P,) share of each piece in the mean: the shares of an embedding sum to 1.
        bounds: (S + 1,) first embedding of each shard, and the number of embeddings.
    """

    numbers: Ints
    owner: Ints
    group: Ints
    weight: NDArray[np.float64]
    bounds: Ints

    @classmethod
    def of(cls, pieces: SampleSet, manifest: Manifest, level: Level) -> "Plan":
        """The plan of all pieces.

        Records stay in the order of the manifest; of patients, that of their first records. The mean of a record is
        over its pieces, that of a patient over the means of its records, so that a long recording counts as a short
        one. Records whose patient is not known are patients of their own.
        """
        owner = np.asarray(pieces.rows)
        numbers = np.arange(len(owner))
        if level == "window":
            group, weight = numbers, np.ones(len(numbers))
        else:
            records, of_record, count = np.unique(owner, return_inverse=True, return_counts=True)
            group, weight = of_record, 1 / count[of_record]
            if level == "patient":
                patients = _first_numbers(_patients(manifest, records))
                group, weight = patients[of_record], weight / np.bincount(patients)[patients[of_record]]
                order = np.argsort(group, kind="stable")
                numbers, owner, group, weight = numbers[order], owner[order], group[order], weight[order]
        return cls(numbers, owner, group.astype(np.int64), weight, _bounds(group))

    @property
    def shards(self) -> int:
        """Number of shards."""
        return len(self.bounds) - 1

    def pieces_of(self, shard: int) -> slice:
        """Where the pieces of a shard lie in the plan."""
        first, last = np.searchsorted(self.group, self.bounds[shard : shard + 2])
        return slice(int(first), int(last))


def _patients(manifest: Manifest, rows: Ints) -> Ints:
    """A code of the patient of each row; where it is not known, one below 0 that no other has."""
    codes = manifest.column("patient")[rows]
    return np.where(codes >= 0, codes, -1 - rows)


def _first_numbers(codes: Ints) -> Ints:
    """Codes (n,) counted from 0 in the order in which each is met first."""
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    numbers: Ints = rank[inverse]
    return numbers


def _bounds(group: Ints) -> Ints:
    """Shards of about as many pieces each, never cutting an embedding in two."""
    wanted = max(_PIECES, len(group) // _SHARDS)
    last = np.flatnonzero(np.r_[np.diff(group) > 0, True])  # the last piece of each embedding
    shard = last // wanted
    starts = np.flatnonzero(np.r_[True, np.diff(shard) > 0])
    bounds: Ints = np.r_[starts, len(last)].astype(np.int64)
    return bounds
