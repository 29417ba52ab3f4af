"""What a scan has found so far, on disk: a scan that was killed goes on from it."""

import json
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from medcl import files
from medcl.checksums import checksum


class Journal:
    """Lines of JSON, each behind its checksum: first the settings of the scan, then the rows of each finished chunk.

    Args:
        path: of the file.
        settings: of the scan; rows found with others are not taken over.

    Raises:
        MedclError: it cannot be written.
    """

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        self.path = path
        self.rows = _rows(path, settings)
        files.write(path, _line(settings) + _line(self.rows), private=True)
        try:
            self._file = path.open("a", encoding="utf-8")
        except OSError as error:
            raise files.unwritable(path, error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, rows: Iterable[dict[str, Any]]) -> None:
        """Save rows; they are on their way to the disk when this returns.

        Args:
            rows: of a chunk.

        Raises:
            MedclError: the disk is full, or gone.
        """
        self._write(list(rows))

    def _write(self, value: Any) -> None:
        try:
            self._file.write(_line(value))
            self._file.flush()
        except OSError as error:
            raise files.unwritable(self.path, error) from error


def _rows(path: Path, settings: dict[str, Any]) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    rows: list[dict[str, Any]] = []
    try:
        with path.open(encoding="utf-8") as file:
            if _value(next(file, "")) != settings:
                return []
            for line in file:
                rows += _value(line)
    except (OSError, ValueError, RecursionError):
        # The last line of a killed scan may be cut short: what stands before it counts.
        pass
    return rows


def _line(value: Any) -> str:
    text = json.dumps(value)
    return f"{checksum(text)} {text}\n"


def _value(line: str) -> Any:
    """What a line holds.

    Raises:
        ValueError: it is not what was written.
    """
    known, _, text = line.rstrip("\n").partition(" ")
    if known != checksum(text):
        raise ValueError("a line that was cut short or is damaged")
    return json.loads(text)
