"""Label tables, read as text: a number that is an id, such as 007 or 15709.0, stays what was written."""

import glob
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from medcl.archive.json_table import read_json, read_json_lines
from medcl.errors import MedclError, UsageError, no_such, system_reason
from medcl.modality.cells import Column, are_numbers, number, numbers, present, whole
from medcl.modality.sheet import Sheet, read_parquet, read_sheet

FILE_COLUMN = "{file}"
"""Column of a table of several files: the stem of the file that a row stands in, such as `train`."""

_JSON = {".json": read_json, ".jsonl": read_json_lines}


@dataclass(frozen=True)
class LabelTable:
    """A table of text cells.

    Args:
        path: where it was read from; of several files, the pattern or the first of them.
        columns: name -> cells; None where a cell holds no value, see `missing.present`.
        files: (rows,) the file of each row.
        written: name -> cells as the file has them.
        numbers: (rows,) the line, row or object of its file that each row is, counted from 1.
        counted: which of these.
        missing: further words for a missing value.
        separator: between the cells of a text file.
        dialect: what is unusual about the file, in words.
    """

    path: Path
    columns: dict[str, list[str | None]]
    files: Sequence[Path] = ()
    written: "dict[str, list[str | None]] | None" = None
    numbers: Sequence[int] = ()
    counted: str = "row"
    missing: tuple[str, ...] = ()
    separator: str = ""
    dialect: str = ""

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), []))

    def column(self, name: str, keep: Collection[str] = ()) -> list[str | None]:
        """The cells of a column.

        Args:
            name: its heading.
            keep: texts that are values, though they are words for a missing one elsewhere.

        Raises:
            UsageError: there is no such column; names the nearest, and lists those there are.
        """
        if name not in self.columns:
            if any(number(heading) is not None for heading in self.columns):
                # What would be listed are cells then, ids among them.
                raise UsageError(
                    f"{self.path}: no column {name!r}; its first line holds numbers: is the heading missing?"
                )
            raise UsageError(f"{self.path}: {no_such('column', name, self.columns)}")
        return present(self.as_written(name), self.missing, keep) if keep else self.columns[name]

    def as_written(self, name: str) -> list[str | None]:
        """The cells of a column with the words for missing values; None where a cell is empty."""
        written = self.columns if self.written is None else self.written
        if name not in written:
            return self.column(name)
        return [cell or None for cell in written[name]]

    def codes(self, name: str, keep: Collection[str] = ()) -> list[str | None]:
        """The cells of a column of ids or codes: where all of them are whole numbers, 15709.0 is 15709.

        Raises:
            UsageError: there is no such column.
        """
        return whole(self.column(name, keep))

    def values(self, name: str, cells: Sequence[str | None]) -> list[float | None]:
        """Numbers of a column, in the decimal mark that the table shows.

        Args:
            name: of the column.
            cells: of it, perhaps with more of them left out.

        Raises:
            UsageError: a cell is no number, or its decimal mark cannot be told.
        """
        # A cell of Parquet or JSON was a number already: its point is decimal.
        return numbers(Column(name, cells, _Places(self)), self.columns.values(), european=self.separator == ";")

    def is_numeric(self, name: str) -> bool:
        """Whether all cells of a column that hold a value are written as numbers, and there is one."""
        cells = self.column(name)
        return any(cell is not None for cell in cells) and are_numbers(cells)

    def place(self, row: int) -> str:
        """Where a row stands, as an error names it: `labels.csv, line 7`."""
        file = self.files[row] if self.files else self.path
        return f"{file}, {self.counted} {self.numbers[row] if self.numbers else row + 1}"


class _Places(Sequence[str]):
    """The places of a table's rows, told where one is asked for."""

    def __init__(self, table: LabelTable) -> None:
        self._table = table

    def __len__(self) -> int:
        return len(self._table)

    def __getitem__(self, row: int) -> str:  # type: ignore[override]
        return self._table.place(row)


def read_table(path: Path | str | Sequence[Path | str], missing: Iterable[str] = ()) -> LabelTable:
    """Read a label table.

    .csv and .tsv with any of the usual separators and encodings (see `sheet.read_sheet`), .parquet; .json is a list of
    objects, .jsonl one object a line. The keys of nested objects are joined with dots: `Description.Caption`.

    Args:
        path: the table; or several files of one table, as a list or as a glob (`descriptions_*.jsonl`). Their rows
            follow one another, by name where a glob finds them, and the column `{file}` tells the stem of each row's
            file. All have the same columns, but for JSON, where a key may be missing.
        missing: words for a missing value, beside those of `medcl.modality.cells`.

    Returns:
        Its cells as text. List cells of Parquet and JSON are joined with `|`.

    Raises:
        UsageError: no such file, or another suffix.
        MedclError: it is not a table: in no known encoding, a heading twice, a row of another length, no row.
    """
    given = [Path(one) for one in ([path] if isinstance(path, str | Path) else path)]
    files = [file for one in given for file in _found(one)]
    if not files:
        raise UsageError("a label table of no file")
    words = tuple(missing)
    sheets = [_read_file(file) for file in files]
    names = list(dict.fromkeys(name for sheet in sheets for name in sheet.names))
    for file, sheet in zip(files, sheets, strict=True):
        lacking = [name for name in names if name not in sheet.names]
        if lacking and file.suffix.lower() not in _JSON:
            raise MedclError(f"{file}: no column {lacking[0]!r}, which another file of the table has")
    written = {name: [cell for sheet in sheets for cell in _cells(sheet, name)] for name in names}
    columns = {name: present(cells, words) for name, cells in written.items()}
    if len(files) > 1:
        stems: list[str | None] = [file.stem for file, sheet in zip(files, sheets, strict=True) for _ in sheet.rows]
        columns[FILE_COLUMN] = written[FILE_COLUMN] = stems
    return LabelTable(
        path=given[0],
        columns=columns,
        files=[file for file, sheet in zip(files, sheets, strict=True) for _ in sheet.rows],
        written=written,
        numbers=[number for sheet in sheets for number in sheet.numbers],
        counted=sheets[0].counted,
        missing=words,
        separator=sheets[0].separator,
        dialect=next((sheet.dialect for sheet in sheets if sheet.dialect), ""),
    )


def _cells(sheet: Sheet, name: str) -> list[str | None]:
    if name not in sheet.names:
        return [None] * len(sheet.rows)
    position = sheet.names.index(name)
    return [row[position] for row in sheet.rows]


def _found(path: Path) -> list[Path]:
    """The files of a glob; a file is itself, whatever its name."""
    if path.is_file() or not glob.has_magic(str(path)):
        return [path]
    files = [Path(name) for name in sorted(glob.glob(str(path), recursive=True)) if Path(name).is_file()]
    if not files:
        raise UsageError(f"{path}: the pattern matches no file")
    return files


def _read_file(path: Path) -> Sheet:
    readers = {".csv": read_sheet, ".tsv": read_sheet, ".txt": read_sheet, ".parquet": read_parquet} | _JSON
    if path.suffix.lower() not in readers:
        raise UsageError(f"{path}: a label table is .csv, .tsv, .txt, .parquet, .json or .jsonl")
    if not path.is_file():
        raise UsageError(f"{path}: no such file")
    try:
        sheet = readers[path.suffix.lower()](path)
    except OSError as error:
        raise MedclError(f"{path}: cannot be read: {system_reason(error)}") from error
    twice = sorted({name for name in sheet.names if sheet.names.count(name) > 1})
    if twice:
        what = f"the column {twice[0]!r} occurs twice" if twice[0] else "several columns without a heading"
        if any(number(name) is not None for name in sheet.names):
            what = "its first line holds numbers, some of them twice: is the heading missing?"
        raise MedclError(f"{path}: {what}: give each column a heading of its own")
    if not sheet.rows:
        raise MedclError(f"{path}: the table has no rows")
    return sheet
