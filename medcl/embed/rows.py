"""The rows of a file of embeddings: what the manifest knows of the records that each embedding is of."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from medcl.archive.manifest import Manifest
from medcl.embed.about import EMBEDDING, KIND, PIECES, RECORDS, RUN, START
from medcl.embed.plan import Ints, Plan
from medcl.embed.pooling import Vectors
from medcl.embed.sides import Prepared, Side, places
from medcl.errors import MedclError

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
    """The rows of a shard.

    Args:
        manifest: whose columns they have. Of an embedding of several records, those in which the records differ are
            null.
        side: what embedded them.
        prepared: the pieces.
        plan: which of them are one embedding.
        shard: its number.
        vectors: (G, dim).
        schema: of the rows.
        run: fingerprint of the weights.

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
    begin = places(prepared.pieces, plan.numbers[part]) if len(group) == count else None
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
