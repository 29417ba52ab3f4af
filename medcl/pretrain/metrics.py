"""metrics.csv: one row a step, whole after a crash, cut back when a run resumes."""

import csv
from pathlib import Path


class MetricsFile:
    """Appends rows to a CSV file.

    Args:
        path: of the file.
        keep_below: rows of later steps than this are dropped, since a resumed run repeats them.
    """

    def __init__(self, path: Path, *, keep_below: int) -> None:
        rows: list[dict[str, str]] = []
        if keep_below and path.is_file():
            with path.open(newline="") as file:
                rows = [row for row in csv.DictReader(file) if int(row["step"]) <= keep_below]
        self._file = path.open("w", newline="")
        self._writer: csv.DictWriter[str] | None = None
        for row in rows:
            self.write(row)

    def write(self, row: dict[str, float] | dict[str, str]) -> None:
        """Write one row; the first one names the columns."""
        if self._writer is None:
            self._writer = csv.DictWriter(self._file, list(row))
            self._writer.writeheader()
        self._writer.writerow(row)
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
