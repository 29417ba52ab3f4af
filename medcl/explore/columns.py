"""The columns of a file of embeddings that a page may show: what is known of the records, and never who they are."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from medcl.archive.manifest import Manifest, Target
from medcl.archive.path_ids import LEVELS
from medcl.explore.page import Categories, Column, Ints

HIDDEN = frozenset(
    {
        *LEVELS,
        *("record_id", "path", "files", "report", "checksum", "size", "mtime_ns", "days", "part", "status"),
        *("found_patient", "found_status", "run", "embedding", "start", "x", "y", "flags", "units", "dtype"),
    }
)
"""Names, texts, codes of people and what only medcl needs."""
MOST_NAMES = 256
"""Distinct values of a column of text that a page takes for categories; more are texts or names of something."""
FEW = 12  # distinct whole numbers up to which they are categories
CLASSES = 24  # of a multilabel target, that are a column each


def columns_of(table: pa.Table, manifest: Manifest) -> dict[str, Column]:
    """What points can be coloured and filtered by: targets first, then the other columns as they stand.

    Args:
        table: rows with the columns of a manifest, and any others.
        manifest: whose targets and label maps count. Columns of label maps hold paths, and so are not shown.

    Returns:
        Name -> column; one that has a single value in all rows, or too many, is not among them.
    """
    targets = manifest.targets
    names = [name for name in table.column_names if name not in HIDDEN and name not in manifest.masks]
    return {
        title: column
        for name in sorted(names, key=lambda one: one not in targets)
        for title, column in _columns(name, table[name], targets.get(name)).items()
        if _tells(column)
    }


def levels_of(table: pa.Table) -> dict[str, NDArray[np.int64]]:
    """The codes of each level of the hierarchy at which several rows belong together, the patient first."""
    found: dict[str, NDArray[np.int64]] = {}
    for name in LEVELS:
        if name not in table.column_names or not pa.types.is_integer(table[name].type):
            continue
        codes = np.asarray(pc.fill_null(table[name], -1).to_numpy(), np.int64)
        known = codes[codes >= 0]
        if name == "patient" and len(known):
            found[name] = codes
        elif len(np.unique(known)) < len(known) and not any(_same(codes, other) for other in found.values()):
            # A level that says the same as one above it is not told twice.
            found[name] = codes
    return found


def _same(first: Ints, second: Ints) -> bool:
    pairs = np.unique(np.stack([first, second]), axis=1).shape[1]
    return bool(pairs == len(np.unique(first)) == len(np.unique(second)))


def _columns(name: str, values: pa.ChunkedArray, target: Target | None) -> dict[str, Column]:
    kind = values.type
    if target is not None and target.kind == "multilabel" and pa.types.is_list(kind):
        return _of_classes(name, values, target)
    if pa.types.is_floating(kind) or (pa.types.is_integer(kind) and pc.count_distinct(values).as_py() > FEW):
        numbers = pc.fill_null(values.cast(pa.float64()), float("nan"))
        return {name: np.where(np.isfinite(array := numbers.to_numpy()), array, np.nan).astype(np.float32)}
    if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_null(kind):
        return {}
    coded = _categories(values)
    return {} if coded is None else {name: coded}


def _categories(values: pa.ChunkedArray) -> Categories | None:
    """None where there are too many different values."""
    if pa.types.is_integer(values.type):
        values = values.cast(pa.int64())
    coded = values.cast(pa.string()).combine_chunks().dictionary_encode()
    if len(coded.dictionary) > MOST_NAMES:
        return None
    codes = np.asarray(pc.fill_null(coded.indices, -1).to_numpy(zero_copy_only=False), np.int64)
    names = [" ".join(str(one).split()) for one in coded.dictionary.to_pylist()]
    # An empty cell is a missing value.
    codes[np.isin(codes, [number for number, one in enumerate(names) if not one])] = -1
    return Categories(codes, tuple(names))


def _of_classes(name: str, values: pa.ChunkedArray, target: Target) -> dict[str, Column]:
    """The classes of each row together, and a column of yes and no for each class."""
    rows: list[Any] = values.to_pylist()
    missing = np.array([row is None for row in rows])
    together = [
        None if row is None else " + ".join(one for one in target.classes if one in row) or "none" for row in rows
    ]
    coded = _categories(pa.chunked_array([pa.array(together, pa.string())]))
    found: dict[str, Column] = {} if coded is None else {name: coded}
    for one in target.classes[:CLASSES]:
        yes = np.array([row is not None and one in row for row in rows], np.int64)
        found[f"{name}: {one}"] = Categories(np.where(missing, -1, yes), ("no", "yes"))
    return found


def _tells(column: Column) -> bool:
    """Whether it distinguishes any two rows."""
    values = column.codes if isinstance(column, Categories) else np.nan_to_num(column, nan=np.inf)
    return len(values) == 1 or bool((values != values[0]).any())
