"""What a scan has found so far, on disk: a scan that was killed goes on from it, and memory does not hold it."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.compute as pc

from medcl.archive.schema import SCHEMA
from medcl.errors import MedclError, system_reason
from medcl.files import checksum, claim

_KEY, _SUM = b"settings", b"crc32"


class Journal:
    """A stream of Arrow: the settings of the scan, then the rows of each finished chunk.

    To iterate over it reads the rows again, batch by batch, in the order of the first path of each.

    Args:
        path: of the file; None keeps the rows in memory.
        settings: of the scan; rows found with others are not taken over.
        unchanged: chooses the rows of a killed scan that still hold.

    Raises:
        MedclError: it cannot be written, or the file is not what was written.
    """

    def __init__(
        self, path: Path | None, settings: dict[str, Any], unchanged: Callable[[pa.RecordBatch], pa.RecordBatch]
    ) -> None:
        self.path = path
        # The first path of each batch, and the batch, or where it is in the file, its size and its checksum.
        self._batches: list[tuple[str, Any]] = []
        if path is None:
            return
        draft = path.with_name(f"{path.name}.new")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = claim(draft).open("w+b")
            schema = SCHEMA.with_metadata({_KEY: json.dumps(settings)})
            self._stream = pa.ipc.new_stream(self._file, schema)
        except OSError as error:
            raise self._failure(error) from error
        # The settings reach the file with the first batch only.
        self._write(pa.RecordBatch.from_pylist([], schema=SCHEMA))
        for batch in _saved(path, settings):
            self.add(unchanged(batch))
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
        if len(rows):
            self._batches.append((pc.min(rows["path"]).as_py(), rows if self.path is None else self._write(rows)))

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        for _, batch in sorted(self._batches, key=lambda one: one[0]):
            yield batch if self.path is None else self._read(*batch)

    def _write(self, rows: pa.RecordBatch) -> tuple[int, int, str]:
        content = checksum(rows.serialize())
        try:
            start = self._file.tell()
            self._stream.write_batch(rows, custom_metadata={_SUM: content})
            self._file.flush()
            return start, self._file.tell() - start, content
        except OSError as error:
            raise self._failure(error) from error

    def _read(self, start: int, size: int, content: str) -> pa.RecordBatch:
        try:
            # The file that was opened, whatever lies under its name by now.
            message = pa.ipc.read_message(os.pread(self._file.fileno(), size, start))
            rows = pa.ipc.read_record_batch(message, SCHEMA)
            if checksum(rows.serialize()) == content:
                return rows
        except (OSError, ValueError):
            pass
        raise MedclError(f"{self.path}: the journal of the scan was changed: remove it and scan again")

    def _failure(self, error: OSError) -> MedclError:
        return MedclError(f"{self.path}: the journal of the scan cannot be written: {system_reason(error)}")


def _saved(path: Path, settings: dict[str, Any]) -> Iterator[pa.RecordBatch]:
    """The batches of an earlier scan with the same settings, each held against its checksum."""
    # The last chunk of a killed scan may be cut short: what stands before it counts.
    with suppress(OSError, ValueError, RecursionError, StopIteration):
        stream = pa.ipc.open_stream(pa.OSFile(str(path)))
        if json.loads((stream.schema.metadata or {}).get(_KEY, b"null")) != settings:
            return
        while True:
            batch, about = stream.read_next_batch_with_custom_metadata()
            if (about or {}).get(_SUM) != checksum(batch.serialize()).encode():
                return
            yield batch
