"""The columns of a manifest, and which wing a record belongs to."""

from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from medcl.modality.formats import wing_of

SCHEMA_VERSION = 4
SCHEMA = pa.schema(
    [
        ("record_id", pa.string()),
        ("modality", pa.string()),
        ("format", pa.string()),
        ("path", pa.string()),
        ("patient", pa.int64()),
        ("session", pa.int64()),
        ("study", pa.int64()),
        ("series", pa.int64()),
        ("trial", pa.int64()),
        ("sampling_rate", pa.float64()),
        ("n_samples", pa.int64()),
        ("n_channels", pa.int64()),
        ("channels", pa.list_(pa.string())),
        ("units", pa.list_(pa.string())),
        ("shape", pa.list_(pa.int64())),
        ("spacing", pa.list_(pa.float64())),
        ("orientation", pa.string()),
        ("dtype", pa.string()),
        ("days", pa.int64()),
        ("part", pa.int64()),
        ("epoch_event", pa.string()),
        ("flags", pa.list_(pa.string())),
        ("report", pa.string()),
        ("split", pa.string()),
        ("checksum", pa.string()),
        ("size", pa.int64()),
        ("mtime_ns", pa.int64()),
        ("status", pa.string()),
        ("files", pa.list_(pa.string())),
        ("found_patient", pa.int64()),
        ("found_status", pa.string()),
    ]
)
"""The columns that every scan writes; label columns come behind them.

A recording has `sampling_rate` (Hz), `n_samples` and `flags` (channels that are set aside, gaps, a wrong checksum, in
words). A volume has `study`, `series`, `shape` and `spacing` (mm) along
the axes of RAS+, `orientation` as stored (`LPS`), `days` since its patient's first study, `part` (which volume of its
files it is, from 0) and `flags` (what is unusual about its geometry, in words). `trial` is one recording or one volume.
A recording that was cut around its events has the label of its own in `epoch_event`, and `part` says which epoch of
its file it is. An image has `shape` (rows, columns). A report has its text, without what names a person, in `report`;
its `trial` is that of the one record that it describes, or null where it describes a whole study. What does not apply
is null.

`files` are relative to the folder of `path`, the header first. `found_patient` and `found_status` are what the file
itself gave, before a label table was joined: the next scan takes them over where the files have not changed."""
KEPT = "kept"
"""Column of a manifest that `medcl reduce` wrote (version 4 on; a scan writes none): the slices of a volume that are
kept, list<int64>, ascending, counted along an axis of RAS+ that the metadata name. Null is everything, and so is a
manifest without this column."""
KEPT_TYPE = pa.list_(pa.int64())
SCANNED = pa.struct([("size", pa.int64()), ("mtime_ns", pa.int64()), ("checksum", pa.string())])
"""A label map as it was when it was linked: see `file_state`."""


def scanned_column(name: str) -> str:
    """The column, of type `SCANNED`, beside that of the label maps of this name."""
    return f"{name}_scanned"


DISTINCT = frozenset({"record_id", "path", "trial", "checksum", "mtime_ns", "files"})
"""Columns in which every row of a manifest has a value of its own, as a rule."""
ROWS = 1 << 12
"""Rows of a row group of a manifest: what is written takes memory until one is whole."""
Kind: TypeAlias = str
"""Name of a wing: see `medcl.modality.WINGS`."""
"""The wing that a record belongs to."""


def values_of(column: pa.ChunkedArray) -> NDArray[Any]:
    """A column as an array.

    Args:
        column: (records,) of any type.

    Returns:
        (records,) int64 with -1 for null, float64 with NaN, or objects (text, lists) with None.
    """
    if pa.types.is_integer(column.type):
        return np.asarray(pc.fill_null(column, -1).to_numpy(), dtype=np.int64)
    if pa.types.is_floating(column.type):
        return np.asarray(pc.fill_null(column.cast(pa.float64()), float("nan")).to_numpy())
    if pa.types.is_string(column.type):
        # An object a word, not one a row.
        coded = column.combine_chunks().dictionary_encode()
        words = np.array([*coded.dictionary.to_pylist(), None], dtype=object)
        return np.asarray(words[pc.fill_null(coded.indices, len(words) - 1).to_numpy()])
    array = np.empty(len(column), dtype=object)
    array[:] = column.to_pylist()
    return array


def kinds_of(modality: NDArray[Any], form: NDArray[Any]) -> NDArray[Any]:
    """The wing that each record belongs to.

    Args:
        modality: (records,) text or None.
        form: (records,) format, text or None.

    Returns:
        (records,) names of wings; empty where neither modality nor format tells.
    """
    return np.array([wing_of(*both) for both in zip(modality, form, strict=True)], dtype=object)
