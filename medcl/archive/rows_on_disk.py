"""The rows of a manifest as a Parquet file, for archives of more files than fit into memory."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from medcl.archive.schema import ROWS
from medcl.parquet import ParquetFile


class RowsOnDisk:
    """Stands for a `pyarrow.Table`: a column is read from the file each time that it is asked for.

    A column that is set is in memory, and the file stays as it is. What else a table can do is done by the whole table,
    read into memory.

    Args:
        file: with the rows.
        own: columns that take the place of those of the file, or are added.
        rows: numbers of the rows of the file that count, (rows,) int64; None for all.
    """

    def __init__(
        self, file: ParquetFile, own: Mapping[str, pa.ChunkedArray] | None = None, rows: pa.Array | None = None
    ) -> None:
        self._file, self._own, self._rows = file, dict(own or {}), rows
        self.column_names = list(dict.fromkeys([*file.schema.names, *self._own]))
        self.num_rows: int = file.metadata.num_rows if rows is None else len(rows)

    def __len__(self) -> int:
        return self.num_rows

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.select(self.column_names), name)

    @property
    def schema(self) -> pa.Schema:
        """Of all columns."""
        fields = [
            pa.field(name, self._own[name].type) if name in self._own else self._file.schema.field(name)
            for name in self.column_names
        ]
        return pa.schema(fields)

    def column(self, name: str) -> pa.ChunkedArray:
        """(rows,) values of a column."""
        return self.select([name]).column(0)

    __getitem__ = column

    def select(self, names: Sequence[str]) -> pa.Table:
        """Some columns, in memory."""
        stored = [name for name in names if name not in self._own]
        groups = range(self._file.metadata.num_row_groups)
        table = pa.concat_tables([self._file.read_row_group(group, stored) for group in groups]).combine_chunks()
        pa.default_memory_pool().release_unused()
        if self._rows is not None:
            table = table.take(self._rows)
        return pa.table({name: self._own[name] if name in self._own else table.column(name) for name in names})

    def groups(self) -> Iterator[pa.Table]:
        """All rows, a group of the file at a time."""
        if self._rows is not None:
            yield self.select(self.column_names)
            return
        stored, start = [name for name in self.column_names if name not in self._own], 0
        for group in range(self._file.metadata.num_row_groups):
            table = self._file.read_row_group(group, stored)
            own = {name: values.slice(start, len(table)) for name, values in self._own.items()}
            start += len(table)
            yield pa.table({name: own[name] if name in own else table.column(name) for name in self.column_names})
            del table
            pa.default_memory_pool().release_unused()

    def set_column(self, at: int, name: str, values: pa.Array | pa.ChunkedArray) -> Self:
        """These rows with other values in a column, whose name stays."""
        assert self.column_names[at] == name
        return self.append_column(name, values)

    def append_column(self, name: str, values: pa.Array | pa.ChunkedArray) -> Self:
        """These rows with a column more."""
        values = values if isinstance(values, pa.ChunkedArray) else pa.chunked_array([values])
        return type(self)(self._file, {**self._own, name: values}, self._rows)

    def take(self, rows: pa.Array) -> Self:
        """Rows by their numbers, (rows,) int64."""
        own = {name: values.take(rows) for name, values in self._own.items()}
        return type(self)(self._file, own, rows if self._rows is None else self._rows.take(rows))

    def filter(self, mask: pa.Array | pa.ChunkedArray) -> Self:
        """The rows where a mask, (rows,) bool, is true."""
        chosen = np.asarray(pc.fill_null(mask, False).to_numpy(zero_copy_only=False), dtype=bool)
        return self.take(pa.array(np.flatnonzero(chosen)))


def pieces(table: pa.Table | RowsOnDisk) -> Iterator[pa.Table]:
    """All rows, some thousand at a time."""
    if isinstance(table, RowsOnDisk):
        return table.groups()
    return (table.slice(start, ROWS) for start in range(0, max(1, len(table)), ROWS))
