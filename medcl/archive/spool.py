"""The slices of an archive on their way from its files to its series: on disk, so that memory does not grow."""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from medcl import files
from medcl.archive.dicom_file_record import CodedFile
from medcl.errors import MedclError
from medcl.files import claim

_TABLES = """
CREATE TABLE IF NOT EXISTS settings (value TEXT);
CREATE TABLE IF NOT EXISTS files (
    path TEXT PRIMARY KEY, size INTEGER, mtime_ns INTEGER, series INTEGER, patient INTEGER, day INTEGER, slices TEXT,
    alone INTEGER
) WITHOUT ROWID;
"""
_COLUMNS = ("path", "size", "mtime_ns", "series", "patient", "day", "slices", "alone")
_AT_ONCE = 500  # variables of a statement


class Spool:
    """A database of the DICOM files that a scan has read. It holds codes, never an id or a date in clear.

    Args:
        path: of the file; one of a killed scan with the same settings is taken over. None: it goes with the process.
        settings: of the scan.

    Raises:
        MedclError: it cannot be written.
    """

    def __init__(self, path: Path | None, settings: dict[str, Any]) -> None:
        self.path = path
        wanted = json.dumps(settings, sort_keys=True)
        try:
            self._open()
            if self._settings() != wanted:
                self._start_anew(wanted)
        except sqlite3.DatabaseError:
            # A damaged file, or something else under its name: what was read before is read again.
            self._start_anew(wanted)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._base.close()
        if kind is None and self.path is not None:
            self.path.unlink(missing_ok=True)

    def add(self, files: Iterable[CodedFile]) -> None:
        """Keep files; they are on their way to the disk when this returns.

        Raises:
            MedclError: the disk is full, or gone.
        """
        rows = [tuple(getattr(one, name) for name in _COLUMNS) for one in files]
        if not rows:
            return
        try:
            with self._base:
                self._base.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
        except sqlite3.Error as error:
            raise self._failure(error) from error

    def keep(self, root: Path, paths: Iterable[str]) -> set[str]:
        """Forget the files that have changed since they were read, or are not among `paths`.

        Returns:
            Those that need not be read again.
        """
        wanted, gone, kept = set(paths), [], set()
        for path, size, mtime_ns in self._base.execute("SELECT path, size, mtime_ns FROM files"):
            try:
                about = (root / path).stat() if path in wanted else None
            except OSError:
                about = None
            if about is not None and (about.st_size, about.st_mtime_ns) == (size, mtime_ns):
                kept.add(path)
            else:
                gone.append((path,))
        with self._base:
            self._base.executemany("DELETE FROM files WHERE path = ?", gone)
        return kept

    def series(self) -> set[int]:
        """The codes of the series that have files here."""
        return {number for (number,) in self._base.execute("SELECT DISTINCT series FROM files")}

    def first_days(self) -> dict[int, int]:
        """Patient -> the first of their days."""
        return dict(
            self._base.execute(
                "SELECT patient, MIN(day) FROM files WHERE patient IS NOT NULL AND day IS NOT NULL GROUP BY patient"
            )
        )

    def by_series(self) -> Iterator[list[CodedFile]]:
        """The files of one series after the other, by path."""
        with self._base:
            self._base.execute("CREATE INDEX IF NOT EXISTS by_series ON files (series, path)")
        files: list[CodedFile] = []
        for row in self._base.execute(f"SELECT {', '.join(_COLUMNS)} FROM files ORDER BY series, path"):
            one = CodedFile(*row)
            if files and files[0].series != one.series:
                yield files
                files = []
            files.append(one)
        if files:
            yield files

    def _open(self) -> None:
        try:
            if self.path is not None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                if not self.path.exists():
                    claim(self.path)
            self._base = sqlite3.connect(self.path or "")
        except (OSError, sqlite3.Error) as error:
            raise self._failure(error) from error
        # A power cut may cost the spool, which costs time only; a process that is killed costs nothing.
        self._base.execute("PRAGMA synchronous = OFF")
        self._base.executescript(_TABLES)

    def _settings(self) -> str | None:
        row = self._base.execute("SELECT value FROM settings").fetchone()
        return None if row is None else str(row[0])

    def _start_anew(self, wanted: str) -> None:
        self._base.close()
        try:
            if self.path is not None:
                self.path.unlink(missing_ok=True)
                self.path.with_name(f"{self.path.name}-journal").unlink(missing_ok=True)
            self._open()
            with self._base:
                self._base.execute("INSERT INTO settings VALUES (?)", (wanted,))
        except (OSError, sqlite3.Error) as error:
            raise self._failure(error) from error

    def _failure(self, error: Exception) -> MedclError:
        why = files.write_reason(error) if isinstance(error, OSError) else "the disk takes no more, or is read-only"
        return MedclError(f"{self.path or 'temporary folder'}: the slices found so far cannot be kept: {why}")
