"""Cells of one variable -> numbers or codes of categories; cells of a time -> hours."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

import numpy as np

from medcl.errors import MedclError, UnreadableError
from medcl.modality.cells import Column, are_numbers, number, numbers, present, whole
from medcl.modality.table.record import Floats, Variable

_SIGNS = frozenset("0123456789.eE+-")
_CLOCK = re.compile(r"(\d{1,4}):([0-5]\d)(?::([0-5]\d))?", re.ASCII)


@dataclass(frozen=True)
class Read:
    """A variable and its values.

    Args:
        variable: with the classes that its codes stand for.
        values: (rows,) NaN where there is no value.
        unusable: why the cells hold no values; empty where they do.
    """

    variable: Variable
    values: Floats
    unusable: str = ""


def read_column(
    variable: Variable,
    cells: Sequence[str | None],
    places: Sequence[str],
    *,
    levels: Mapping[str, str] | None = None,
    missing: Collection[str] = (),
    others: Iterable[Sequence[str | None]] = (),
    european: bool = False,
) -> Read:
    """Read the cells of a variable.

    They are numbers where all of them are, and a category where none is. A mixture, such as `<0.3` among numbers, is
    neither: which of them was meant is for the user to say.

    Args:
        variable: its name and unit.
        cells: (rows,).
        places: (rows,) such as `line 7`.
        levels: cell -> what it stands for, of a category whose side-car says so.
        missing: further cells that stand for no value.
        others: the cells of other variables, which may tell the decimal mark.
        european: whether cells are separated by semicolons.
    """
    filled = present(cells, missing)
    if levels:
        words = tuple(dict.fromkeys(levels.values()))
        codes = dict(zip(levels, (words.index(word) for word in levels.values()), strict=True))
        return _coded(Variable(variable.name, variable.unit, words, levels=True), whole(filled), codes, places)
    absent = [value for value in map(number, missing) if value is not None]
    plain = None if european else _plain(filled)
    if plain is not None:
        return Read(variable, np.where(np.isin(plain, absent), np.nan, plain))
    if are_numbers(filled):
        try:
            found = numbers(Column(variable.name, filled, places), others, european=european)
        except MedclError as error:
            return Read(variable, np.full(len(filled), np.nan), str(error))
        values = np.array([np.nan if one is None else one for one in found], dtype=np.float64)
        return Read(variable, np.where(np.isin(values, absent), np.nan, values))
    written = [i for i, cell in enumerate(filled) if cell is not None and not are_numbers([cell])]
    if len(written) < sum(cell is not None for cell in filled):
        return Read(
            variable,
            np.full(len(filled), np.nan),
            f"{places[written[0]]}, column {variable.name!r}: {len(written)} cells are not numbers, this the first; "
            "name them in the side-car, as `Missing` or, of a category, as `Levels`",
        )
    words = tuple(sorted({cell for cell in filled if cell is not None}))
    codes = {word: code for code, word in enumerate(words)}
    # A unit belongs to numbers: in `sex (m/f)` the brackets hold something else.
    return _coded(Variable(variable.name, "", words), filled, codes, places)


def _plain(cells: Sequence[str | None]) -> Floats | None:
    """Numbers with decimal points alone, several times as fast as `cells.numbers`; None where it has to tell."""
    if not _SIGNS.issuperset("".join(cell for cell in cells if cell)):
        return None
    try:
        values = np.array([np.nan if cell is None else float(cell) for cell in cells], dtype=np.float64)
    except ValueError:
        return None
    return None if np.isinf(values).any() else values


def _coded(variable: Variable, cells: Sequence[str | None], codes: Mapping[str, int], places: Sequence[str]) -> Read:
    unknown = [i for i, cell in enumerate(cells) if cell is not None and cell not in codes]
    if unknown:
        why = f"{places[unknown[0]]}, column {variable.name!r}: a category that its `Levels` do not have"
        return Read(variable, np.full(len(cells), np.nan), why)
    return Read(variable, np.array([np.nan if cell is None else codes[cell] for cell in cells], dtype=np.float64))


def hours(cells: Sequence[str | None], places: Sequence[str], factor: float | None) -> Floats:
    """Read the times of one patient, (rows,) hours; of dates since the first of them.

    They are written as `07:30` of a clock that goes on beyond 24 hours, a date with a time (`2020-03-01 07:30`), or
    numbers, of which each counts `factor` hours.

    Raises:
        UnreadableError: a time is missing or none, their forms differ, or the unit of numbers is unknown.
    """
    forms = [_form(cell) for cell in cells]
    wrong = next((i for i, form in enumerate(forms) if not form or form != forms[0]), None)
    if wrong is not None:
        what = "not a time like the others: hh:mm, a number, or a date such as 2020-03-01 07:30"
        raise UnreadableError(f"{places[wrong]}: {what if cells[wrong] else 'no time'}")
    given = [cell for cell in cells if cell]
    if forms[0] == "clock":
        parts = [[int(part or 0) for part in one.groups()] for one in map(_CLOCK.fullmatch, given) if one]
        return np.array([hour + minute / 60 + second / 3600 for hour, minute, second in parts])
    if forms[0] == "number":
        if factor is None:
            raise UnreadableError("unknown unit of time: name it in the heading, such as `time [h]` or `time [min]`")
        return np.array([value for value in map(number, given) if value is not None], dtype=np.float64) * factor
    dates = [date for date in map(_date, given) if date is not None]
    first = min(dates)
    return np.array([(date - first).total_seconds() / 3600 for date in dates])


@lru_cache(maxsize=4096)
def _form(cell: str | None) -> str:
    """What a time is written as: `clock`, `number` or `date`; empty where it is none."""
    if not cell:
        return ""
    if _CLOCK.fullmatch(cell):
        return "clock"
    if number(cell) is not None:
        return "number"
    return "date" if _date(cell) is not None else ""


def _date(cell: str) -> datetime | None:
    try:
        date = datetime.fromisoformat(cell)
    except ValueError:
        return None
    return date.replace(tzinfo=None) - (date.utcoffset() or timedelta(0))
