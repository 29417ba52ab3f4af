"""What a scan has found so far, on disk: a scan that was killed goes on from it, and memory does not hold it."""

import json
import mmap
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa

from medcl.archive.schema import SCHEMA
from medcl.errors import MedclError, system_reason
from medcl.files import checksum, claim

_KEY, _SUM = b"settings", b"crc32"


class Journal:
    """A stream of Arrow: the settings of the scan, then the rows of each finished chunk.

    Args:
        path: of the file; None keeps the rows in memory.
        settings: of the scan; rows found with others are not taken over.
        unchanged: chooses the rows of a killed scan that still hold.

    Raises:
        MedclError: it cannot be written.
    """

    def __init__(self, path: Path | None, settings: dict[str, Any], unchanged: Callable[[pa.Table], pa.Table]) -> None:
        self.path = path
        self._batches: list[pa.RecordBatch] = []
        if path is None:
            return
        kept = unchanged(_rows(path, settings))
        draft = path.with_name(f"{path.name}.new")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = claim(draft).open("w+b")
            schema = SCHEMA.with_metadata({_KEY: json.dumps(settings)})
            self._stream = pa.ipc.new_stream(self._file, schema)
        except OSError as error:
            raise self._failure(error) from error
        # The settings reach the file with the first batch only.
        self.add(pa.RecordBatch.from_pylist([], schema=SCHEMA))
        for batch in kept.to_batches(max_chunksize=4096):
            self.add(batch)
        draft.replace(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.path is not None:
            self._file.close()

    def add(self, rows: pa.RecordBatch) -> None:
        """Save rows; they are on their way to the disk when this returns.

        Args:
            rows: of a chunk, with the columns of `schema.SCHEMA`.

        Raises:
            MedclError: the disk is full or unavailable.
        """
        if self.path is None:
            self._batches.append(rows)
            return
        try:
            self._stream.write_batch(rows, custom_metadata={_SUM: checksum(rows.serialize())})
            self._file.flush()
        except OSError as error:
            raise self._failure(error) from error

    def table(self) -> pa.Table:
        """All rows; those of a file are mapped, not read.

        Raises:
            MedclError: the file is not what was written.
        """
        if self.path is None:
            return pa.Table.from_batches(self._batches, schema=SCHEMA)
        # The file that was opened, whatever lies under its name by now.
        mapped = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        try:
            return pa.Table.from_batches(_batches(pa.ipc.open_stream(pa.py_buffer(mapped))), schema=SCHEMA)
        except (OSError, ValueError) as error:
            raise MedclError(f"{self.path}: the journal of the scan was changed: remove it and scan again") from error

    def _failure(self, error: OSError) -> MedclError:
        return MedclError(f"{self.path}: the journal of the scan cannot be written: {system_reason(error)}")


def _rows(path: Path, settings: dict[str, Any]) -> pa.Table:
    """The rows of an earlier scan with the same settings."""
    batches: list[pa.RecordBatch] = []
    try:
        stream = pa.ipc.open_stream(pa.memory_map(str(path)))
        if json.loads((stream.schema.metadata or {}).get(_KEY, b"null")) == settings:
            batches.extend(_batches(stream))
    except (OSError, ValueError, RecursionError):
        # The last chunk of a killed scan may be cut short: what stands before it counts.
        pass
    return pa.Table.from_batches(batches, schema=SCHEMA) if batches else SCHEMA.empty_table()


def _batches(stream: Any) -> Iterator[pa.RecordBatch]:
    """The batches of a stream, each held against its checksum.

    Raises:
        ValueError: one is not what was written.
    """
    with suppress(StopIteration):
        while True:
            batch, about = stream.read_next_batch_with_custom_metadata()
            if (about or {}).get(_SUM) != checksum(batch.serialize()).encode():
                raise ValueError("rows that are damaged")
            yield batch
