"""metrics.csv: one row a step, whole after a crash, cut back when a run resumes."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TextIO

from medcl import files
from medcl.errors import MedclError


class MetricsFile:
    """Appends rows to a CSV file.

    Args:
        path: of the file.
        keep_below: rows of later steps than this are dropped, since a resumed run repeats them.
        columns: of the file; empty: those of the first row.

    Raises:
        MedclError: it cannot be written, or what is there is damaged.
    """

    def __init__(self, path: Path, *, keep_below: int, columns: Sequence[str] = ()) -> None:
        self._path, self._columns = path, columns
        self._writer: csv.DictWriter[str] | None = None
        rows = _rows(path, keep_below) if keep_below else []
        kept = io.StringIO()
        self._file: TextIO = kept
        for row in rows:
            self.write(row)
        # In one move: a process that is killed now loses no row.
        files.write(path, kept.getvalue())
        try:
            self._file = path.open("a", newline="", encoding="utf-8")
        except OSError as error:
            raise files.unwritable(path, error) from error
        if rows:
            self._writer = csv.DictWriter(self._file, list(columns or rows[0]))

    def write(self, row: Mapping[str, float | str]) -> None:
        """Write one row; a column that it does not have stays empty.

        Raises:
            MedclError: the disk is full.
        """
        try:
            if self._writer is None:
                self._writer = csv.DictWriter(self._file, list(self._columns or row))
                self._writer.writeheader()
            self._writer.writerow(row)
            self._file.flush()
        except OSError as error:
            raise files.unwritable(self._path, error) from error

    def close(self) -> None:
        """Close the file."""
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
