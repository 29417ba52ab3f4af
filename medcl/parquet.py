"""Parquet files of ours with checksums that every other program passes over.

Between the pages and the footer stands a CRC-32 of each 64 kB of pages, and one of these and of the footer. Readers of
Parquet find pages by what the footer says, and see nothing of it; ours holds what it reads against them, so that
reading a column of a large file does not read the file.
"""

import os
import struct
import zlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from medcl import files
from medcl.files import damaged

_BLOCK = 1 << 16
_MARK = b"medcl crc-32"
_SEAL = struct.Struct("<II12s")  # CRC-32 of the checksums and the footer, number of blocks, mark
_NEAR = 64  # bytes
_END = struct.Struct("<I4s")  # length of the footer, PAR1


def write(path: Path, table: pa.Table, *, private: bool = False, durable: bool = True, **options: Any) -> None:
    """Write a table with checksums, whole or not at all; arguments and errors are those of `write_pieces`."""
    write_pieces(path, table.schema, [table], private=private, durable=durable, **options)


def write_pieces(
    path: Path,
    schema: pa.Schema,
    pieces: Iterable[pa.Table],
    *,
    private: bool = False,
    durable: bool = True,
    distinct: Collection[str] = (),
    **options: Any,
) -> None:
    """Write a table that need not fit into memory.

    Args:
        path: of the file.
        schema: of all pieces.
        pieces: of the table, a row group each.
        private: readable by the owner alone.
        durable: see `files.draft`.
        distinct: columns whose values are all different: a dictionary of them takes memory and saves nothing.
        **options: of `pyarrow.parquet.ParquetWriter`.

    Raises:
        MedclError: it cannot be written.
    """
    if distinct:
        few = [field for field in schema if field.name not in distinct]
        leaf = {field.name: ".list.element" if pa.types.is_list(field.type) else "" for field in few}
        options["use_dictionary"] = [name + behind for name, behind in leaf.items()]
    with files.draft(path, private=private, durable=durable) as place:
        with pq.ParquetWriter(place, schema, **options) as writer:
            for piece in pieces:
                # What Arrow has freed, it else keeps for itself: several times what a piece takes.
                pa.default_memory_pool().release_unused()
                writer.write_table(piece)
                pa.default_memory_pool().release_unused()
        seal(place)


def seal(path: Path) -> None:
    """Put the checksums into a Parquet file that is finished.

    Raises:
        OSError: the disk is full.
    """
    with path.open("r+b") as file:
        at = _footer_at(file)
        file.seek(0)
        sums = np.array([zlib.crc32(file.read(min(_BLOCK, at - start))) for start in range(0, at, _BLOCK)], "<u4")
        footer = file.read()
        file.seek(at)
        content = sums.tobytes()
        file.write(content + _SEAL.pack(zlib.crc32(footer, zlib.crc32(content)), len(sums), _MARK) + footer)


def read(path: Path, remedy: str) -> pa.Table:
    """Read a table whole.

    Raises:
        OSError: it cannot be read.
        pyarrow.ArrowException: it is no Parquet file.
        MedclError: it is damaged.
    """
    return ParquetFile(path, remedy).read()


class ParquetFile:
    """A Parquet file, open for reading; what is read of it is held against its checksums, where it has some.

    Args:
        path: of the file.
        remedy: how to make it again.

    Raises:
        OSError: it cannot be read.
        pyarrow.ArrowException: it is no Parquet file.
        MedclError: its footer is damaged.
    """

    def __init__(self, path: Path, remedy: str) -> None:
        self._path, self._remedy = path, remedy
        self._sums, self._end = self._known()
        self._seen = bytearray(len(self._sums))
        with self._damage_named():
            # Arrow opens the file itself: its threads and a file object of Python do not go together.
            self._file = pq.ParquetFile(path)
            self._raw = pa.OSFile(str(path))  # What was opened, whatever lies under its name later.
            self.schema: pa.Schema = self._file.schema_arrow
            self.metadata: Any = self._file.metadata
        if not len(self._sums) and self._has_room_of_seal():
            raise damaged(path, remedy)

    def read(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Columns, or all, as a table."""
        for group in range(self.metadata.num_row_groups):
            self._check_group(group, columns)
        with self._damage_named():
            return self._file.read(columns=columns, use_threads=False)

    def read_row_group(self, group: int, columns: Sequence[str] | None = None) -> pa.Table:
        """Columns, or all, of a row group."""
        self._check_group(group, columns)
        with self._damage_named():
            return self._file.read_row_group(group, columns=columns, use_threads=False)

    def iter_batches(self, size: int, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Columns, or all, in batches of at most `size` rows, in order."""
        for group in range(self.metadata.num_row_groups):
            self._check_group(group, columns)
            with self._damage_named():
                yield from self._file.iter_batches(size, row_groups=[group], columns=columns)

    @contextmanager
    def _damage_named(self) -> Iterator[None]:
        """Errors of damaged bytes that are no Arrow exceptions name the file; those of the system stay."""
        try:
            yield
        except UnicodeError as error:
            raise damaged(self._path, self._remedy) from error
        except OSError as error:
            if error.errno is not None:
                raise
            raise damaged(self._path, self._remedy) from error

    def _has_room_of_seal(self) -> bool:
        """Whether between pages and footer lie as many bytes as a seal has, whose mark is damaged then."""
        columns = (
            self.metadata.row_group(group).column(number)
            for group in range(self.metadata.num_row_groups)
            for number in range(self.metadata.num_columns)
        )
        ends = (
            min(filter(None, (one.dictionary_page_offset, one.data_page_offset))) + one.total_compressed_size
            for one in columns
        )
        end = max(ends, default=4)
        with self._path.open("rb") as file:
            return _footer_at(file) - end == 4 * -(-end // _BLOCK) + _SEAL.size

    def _known(self) -> tuple[NDArray[np.uint32], int]:
        """The checksums of blocks, and where the last block ends; none of a file that has no seal."""
        with self._path.open("rb") as file:
            try:
                at = _footer_at(file)
                file.seek(max(0, at - _SEAL.size))
                known, count, mark = _SEAL.unpack(file.read(_SEAL.size))
            except struct.error:
                return np.empty(0, np.uint32), 0  # Too short for a Parquet file: its reader says so.
            if mark != _MARK:
                # A footer that has grown or shrunk does not begin behind the seal.
                file.seek(max(0, at - 2 * _NEAR))
                if _MARK[:9] in file.read(3 * _NEAR):
                    raise damaged(self._path, self._remedy)
                return np.empty(0, np.uint32), 0
            end = at - _SEAL.size - 4 * count
            if end < 0:
                raise damaged(self._path, self._remedy)
            file.seek(end)
            content = file.read(4 * count)
            file.seek(at)
            if zlib.crc32(file.read(), zlib.crc32(content)) != known:
                raise damaged(self._path, self._remedy)
            return np.frombuffer(content, "<u4"), end

    def _check_group(self, group: int, columns: Sequence[str] | None) -> None:
        """Hold the blocks of the pages of some columns against their checksums.

        Raises:
            MedclError: one is damaged.
        """
        about = self.metadata.row_group(group)
        if not len(self._sums) or not about.num_rows:
            return
        for number in range(about.num_columns):
            one = about.column(number)
            if columns is None or one.path_in_schema.split(".")[0] in columns:
                first = min(filter(None, (one.dictionary_page_offset, one.data_page_offset)))
                last = first + one.total_compressed_size - 1
                for block in range(first // _BLOCK, min(last // _BLOCK, len(self._sums) - 1) + 1):
                    self._check(block)

    def _check(self, block: int) -> None:
        if self._seen[block]:
            return
        start = block * _BLOCK
        self._raw.seek(start)
        if zlib.crc32(self._raw.read(min(_BLOCK, self._end - start))) != self._sums[block]:
            raise damaged(self._path, self._remedy)
        self._seen[block] = 1


def _footer_at(file: BinaryIO) -> int:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _END.size))
    length, _ = _END.unpack(file.read(_END.size))
    return int(max(0, size - _END.size - length))
