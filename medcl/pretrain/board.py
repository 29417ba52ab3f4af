"""Events for TensorBoard, written step by step."""

import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

from medcl import files


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
        """Close the file."""
        self._file.close()

    def _write(self, event: Event) -> None:
        try:
            self._records.write(event.SerializeToString())
            self._file.flush()
        except OSError as error:
            raise files.unwritable(self._path, error) from error
