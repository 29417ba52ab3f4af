"""metrics.csv: one row a step, whole after a crash, cut back when a run resumes."""

import csv
import io
import os
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

from medcl import files
from medcl.engine.fabric import Fabric
from medcl.errors import MedclError
from medcl.runs import BOARD, METRICS


class Board:
    """A file of events in a folder; TensorBoard shows all files of the folder as one run.

    The writer of the library works in a thread, which does not say that the disk is full.

    Args:
        folder: of the events; made if need be.

    Raises:
        MedclError: it cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        files.make_folder(folder)
        self._path = folder / f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}.0"
        try:
            self._file = self._path.open("ab")
        except OSError as error:
            raise files.unwritable(self._path, error) from error
        self._records: Any = RecordWriter(self._file)
        self._write(Event(wall_time=time.time(), file_version="brain.Event:2"))

    def write(self, values: Mapping[str, float], step: int) -> None:
        """Write the values of a step, by name.

        Raises:
            MedclError: the disk is full.
        """
        summary = Summary(value=[Summary.Value(tag=name, simple_value=value) for name, value in values.items()])
        self._write(Event(wall_time=time.time(), step=step, summary=summary))

    def close(self) -> None:
        """Close the file; every row is flushed, or its error was told."""
        with suppress(OSError):
            self._file.close()

    def _write(self, event: Event) -> None:
        try:
            self._records.write(event.SerializeToString())
            self._file.flush()
        except OSError as error:
            raise files.unwritable(self._path, error) from error


class Log:
    """What the first process tells: a row a step in metrics.csv, events for TensorBoard, and Fabric's loggers."""

    def __init__(self, folder: Path, step: int, columns: Sequence[str], fabric: Fabric) -> None:
        self._file = MetricsFile(folder / METRICS, keep_below=step, columns=columns)
        self._board, self._fabric = Board(folder / BOARD), fabric

    def close(self) -> None:
        """Close the files."""
        self._file.close()
        self._board.close()

    def write(self, row: Mapping[str, float | str]) -> None:
        """Write a row of metrics.csv."""
        self._file.write(row)

    def tell(self, values: Mapping[str, float], step: int) -> None:
        """Tell TensorBoard and the loggers of values."""
        self._board.write(values, step)
        self._fabric.log_dict(values, step)


class MetricsFile:
    """Appends rows to a CSV file.

    Args:
        path: of the file.
        keep_below: rows of later steps than this are dropped, since a resumed run repeats them.
        columns: of the file.

    Raises:
        MedclError: it cannot be written, or what is there is damaged.
    """

    def __init__(self, path: Path, *, keep_below: int, columns: Sequence[str]) -> None:
        self._path = path
        kept = io.StringIO()
        writer = csv.DictWriter(kept, list(columns))
        writer.writeheader()
        writer.writerows(_rows(path, keep_below) if keep_below else [])
        # In one move: a process that is killed now loses no row.
        files.write(path, kept.getvalue())
        try:
            self._file = path.open("a", newline="", encoding="utf-8")
        except OSError as error:
            raise files.unwritable(path, error) from error
        self._writer = csv.DictWriter(self._file, list(columns))

    def write(self, row: Mapping[str, float | str]) -> None:
        """Write one row; a column that it does not have stays empty.

        Raises:
            MedclError: the disk is full.
        """
        try:
            self._writer.writerow(row)
            self._file.flush()
        except OSError as error:
            raise files.unwritable(self._path, error) from error

    def close(self) -> None:
        """Close the file; every row is flushed, or its error was told."""
        with suppress(OSError):
            self._file.close()


def _rows(path: Path, last: int) -> list[dict[str, str]]:
    """The rows up to a step; a line that was not finished counts for nothing."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        rows = csv.DictReader(line for line in lines if line.endswith("\n"))
        return [row for row in rows if int(row["step"]) <= last]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise MedclError(f"{path}: damaged: remove it, and the same command goes on without the rows so far") from error
