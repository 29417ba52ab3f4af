"""Cells of a table: which hold no value, and numbers as people write them, with a decimal point or a decimal comma."""

import math
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from medcl.errors import UsageError

_WORDS = r"""
na n/a n.a n.a. n/a. #n/a #na <na> nan -nan 1.#ind -1.#ind 1.#qnan -1.#qnan nat null (null)
#null! #value! #ref! #div/0! #num! #name? \n . .. ... ? ?? ??? _ - -- ---
unknown unk unkn missing undefined unspecified
unbekannt fehlend k.a. inconnu inconnue manquant desconocido desconocida
"""
_DASHES = frozenset({"-", "--", "---", "\N{EN DASH}", "\N{EM DASH}", "\N{MINUS SIGN}"})
MISSING = (
    frozenset(_WORDS.split())
    | _DASHES
    | {"not available", "not known", "no data", "keine angabe", "keine daten", "non disponible", "no disponible", ""}
)
"""Words for a missing value, in small letters: those of BIDS, R, pandas, Excel, SPSS and databases, and `unknown` in
four languages. Signs alone are among them; `no` and `0` are values."""
_BESIDE_NUMBERS = frozenset({"none", "nil", "keine", "aucun", "ninguno", "nd", "n.d."})
_BOOLEANS = frozenset({"true", "false"})
_POSITIVE = re.compile(r"\(?\++\)?")
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)*|[.,]\d+)([eE][+-]?\d+)?", re.ASCII)


def is_missing(cell: str | None, words: Collection[str] = ()) -> bool:
    """Whether a text by itself stands for no value."""
    if cell is None:
        return True
    folded = cell.strip().casefold()
    return folded in MISSING or any(folded == word.strip().casefold() for word in words)


def present(cells: Sequence[str | None], words: Collection[str] = (), keep: Collection[str] = ()) -> list[str | None]:
    """The cells of a column, None where they hold no value.

    What decides is the column as a whole: `-` is a value beside `+`, as the negative result of a test is; `none` is
    missing in a column of numbers or of true and false, and a class among other classes.

    Args:
        cells: of one column.
        words: further words for a missing value, as the user or a data-set card names them, in any case.
        keep: texts that a data-set card names as values; they are never missing.
    """
    absent = MISSING | {word.strip().casefold() for word in words}
    kept = frozenset(keep)
    # A column repeats few texts: each is judged once.
    distinct = {cell for cell in cells if cell is not None}
    folded = {cell: cell.strip().casefold() for cell in distinct}
    if any(_POSITIVE.fullmatch(cell) for cell in folded.values()):
        absent -= _DASHES.difference(words)
    rest = [cell for cell in folded.values() if cell not in absent and cell not in _BESIDE_NUMBERS]
    if rest and (all(_NUMBER.fullmatch(cell) for cell in rest) or _BOOLEANS.issuperset(rest)):
        absent |= _BESIDE_NUMBERS
    missing = {cell for cell in distinct if folded[cell] in absent and cell not in kept}
    return [None if cell is None or cell in missing else cell for cell in cells]


_WHOLE_NUMBER = re.compile(r"([+-]?\d+)(?:\.0*|,0{1,2})?", re.ASCII)
_PLAIN = re.compile(r"[+-]?\d+([eE][+-]?\d+)?", re.ASCII)
_POINT = re.compile(r"[+-]?(\d+\.\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_COMMA = re.compile(r"[+-]?(\d+,\d+|,\d+)([eE][+-]?\d+)?", re.ASCII)
_EITHER = re.compile(r"[+-]?[1-9]\d{0,2}[.,]\d{3}", re.ASCII)
_GROUPED = re.compile(r"[+-]?[1-9]\d{0,2}([.,' \u00a0\u202f\u2019])\d{3}((\1\d{3})+([.,]\d*)?|[.,]\d*)?", re.ASCII)
_MINUS = str.maketrans({"\N{MINUS SIGN}": "-"})


@dataclass(frozen=True)
class Column:
    """Cells of one column, and how an error names them.

    Args:
        name: heading.
        cells: without missing values, which are None.
        places: (rows,) such as `labels.csv, line 7`.
    """

    name: str
    cells: Sequence[str | None]
    places: Sequence[str]


def number(text: str) -> float | None:
    """The number that a text without separators of thousands is; None where it is none or not finite."""
    text = text.strip().translate(_MINUS)
    if not (_PLAIN.fullmatch(text) or _POINT.fullmatch(text) or _COMMA.fullmatch(text)):
        return None
    value = float(text.replace(",", "."))
    return value if math.isfinite(value) else None


def whole(cells: Sequence[str | None]) -> list[str | None]:
    """Codes without the decimals that a spreadsheet gave them, where all of them are whole numbers."""
    matches = [None if cell is None else _WHOLE_NUMBER.fullmatch(cell) for cell in cells]
    if any(match is None and cell is not None for match, cell in zip(matches, cells, strict=True)):
        return list(cells)
    return [match and match[1] for match in matches]


def are_numbers(cells: Iterable[str | None]) -> bool:
    """Whether every present cell is written as a number, with whatever marks."""
    return all(cell is None or _mark(cell) is not None for cell in cells)


def numbers(column: Column, others: Iterable[Sequence[str | None]], *, european: bool) -> list[float | None]:
    """Read a column as numbers.

    A comma is decimal where a cell of the column, or failing that of the table, shows it: 1,5 can be nothing else,
    while 1,234 may be a thousand.

    Args:
        column: that is read.
        others: the columns of the table, which may tell what a mark means.
        european: whether the cells are separated by semicolons, as in countries with a decimal comma.

    Returns:
        (rows,) None where there is no value.

    Raises:
        UsageError: a cell is no number, marks contradict each other, or may be decimal or of thousands; names the
            column and an example's place, never the cell.
    """
    marks = [None if cell is None else _mark(cell) for cell in column.cells]
    absent = [
        i for i, (cell, mark) in enumerate(zip(column.cells, marks, strict=True)) if cell is not None and not mark
    ]
    if absent:
        there = sum(cell is not None for cell in column.cells)
        raise UsageError(
            f"{column.places[absent[0]]}, column {column.name!r}: {len(absent)} of {there} values are not numbers, "
            "this the first; name a word for missing values with --missing (in a data-set card: `missing`)"
        )
    row_of = {mark: i for i, mark in reversed(list(enumerate(marks))) if mark is not None}
    if "grouped" in row_of:
        raise _refused(column, row_of["grouped"], "a separator of thousands")
    points, commas = {"point", "point?"} & row_of.keys(), {"comma", "comma?"} & row_of.keys()
    if points and commas:
        row = row_of[next(iter(commas))]
        raise _refused(column, row, f"a comma, while {column.places[row_of[next(iter(points))]]} has a point")
    if "comma?" in row_of and "comma" not in row_of and _told(others) != {"comma"}:
        raise _refused(column, row_of["comma?"], "a comma that may be decimal or a separator of thousands")
    if "point?" in row_of and "point" not in row_of:
        told = _told(others)
        if "comma" in told or (european and "point" not in told):
            raise _refused(column, row_of["point?"], "a point that may be decimal or a separator of thousands")
    found = [None if cell is None else number(cell) for cell in column.cells]
    infinite = [i for i, (cell, value) in enumerate(zip(column.cells, found, strict=True)) if cell and value is None]
    if infinite:
        raise _refused(column, infinite[0], "a number too large")
    return found


def _refused(column: Column, row: int, what: str) -> UsageError:
    return UsageError(
        f"{column.places[row]}, column {column.name!r}: {what}; write the numbers of the column with one decimal mark "
        "and without separators of thousands, such as 1234.5"
    )


def _told(columns: Iterable[Sequence[str | None]]) -> set[str]:
    """The decimal marks that columns of numbers show beyond doubt."""
    told: set[str] = set()
    for cells in columns:
        marks = {_mark(cell) for cell in cells if cell is not None}
        if None not in marks:
            told |= {"point", "comma"}.intersection(marks)
    return told


@lru_cache(maxsize=65536)
def _mark(text: str) -> str | None:
    """`none`, `point`, `comma`; `point?` or `comma?` where it may be of thousands, `grouped` where it is; else None."""
    text = text.strip().translate(_MINUS)
    if _PLAIN.fullmatch(text):
        return "none"
    if _EITHER.fullmatch(text):
        return "comma?" if "," in text else "point?"
    if _COMMA.fullmatch(text):
        return "comma"
    if _POINT.fullmatch(text):
        return "point"
    return "grouped" if _GROUPED.fullmatch(text) else None
