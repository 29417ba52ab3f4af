"""Which records belong together: the ids that they share, of any number a record."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

Ints: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True)
class Marks:
    """Ids of the records of one side: a hit is a candidate that shares an id with the query.

    A record may carry several, as a picture with three reports does, or none.

    Args:
        row: (entries,) number of the record.
        id: (entries,) its id.
        size: number of records.
    """

    row: Ints
    id: Ints
    size: int

    @classmethod
    def of(cls, ids: ArrayLike | Sequence[ArrayLike]) -> "Marks":
        """Ids as one number a record, negative for none; as a table (records, classes) of 0 and 1; or as lists.

        Args:
            ids: (records,) integers; (records, classes) indicators, whose columns are the ids; or a list of arrays of
                ids, one a record.
        """
        if isinstance(ids, list | tuple) and (not ids or np.ndim(ids[0]) == 1):
            parts = [np.unique(np.asarray(one, dtype=np.int64)) for one in ids]
            row = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
            marks = np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)
            return cls(row[marks >= 0], marks[marks >= 0], len(parts))
        table = np.asarray(ids)
        if table.ndim == 2:
            row, column = np.nonzero(table == 1)
            return cls(row.astype(np.int64), column.astype(np.int64), len(table))
        return cls(np.flatnonzero(table >= 0), table[table >= 0].astype(np.int64), len(table))


@dataclass(frozen=True)
class Shared:
    """Which candidates share an id with each query, for any block of queries.

    Args:
        queries: sparse (queries, ids).
        candidates: sparse (ids, candidates).
    """

    queries: Any
    candidates: Any

    @classmethod
    def of(cls, queries: Marks, candidates: Marks, order: Ints) -> "Shared":
        """Compare two sides, the candidates in an order (candidates,)."""
        from scipy.sparse import csr_array

        known, numbers = np.unique(np.concatenate([queries.id, candidates.id]), return_inverse=True)
        parts = np.split(numbers, [len(queries.id)])
        first, second = (
            csr_array((np.ones(len(part), dtype=np.int32), (side.row, part)), shape=(side.size, max(1, len(known))))
            for side, part in zip((queries, candidates), parts, strict=True)
        )
        return cls(first, second[order].T.tocsr())

    def block(self, start: int, step: int) -> Tensor:
        """(block, candidates) bool for the queries from `start` on."""
        return torch.from_numpy((self.queries[start : start + step] @ self.candidates).toarray() > 0)

    def pairs(self) -> Ints:
        """(pairs, 2) numbers of queries and candidates that share an id, ascending."""
        found = (self.queries @ self.candidates).tocsr()
        found.sort_indices()
        rows = np.repeat(np.arange(found.shape[0]), np.diff(found.indptr))
        return np.stack([rows, found.indices], axis=1).astype(np.int64)
