"""Cells of one variable -> numbers or codes of categories; cells of a time -> hours."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from medcl.errors import MedclError, UnreadableError
from medcl.modality.cells import Column, are_numbers, number, numbers, present, whole
from medcl.modality.table.record import Floats, Variable

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
        return _coded(Variable(variable.name, variable.unit, words), whole(filled), codes, places)
    if are_numbers(filled):
        try:
            found = numbers(Column(variable.name, filled, places), others, european=european)
        except MedclError as error:
            return Read(variable, np.full(len(filled), np.nan), str(error))
        values = np.array([np.nan if one is None else one for one in found], dtype=np.float64)
        absent = [value for value in map(number, missing) if value is not None]
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


def _coded(variable: Variable, cells: Sequence[str | None], codes: Mapping[str, int], places: Sequence[str]) -> Read:
    unknown = [i for i, cell in enumerate(cells) if cell is not None and cell not in codes]
    if unknown:
        why = f"{places[unknown[0]]}, column {variable.name!r}: a category that its `Levels` do not have"
        return Read(variable, np.full(len(cells), np.nan), why)
    return Read(variable, np.array([np.nan if cell is None else codes[cell] for cell in cells], dtype=np.float64))


def hours(cells: Sequence[str | None], places: Sequence[str], factor: float | None) -> Floats:
    """Read times.

    Args:
        cells: (rows,) of one patient: `07:30` of a clock that goes on beyond 24 hours, a date with a time
            (`2020-03-01 07:30`), or numbers.
        places: (rows,) such as `line 7`.
        factor: hours that a number counts; None if unknown.

    Returns:
        (rows,) hours; of dates since the first of them.

    Raises:
        UnreadableError: a time is missing or none, their forms differ, or the unit of numbers is unknown.
    """
    empty = next((place for cell, place in zip(cells, places, strict=True) if not cell), None)
    if empty is not None:
        raise UnreadableError(f"{empty}: no time")
    given = [cell for cell in cells if cell]
    clocks = [_CLOCK.fullmatch(cell) for cell in given]
    if all(clocks):
        parts = [(int(one[1]), int(one[2]), int(one[3] or 0)) for one in clocks if one]
        return np.array([hour + minute / 60 + second / 3600 for hour, minute, second in parts])
    if all(number(cell) is not None for cell in given):
        if factor is None:
            raise UnreadableError("unknown unit of time: name it in the heading, such as `time [h]` or `time [min]`")
        values = [number(cell) for cell in given]
        return np.array([value for value in values if value is not None], dtype=np.float64) * factor
    dates = [_date(cell) for cell in given]
    bad = next((place for date, place in zip(dates, places, strict=True) if date is None), None)
    if bad is not None:
        raise UnreadableError(
            f"{bad}: not a time like those before it: hh:mm, a number, or a date such as 2020-03-01 07:30"
        )
    seconds = np.array([(date - datetime(1970, 1, 1)).total_seconds() for date in dates if date is not None])
    since: Floats = (seconds - seconds.min()) / 3600
    return since


def _date(cell: str) -> datetime | None:
    try:
        date = datetime.fromisoformat(cell) if not cell.isdigit() else None
    except ValueError:
        return None
    return None if date is None else date.replace(tzinfo=None) - (date.utcoffset() or datetime.min - datetime.min)
