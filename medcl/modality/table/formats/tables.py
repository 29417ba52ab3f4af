"""Read tables of patients: a row a patient, a row a time, or a row a value (long form); CSV, TSV, Parquet."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from medcl.errors import UnreadableError
from medcl.modality.cells import is_missing, whole
from medcl.modality.sheet import Sheet
from medcl.modality.table.formats.columns import Read, hours, read_column
from medcl.modality.table.formats.headings import (
    Roles,
    SideCar,
    hours_of,
    is_patient,
    name_and_unit,
    one_spelling,
    open_sheet,
    roles,
    side_car,
    without_units,
)
from medcl.modality.table.record import Floats, PatientTable, TableHeader, Variable


def read_headers(path: Path, format: str) -> list[TableHeader]:
    """What a table says of itself and of each of its records.

    Args:
        path: of the file.
        format: `patient-table` or `time-table`.

    Raises:
        UnreadableError: with what is wrong.
    """
    beside = side_car(path).file
    files = (path.name, beside) if beside else (path.name,)
    headers = []
    for part, one in enumerate(read_tables(path)):
        rows = 1 if one.times is None else len(one.times)
        headers.append(TableHeader(format, one.variables, rows, part, one.ids, files, one.flags))
    return headers


def read_table(path: Path, part: int = 0) -> PatientTable:
    """Read one record of a table.

    Raises:
        UnreadableError: with what is wrong.
    """
    tables = read_tables(path)
    if not 0 <= part < len(tables):
        raise UnreadableError(f"no record {part}: the table has {len(tables)}")
    return tables[part]


def read_tables(path: Path) -> tuple[PatientTable, ...]:
    """Read every record of a table, in the order in which each first occurs.

    Returns:
        One a patient, or one for each study or series where the side-car names their columns.

    Raises:
        UnreadableError: with what is wrong.
    """
    beside = path.with_suffix(".json")
    state = tuple((one.stat().st_mtime_ns, one.stat().st_size) for one in (path, beside) if one.is_file())
    return _read_tables(path, state)


# Every record of a file of thousands asks for it.
@lru_cache(maxsize=2)
def _read_tables(path: Path, state: object) -> tuple[PatientTable, ...]:
    beside = side_car(path)
    sheet = open_sheet(path)
    own = roles(sheet.names, beside)
    sheet, stated = without_units(sheet, own)
    table = _Table(sheet, own, beside, stated, [f"{sheet.counted} {number}" for number in sheet.numbers])
    if table.roles.is_long:
        return _long(table)
    return _rows_in_time(table) if table.roles.time >= 0 else _wide(table)


@dataclass(frozen=True)
class _Table:
    """A sheet, and what its columns are.

    Args:
        sheet: without the row of units.
        roles: of the columns.
        beside: the side-car.
        stated: column -> unit, of the row of units.
        places: (rows,) such as `line 7`.
    """

    sheet: Sheet
    roles: Roles
    beside: SideCar
    stated: dict[int, str]
    places: list[str]

    def cells(self, column: int) -> list[str | None]:
        """Of a column, or of those of a role; None where they are missing."""
        return [None if is_missing(row[column]) else row[column] for row in self.sheet.rows]

    def unit(self, column: int) -> str:
        """Of a column.

        Raises:
            UnreadableError: two places state different ones.
        """
        heading = self.sheet.names[column]
        name, own = name_and_unit(heading)
        units = self.beside.units
        found = {unit for unit in (own, self.stated.get(column, ""), units.get(heading, units.get(name, ""))) if unit}
        if len(found) > 1:
            raise UnreadableError(f"column {name!r}: units {' and '.join(sorted(found))}; state one of them")
        return next(iter(found), "")

    def read(self, name: str, unit: str, cells: Sequence[str | None], places: Sequence[str]) -> Read:
        """The values of a variable."""
        beside = self.beside
        return read_column(
            Variable(name, unit),
            cells,
            places,
            levels=beside.levels.get(name),
            missing=beside.missing.get(name, ()),
            european=self.sheet.separator == ";",
        )

    def groups(self) -> list[tuple[dict[str, str], list[int]]]:
        """Clear ids, and rows that have them.

        Raises:
            UnreadableError: an id is missing.
        """
        columns = {level: whole(self.cells(column)) for level, column in self.roles.ids.items()}
        for level, cells in columns.items():
            if None in cells:
                raise UnreadableError(f"{self.places[cells.index(None)]}: no {level} id")
        found: dict[tuple[str | None, ...], list[int]] = {}
        for row, key in enumerate(zip(*columns.values(), strict=True) if columns else [()] * len(self.places)):
            found.setdefault(key, []).append(row)
        return [({level: str(id) for level, id in zip(columns, key, strict=True)}, rows) for key, rows in found.items()]

    def times(self, rows: Sequence[int], cells: Sequence[str | None]) -> Floats:
        """Hours of some rows, whose cells are given."""
        factor = hours_of(self.sheet.names[self.roles.time], self.unit(self.roles.time))
        return hours([cells[row] for row in rows], [self.places[row] for row in rows], factor)


def _columns(table: _Table) -> list[Read]:
    """The variables of a table that is not in long form."""
    free = [i for i in range(len(table.sheet.names)) if i not in table.roles.taken]
    every = {i: [row[i] for row in table.sheet.rows] for i in free}
    return [table.read(name_and_unit(table.sheet.names[i])[0], table.unit(i), every[i], table.places) for i in free]


def _wide(table: _Table) -> tuple[PatientTable, ...]:
    groups = table.groups()
    again = next((rows for _, rows in groups if len(rows) > 1), None)
    if again is not None:
        where = f"{table.places[again[0]]} and {table.places[again[1]]}"
        if not table.roles.ids:
            raise UnreadableError("several rows and no patient column: name it in the side-car")
        raise UnreadableError(f"{where} have the same ids: name a column of studies or of times in the side-car")
    read = _columns(table)
    values = np.stack([one.values for one in read], axis=1) if read else np.empty((len(table.places), 0))
    return _made(table, read, ((ids, values[rows], None) for ids, rows in groups))


def _rows_in_time(table: _Table) -> tuple[PatientTable, ...]:
    read, cells = _columns(table), table.cells(table.roles.time)
    values = np.stack([one.values for one in read], axis=1) if read else np.empty((len(table.places), 0))
    made: list[tuple[dict[str, str], Floats, Floats | None]] = []
    for ids, rows in table.groups():
        times = table.times(rows, cells)
        order = np.argsort(times, kind="stable")
        made.append((ids, values[rows][order], times[order]))
    return _made(table, read, made)


def _long(table: _Table) -> tuple[PatientTable, ...]:
    own = table.roles
    # Not by the words for missing values: `Na` is sodium.
    parameters = [name_and_unit(row[own.parameter] or "") for row in table.sheet.rows]
    by_name: dict[str, list[int]] = {}
    for row, (name, _) in enumerate(parameters):
        by_name.setdefault(name, []).append(row)
    # A row `00:00,RecordID,132539` states whose table it is.
    stated = {name: by_name.pop(name) for name in list(by_name) if is_patient(name)}
    nameless = len(by_name.pop("", []))
    flags = (f"rows without a parameter are left out: {nameless}",) if nameless else ()
    if not by_name:
        raise UnreadableError("no value: the table has ids alone")
    cells = [row[own.value] for row in table.sheet.rows]
    patient = {str(cell) for rows in stated.values() for cell in whole([cells[row] for row in rows])}
    if len(patient) > 1:
        raise UnreadableError("several patient ids in a table without a patient column")
    units = table.cells(own.unit) if own.unit >= 0 else [None] * len(cells)
    read: list[Read] = []
    for name, rows in by_name.items():
        found = {one_spelling(units[row] or "") or parameters[row][1] for row in rows if cells[row]}
        found = {unit for unit in (*found, table.beside.units.get(name, "")) if unit}
        if len(found) > 1:
            raise UnreadableError(f"parameter {name!r}: units {' and '.join(sorted(found))}; convert them to one")
        read.append(
            table.read(name, next(iter(found), ""), [cells[row] for row in rows], [table.places[row] for row in rows])
        )
    long, column = np.full(len(cells), np.nan), np.full(len(cells), -1)
    for i, (rows, one) in enumerate(zip(by_name.values(), read, strict=True)):
        long[rows], column[rows] = one.values, i
    at = table.cells(own.time) if own.time >= 0 else []
    made: list[tuple[dict[str, str], Floats, Floats | None]] = []
    for ids, rows in table.groups():
        kept = [row for row in rows if column[row] >= 0]
        times = table.times(kept, at) if own.time >= 0 else np.zeros(len(kept))
        values, times = _pivoted(times, column[kept], long[kept], len(read))
        if own.time < 0 and len(times) > 1:
            raise UnreadableError("a parameter occurs twice in a table without times")
        named = {"patient": next(iter(patient)), **ids} if patient else ids
        made.append((named, values, times if own.time >= 0 else None))
    return _made(table, read, made, flags)


def _pivoted(times: Floats, column: np.ndarray, long: Floats, n_columns: int) -> tuple[Floats, Floats]:
    """(rows, columns) and (rows,): a row a time; a second one where a variable has two values at a time."""
    order = np.lexsort((column, times))
    times, column, long = times[order], column[order], long[order]
    again = np.zeros(len(times), dtype=np.int64)
    for i in range(1, len(times)):
        if times[i] == times[i - 1] and column[i] == column[i - 1]:
            again[i] = again[i - 1] + 1
    keys, row = np.unique(np.stack([times, again], axis=1), axis=0, return_inverse=True)
    values = np.full((len(keys), n_columns), np.nan)
    values[row.ravel(), column] = long
    return values, keys[:, 0]


def _made(
    table: _Table,
    read: list[Read],
    parts: Iterable[tuple[dict[str, str], Floats, Floats | None]],
    flags: tuple[str, ...] = (),
) -> tuple[PatientTable, ...]:
    """Records of one file, which share what is said of its variables.

    Args:
        table: that they are read from.
        read: its variables.
        parts: ids, values and times of each record.
        flags: what is unusual about all of them, beside what the file's own form and columns are.
    """
    flags += (f"read with {table.sheet.dialect}",) if table.sheet.dialect else ()
    unusable = {one.variable.name: one.unusable for one in read if one.unusable}
    flags += tuple(f"column without values: {why}" for why in unusable.values())
    variables = tuple(one.variable for one in read)
    return tuple(PatientTable(variables, values, times, ids, unusable, flags) for ids, values, times in parts)
