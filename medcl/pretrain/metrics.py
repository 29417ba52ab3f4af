"""metrics.csv: one row a step, whole after a crash, cut back when a run resumes."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path


class MetricsFile:
    """Appends rows to a CSV file.

    Args:
        path: of the file.
        keep_below: rows of later steps than this are dropped, since a resumed run repeats them.
        columns: of the file; empty: those of the first row.
    """

    def __init__(self, path: Path, *, keep_below: int, columns: Sequence[str] = ()) -> None:
        rows: list[dict[str, str]] = []
        if keep_below and path.is_file():
            with path.open(newline="") as file:
                rows = [row for row in csv.DictReader(file) if int(row["step"]) <= keep_below]
        self._file = path.open("w", newline="")
        self._columns = columns
        self._writer: csv.DictWriter[str] | None = None
        for row in rows:
            self.write(row)

    def write(self, row: Mapping[str, float | str]) -> None:
        """Write one row; a column that it does not have stays empty."""
        if self._writer is None:
            self._writer = csv.DictWriter(self._file, list(self._columns or row))
            self._writer.writeheader()
        self._writer.writerow(row)
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
