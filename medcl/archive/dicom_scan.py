"""The DICOM half of a scan: what need not be read again, and what is in all series once the files are read."""

import json
import posixpath
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Iterator
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, Self

from medcl import files
from medcl.archive.dicom_file_record import CodedFile
from medcl.archive.file_state import state
from medcl.archive.path_ids import compile_pattern
from medcl.archive.record import refused
from medcl.archive.sorted_names import SortedNames
from medcl.errors import MedclError, reason
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
            MedclError: the disk is full or unavailable.
        """
        rows = [tuple(getattr(one, name) for name in _COLUMNS) for one in files]
        if not rows:
            return
        try:
            with self._base:
                self._base.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
        except sqlite3.Error as error:
            raise self._failure(error) from error

    def keep(self, root: Path, paths: Container[str]) -> SortedNames:
        """Forget the files that have changed since they were read, or are not among `paths`.

        Returns:
            Those that need not be read again.
        """
        changed, kept = [], SortedNames()
        for path, size, mtime_ns in self._base.execute("SELECT path, size, mtime_ns FROM files"):
            try:
                about = (root / path).stat() if path in paths else None
            except OSError:
                about = None
            if about is not None and (about.st_size, about.st_mtime_ns) == (size, mtime_ns):
                kept.add(path)
            else:
                changed.append((path,))
        with self._base:
            self._base.executemany("DELETE FROM files WHERE path = ?", changed)
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
        """The files of one series after the other, by path, in the order of the first paths."""
        with self._base:
            self._base.execute("CREATE INDEX IF NOT EXISTS by_series ON files (series, path)")
        of_one = f"SELECT {', '.join(_COLUMNS)} FROM files WHERE series IS ? ORDER BY path"
        for series in self._base.execute("SELECT series FROM files GROUP BY series ORDER BY MIN(path)"):
            yield [CodedFile(*row) for row in self._base.execute(of_one, series)]

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


Row = dict[str, Any]
ReadFiles = Callable[[list[str]], None]


class KnownSeries:
    """The series of an earlier scan whose files are all there and unchanged.

    Args:
        rows: of the earlier scan, of DICOM volumes.
        root: of the archive.
        files: that are there, relative to the root.
    """

    def __init__(self, rows: Iterable[Row], root: Path, files: Container[str]) -> None:
        self.rows: dict[int, list[Row]] = {}
        together: dict[int, list[Row]] = defaultdict(list)
        for row in rows:
            if row["series"] is not None:
                together[row["series"]].append(row)
        for series, members in together.items():
            if all(row["found_status"] == "ok" and _same(root, row, files) for row in members):
                self.rows[series] = members

    def files(self, series: Iterable[int] | None = None) -> set[str]:
        """The files of some series, of all by default, relative to the root."""
        chosen = self.rows if series is None else series
        return {path for number in chosen for row in self.rows[number] for path in files_of(row)}

    def drop(self, series: Iterable[int]) -> None:
        """Forget series, since files have come to them: they are divided anew."""
        for number in series:
            del self.rows[number]


def volumes(
    spool: Spool,
    known: KnownSeries,
    read: ReadFiles,
    *,
    root: Path,
    id_pattern: str | None,
    salt: bytes,
    zero_is_id: bool,
) -> Iterator[Row]:
    """The rows of all DICOM volumes, those of an earlier scan first; series by series, in little memory.

    Args:
        spool: with every file that was read.
        known: series that were not.
        read: reads files and adds them to the spool.
        root: of the archive.
        id_pattern: of ids.
        salt: of the codes.
        zero_is_id: whether 0 in a path is a patient like the others.
    """
    grown = spool.series() & known.rows.keys()
    if grown:
        again = known.files(grown)
        known.drop(grown)
        read(sorted(again))
    first_days = spool.first_days()
    rows = [row for members in known.rows.values() for row in members]
    if not first_days and not spool.series():
        yield from rows
        return
    # The readers of DICOM take their time to load: only where there is something to read.
    from medcl.archive.dicom_series import count_from_first, kept_first_days, series_rows

    pattern = compile_pattern(id_pattern) if id_pattern is not None else None
    before = kept_first_days(rows, first_days, root, pattern, salt, zero_is_id=zero_is_id)
    first_days |= {patient: min(first_days[patient], day) for patient, day in before.items()}
    yield from count_from_first(rows, before, first_days)
    for slices in spool.by_series():
        try:
            yield from series_rows(slices, first_days, salt)
        except Exception as error:
            yield refused(slices[0].path, reason(error)) | {"format": "dicom", "series": slices[0].series}


def files_of(row: Row) -> list[str]:
    """The files of a row, relative to the root."""
    folder = str(PurePosixPath(row["path"]).parent)
    return [posixpath.normpath(posixpath.join(folder, name)) for name in row["files"]]


def _same(root: Path, row: Row, files: Container[str]) -> bool:
    now = state(root, row["path"], row["files"])
    same = (now["size"], now["mtime_ns"]) == (row["size"], row["mtime_ns"])
    return same and all(one in files for one in files_of(row))
