"""Parquet files of ours with checksums that every other program passes over.

Between the pages and the footer stands a CRC-32 of each 64 kB of pages, and one of these and of the footer. Readers of
Parquet find pages by what the footer says, and see nothing of it; ours holds what it reads against them, so that
reading a column of a large file does not read the file.
"""

import io
import os
import struct
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from medcl import files
from medcl.checksums import damaged

_BLOCK = 1 << 16
_MARK = b"medcl crc-32"
_SEAL = struct.Struct("<II12s")  # CRC-32 of the checksums and the footer, number of blocks, mark
_END = struct.Struct("<I4s")  # length of the footer, PAR1


def write(path: Path, table: pa.Table, *, private: bool = False, durable: bool = True, **options: Any) -> None:
    """Write a table with checksums, whole or not at all.

    Args:
        path: of the file.
        table: that is written.
        private: readable by the owner alone.
        durable: see `files.draft`.
        **options: of `pyarrow.parquet.write_table`.

    Raises:
        MedclError: it cannot be written.
    """
    with files.draft(path, private=private, durable=durable) as place:
        pq.write_table(table, place, **options)
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


def opened(path: Path, remedy: str) -> BinaryIO:
    """Open a Parquet file; what is read of it is held against its checksums, where it has some.

    Args:
        path: of the file.
        remedy: how to make it again.

    Raises:
        OSError: it cannot be read.
        MedclError: its footer is damaged.
    """
    file = path.open("rb")
    try:
        at = _footer_at(file)
        file.seek(max(0, at - _SEAL.size))
        known, count, mark = _SEAL.unpack(file.read(_SEAL.size))
        if mark == _MARK:
            start = at - _SEAL.size - 4 * count
            if start < 0:
                raise damaged(path, remedy)
            file.seek(start)
            content = file.read(4 * count)
            file.seek(at)
            if zlib.crc32(file.read(), zlib.crc32(content)) != known:
                raise damaged(path, remedy)
            return _Checked(path, file, np.frombuffer(content, "<u4"), start, remedy)  # type: ignore[return-value]
    except struct.error:
        pass  # Too short for a Parquet file: its reader says so.
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return file


def _footer_at(file: BinaryIO) -> int:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _END.size))
    length, _ = _END.unpack(file.read(_END.size))
    return int(max(0, size - _END.size - length))


class _Checked(io.RawIOBase):
    """A file whose blocks are looked at when they are first read."""

    def __init__(self, path: Path, file: BinaryIO, sums: NDArray[np.uint32], end: int, remedy: str) -> None:
        super().__init__()
        self._path, self._file, self._sums, self._end, self._remedy = path, file, sums, end, remedy
        self._seen = bytearray(len(sums))

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, buffer: Any) -> int:
        at = self._file.tell()
        content = self.read(len(buffer))
        buffer[: len(content)] = content
        assert self._file.tell() == at + len(content)
        return len(content)

    def read(self, size: int | None = -1) -> bytes:
        at = self._file.tell()
        content = self._file.read(-1 if size is None else size)
        first, last = at // _BLOCK, min((at + len(content) - 1) // _BLOCK, len(self._sums) - 1)
        if any(not self._seen[block] for block in range(first, last + 1)):
            for block in range(first, last + 1):
                self._check(block, at, content)
            self._file.seek(at + len(content))
        return content

    def close(self) -> None:
        self._file.close()
        super().close()

    def _check(self, block: int, at: int, content: bytes) -> None:
        if self._seen[block]:
            return
        start, stop = block * _BLOCK, min((block + 1) * _BLOCK, self._end)
        if at <= start and stop <= at + len(content):
            whole: bytes | memoryview = memoryview(content)[start - at : stop - at]
        else:
            self._file.seek(start)
            whole = self._file.read(stop - start)
        if zlib.crc32(whole) != self._sums[block]:
            raise damaged(self._path, self._remedy)
        self._seen[block] = 1
