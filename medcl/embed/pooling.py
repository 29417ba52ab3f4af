"""Pieces' embeddings become those of windows, records or patients, by a plan, while memory holds one shard."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from medcl.archive.manifest import Manifest
from medcl.archive.stratify import first_appearance
from medcl.embed.encoders import Prepared, Side
from medcl.embed.metadata import EMBEDDING, KIND, PIECES, RECORDS, RUN, START
from medcl.errors import MedclError
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
                patients, _ = first_appearance(_patients(manifest, records))
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


def _bounds(group: Ints) -> Ints:
    """Shards of about as many pieces each, never cutting an embedding in two."""
    wanted = max(_PIECES, len(group) // _SHARDS)
    last = np.flatnonzero(np.r_[np.diff(group) > 0, True])  # the last piece of each embedding
    shard = last // wanted
    starts = np.flatnonzero(np.r_[True, np.diff(shard) > 0])
    bounds: Ints = np.r_[starts, len(last)].astype(np.int64)
    return bounds


Pool = Literal["mean", "max"]
Vectors = NDArray[np.float32]


class DivergedError(MedclError):
    """An embedding that is not a number, of a row of the manifest."""

    def __init__(self, row: int) -> None:
        super().__init__(f"row {row} of the manifest has an embedding that is not a number")
        self.row = row


def pooled(
    embedded: Iterator[tuple[slice, Vectors]], plan: Plan, shards: list[int], dim: int, pool: Pool, *, unit: bool
) -> Iterator[tuple[int, Vectors]]:
    """Pool embeddings of pieces as they come, into shard after shard: its number and embeddings (G, dim).

    Args:
        embedded: which of the pieces of `shards`, one shard behind the other, and their embeddings (B, dim).
        plan: of all pieces.
        shards: numbers of those that are embedded, ascending.
        dim: width.
        pool: mean or maximum over pieces.
        unit: whether embeddings are brought to length 1, as those of several modalities are compared.

    Raises:
        DivergedError: an embedding is not a number.
    """
    parts = [plan.pieces_of(shard) for shard in shards]
    ends = np.cumsum([part.stop - part.start for part in parts])
    at, total = 0, _empty(plan, shards[0], dim, pool)
    for which, z in embedded:
        first = which.start
        while first < which.stop:
            last = min(which.stop, int(ends[at]))
            offset = parts[at].stop - int(ends[at])
            _add(total, z[first - which.start : last - which.start], plan, slice(first + offset, last + offset), pool)
            if last == ends[at]:
                yield shards[at], _finished(total, unit)
                at += 1
                if at < len(shards):
                    total = _empty(plan, shards[at], dim, pool)
            first = last


@dataclass
class _Total:
    first: int
    values: NDArray[np.float64]


def _empty(plan: Plan, shard: int, dim: int, pool: Pool) -> _Total:
    first, last = (int(bound) for bound in plan.bounds[shard : shard + 2])
    return _Total(first, np.full((last - first, dim), 0.0 if pool == "mean" else -np.inf))


def _add(total: _Total, z: Vectors, plan: Plan, part: slice, pool: Pool) -> None:
    bad = ~np.isfinite(z).all(axis=1)
    if bad.any():
        raise DivergedError(int(plan.owner[part][bad.argmax()]))
    group = plan.group[part] - total.first
    # Pieces of one embedding are neighbours: each run of them is one row of the sum.
    starts = np.flatnonzero(np.r_[True, np.diff(group) > 0])
    if pool == "mean":
        total.values[group[starts]] += np.add.reduceat(z * plan.weight[part, None], starts, axis=0)
    else:
        rows = group[starts]
        total.values[rows] = np.maximum(total.values[rows], np.maximum.reduceat(z, starts, axis=0))


def _finished(total: _Total, unit: bool) -> Vectors:
    values = total.values
    if unit:
        values = values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)
    return values.astype(np.float32)


_BEGIN = pa.list_(pa.float64())
_LARGEST_HALF = float(np.finfo(np.float16).max)


def rows_of(
    manifest: Manifest,
    side: Side,
    prepared: Prepared,
    plan: Plan,
    shard: int,
    vectors: Vectors,
    schema: pa.Schema,
    run: str,
) -> pa.Table:
    """The rows of a shard of embeddings (G, dim), by the run of this fingerprint.

    They have the columns of the manifest. Of an embedding of several records, those in which the records differ are
    null.

    Raises:
        MedclError: an embedding is too large for float16.
    """
    part = plan.pieces_of(shard)
    owner, group = plan.owner[part], plan.group[part] - plan.bounds[shard]
    # Pieces of a record are neighbours, and so are records of a patient.
    of_record = np.flatnonzero(np.r_[True, (np.diff(owner) != 0) | (np.diff(group) != 0)])
    records, starts = owner[of_record], np.flatnonzero(np.r_[True, np.diff(group[of_record]) > 0])
    several = np.diff(np.r_[starts, len(records)])
    table = manifest.table.take(pa.array(records))
    if (several > 1).any():
        table = pa.table({name: _agreed(table[name], starts) for name in table.column_names})
    count = len(vectors)
    begin = prepared.pieces.places(plan.numbers[part]) if len(group) == count else None
    own = {
        KIND: pa.array([side.kind] * count, pa.string()),
        PIECES: pa.array(np.bincount(group, minlength=count)),
        RECORDS: pa.array(several),
        START: pa.nulls(count, _BEGIN) if begin is None else pa.array(begin, _BEGIN),
        RUN: pa.array([run] * count, pa.string()),
        EMBEDDING: _lists(vectors, schema),
    }
    return pa.table([*table.columns, *own.values()], schema=schema.remove_metadata())


def _agreed(column: pa.ChunkedArray, starts: Ints) -> pa.ChunkedArray:
    """The value of each group of neighbours in a column; null where they differ."""
    if pa.types.is_nested(column.type):
        coded = pa.array([None if one is None else repr(one) for one in column.to_pylist()]).dictionary_encode()
    else:
        coded = column.combine_chunks().dictionary_encode()
    codes = np.asarray(pc.fill_null(coded.indices, -1)).astype(np.int64)
    same = np.minimum.reduceat(codes, starts) == np.maximum.reduceat(codes, starts)
    first = pa.array(starts, mask=~same)
    return column.take(first)


def _lists(vectors: Vectors, schema: pa.Schema) -> pa.Array:
    kind = schema.field(EMBEDDING).type
    flat: NDArray[np.floating] = vectors.reshape(-1)
    if kind.value_type == pa.float16():
        if np.abs(flat).max(initial=0) > _LARGEST_HALF:
            raise MedclError("an embedding is too large for float16: leave out --half")
        flat = flat.astype(np.float16)
    return pa.FixedSizeListArray.from_arrays(pa.array(flat), kind.list_size).cast(kind)
