"""Label tables, read as text: a number that is an id, such as 007 or 15709.0, stays what was written."""

import csv
import glob
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from medcl.archive.json_table import read_json, read_json_lines
from medcl.errors import MedclError, UsageError

FILE_COLUMN = "{file}"
"""Column of a table of several files: the stem of the file that a row stands in, such as `train`."""

_MISSING = frozenset({"", "NA", "N/A", "NaN", "nan", "null"})
_JSON = {".json": read_json, ".jsonl": read_json_lines}
_LONGEST = 2**31 - 1  # characters of a cell: a report is longer than the 131,072 that the csv module allows at first
_WHOLE_NUMBER = re.compile(r"([+-]?\d+)(?:\.0*)?", re.ASCII)


@dataclass(frozen=True)
class LabelTable:
    """A table of text cells.

    Args:
        path: where it was read from; of several files, the pattern or the first of them.
        columns: name -> cells; None where a cell is empty or one of NA, N/A, NaN, nan, null.
        files: (rows,) the file of each row.
    """

    path: Path
    columns: dict[str, list[str | None]]
    files: Sequence[Path] = ()

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), []))

    def column(self, name: str) -> list[str | None]:
        """The cells of a column.

        Raises:
            UsageError: there is no such column; lists those there are.
        """
        if name not in self.columns:
            raise UsageError(f"{self.path}: no column {name!r}; there are {', '.join(map(repr, self.columns))}")
        return self.columns[name]

    def codes(self, name: str) -> list[str | None]:
        """The cells of a column of ids or codes: where all of them are whole numbers, 15709.0 is 15709.

        Raises:
            UsageError: there is no such column.
        """
        cells = self.column(name)
        matches = [None if cell is None else _WHOLE_NUMBER.fullmatch(cell) for cell in cells]
        if any(match is None and cell is not None for match, cell in zip(matches, cells, strict=True)):
            return cells
        return [match and match[1] for match in matches]


def read_table(path: Path | str | Sequence[Path | str]) -> LabelTable:
    """Read a label table.

    .csv (comma, or semicolon where the heading has no comma), .tsv, .parquet; .json is a list of objects, .jsonl one
    object a line. The keys of nested objects are joined with dots: `Description.Caption`.

    Args:
        path: the table; or several files of one table, as a list or as a glob (`descriptions_*.jsonl`). Their rows
            follow one another, by name where a glob finds them, and the column `{file}` tells the stem of each row's
            file. All have the same columns, but for JSON, where a key may be missing.

    Returns:
        Its cells as text. List cells of Parquet and JSON are joined with `|`.

    Raises:
        UsageError: no such file, or another suffix.
        MedclError: it is not a table: not UTF-8, a heading twice, a row of another length, no row.
    """
    given = [Path(one) for one in ([path] if isinstance(path, str | Path) else path)]
    files = [file for one in given for file in _found(one)]
    if not files:
        raise UsageError("a label table of no file")
    if len(files) == 1:
        return _read_file(files[0])
    tables = [_read_file(file) for file in files]
    names = list(dict.fromkeys(name for table in tables for name in table.columns))
    for table in tables:
        missing = [name for name in names if name not in table.columns]
        if missing and table.path.suffix.lower() not in _JSON:
            raise MedclError(f"{table.path}: no column {missing[0]!r}, which another file of the table has")
    columns = {
        name: [cell for table in tables for cell in table.columns.get(name, [None] * len(table))] for name in names
    }
    columns[FILE_COLUMN] = [table.path.stem for table in tables for _ in range(len(table))]
    return LabelTable(given[0], columns, [file for table in tables for file in table.files])


def _found(path: Path) -> list[Path]:
    """The files of a glob; a file is itself, whatever its name."""
    if path.is_file() or not glob.has_magic(str(path)):
        return [path]
    files = [Path(name) for name in sorted(glob.glob(str(path), recursive=True)) if Path(name).is_file()]
    if not files:
        raise UsageError(f"{path}: the pattern matches no file")
    return files


def _read_file(path: Path) -> LabelTable:
    readers = {".csv": _read_text, ".tsv": _read_text, ".parquet": _read_parquet} | _JSON
    if path.suffix.lower() not in readers:
        raise UsageError(f"{path}: a label table is .csv, .tsv, .parquet, .json or .jsonl")
    if not path.is_file():
        raise UsageError(f"{path}: no such file")
    names, rows = readers[path.suffix.lower()](path)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise MedclError(f"{path}: the column {twice[0]!r} occurs twice")
    if not rows:
        raise MedclError(f"{path}: the table has no rows")
    cells = [[None if cell in _MISSING else cell for cell in column] for column in zip(*rows, strict=True)]
    return LabelTable(path, dict(zip(names, cells, strict=True)), [path] * len(rows))


def _read_text(path: Path) -> tuple[list[str], list[list[str | None]]]:
    csv.field_size_limit(_LONGEST)
    try:
        # utf-8-sig: spreadsheets write a byte-order mark, which would become part of the first heading.
        with path.open(encoding="utf-8-sig", newline="") as file:
            heading = file.readline()
            file.seek(0)
            delimiter = "\t" if path.suffix.lower() == ".tsv" else ";" if "," not in heading and ";" in heading else ","
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            names = [name.strip() for name in next(reader, [])]
            rows: list[list[str | None]] = []
            for row in reader:
                if row and len(row) != len(names):
                    raise MedclError(f"{path}, line {reader.line_num}: {len(row)} cells under {len(names)} headings")
                if row:
                    rows.append([cell.strip() for cell in row])
    except UnicodeDecodeError as error:
        raise MedclError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8") from error
    except csv.Error as error:
        raise MedclError(f"{path}: not a table of text: {error}") from error
    return names, rows


def _read_parquet(path: Path) -> tuple[list[str], list[list[str | None]]]:
    try:
        table = pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise MedclError(f"{path}: not a Parquet file: {error}") from error
    columns = [[_text(value) for value in column.to_pylist()] for column in table.columns]
    return list(table.column_names), [list(row) for row in zip(*columns, strict=True)]


def _text(value: object) -> str | None:
    if value is None:
        return None
    return "|".join(map(str, value)) if isinstance(value, list) else str(value).strip()
