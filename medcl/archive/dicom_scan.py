"""The DICOM half of a scan: what need not be read again, and what is in all series once the files are read."""

import posixpath
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from medcl.archive.file_state import state
from medcl.archive.path_ids import compile_pattern
from medcl.archive.record import refused
from medcl.archive.spool import Spool
from medcl.errors import reason

Row = dict[str, Any]
DICOM = ("dicom", "dicom-image")
"""Formats of rows that come from DICOM files."""
ReadFiles = Callable[[list[str]], None]


class KnownSeries:
    """The series of an earlier scan whose files are all there and unchanged.

    Args:
        rows: of the earlier scan, of DICOM volumes.
        root: of the archive.
        files: that are there, relative to the root.
    """

    def __init__(self, rows: Iterable[Row], root: Path, files: set[str]) -> None:
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
    for files in spool.by_series():
        try:
            yield from series_rows(files, first_days, salt)
        except Exception as error:
            yield refused(files[0].path, reason(error)) | {"format": "dicom", "series": files[0].series}


def files_of(row: Row) -> list[str]:
    """The files of a row, relative to the root."""
    folder = str(PurePosixPath(row["path"]).parent)
    return [posixpath.normpath(posixpath.join(folder, name)) for name in row["files"]]


def _same(root: Path, row: Row, files: set[str]) -> bool:
    now = state(root, row["path"], row["files"])
    return (now["size"], now["mtime_ns"]) == (row["size"], row["mtime_ns"]) and files.issuperset(files_of(row))
