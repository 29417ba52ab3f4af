"""The cells of a table file, with a row of units told from the rows of values."""

from pathlib import Path

from medcl.errors import MedclError, UnreadableError
from medcl.modality.cells import is_missing, number
from medcl.modality.sheet import Sheet, read_parquet, read_sheet
from medcl.modality.table.formats.headings import Roles, hours_of, name_and_unit, one_spelling

_UNIT_ROWS = {"unit", "units"}


def open_sheet(path: Path) -> Sheet:
    """Read the cells of a table.

    Raises:
        UnreadableError: it is no table, or its headings are not one for each column.
    """
    try:
        with path.open("rb") as file:
            is_parquet = file.read(4) == b"PAR1"
        sheet = read_parquet(path) if is_parquet else read_sheet(path)
    except OSError:
        raise
    except MedclError as error:
        raise UnreadableError(str(error).removeprefix(str(path)).lstrip(":, ")) from error
    names = [name_and_unit(name)[0] for name in sheet.names]
    if len(sheet.names) > 1 and all(number(name) is not None for name in sheet.names):
        raise UnreadableError("its first line holds numbers: is the heading missing?")
    if not all(names):
        raise UnreadableError("a column without a heading")
    twice = next((name for name in names if names.count(name) > 1), None) if len(set(names)) < len(names) else None
    if twice is not None:
        raise UnreadableError(f"the column {twice!r} occurs twice: give each column a heading of its own")
    if not sheet.rows:
        raise UnreadableError("the table has no rows")
    return sheet


def without_units(sheet: Sheet, own: Roles) -> tuple[Sheet, dict[int, str]]:
    """The sheet without a second row that has the units, and column -> unit.

    It is one only where it has neither an id nor a number: no patient is taken for a row of units.
    """
    first, keys = sheet.rows[0], [*own.ids.values(), *([own.time] if own.time >= 0 and not own.ids else [])]
    time = first[own.time] if own.time >= 0 else None
    empty = [is_missing(first[key]) or str(first[key]).strip("[]() ").lower() in _UNIT_ROWS for key in keys]
    if own.time in keys:
        empty[keys.index(own.time)] |= hours_of("", str(time).strip("[]() ")) is not None
    if not keys or not all(empty) or own.is_long or any(cell and number(cell) is not None for cell in first):
        return sheet, {}
    units = {i: one_spelling(cell.strip("[]() ")) for i, cell in enumerate(first) if cell and not is_missing(cell)}
    units = {i: unit for i, unit in units.items() if unit.lower() not in _UNIT_ROWS}
    if len(sheet.rows) == 1:
        raise UnreadableError("the table has no rows but that of the units")
    return Sheet(sheet.names, sheet.rows[1:], sheet.numbers[1:], sheet.counted, sheet.separator, sheet.dialect), units
