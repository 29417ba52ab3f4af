"""Which cells of a table hold no value."""

import re
from collections.abc import Collection, Sequence

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
    """Whether a text by itself stands for no value.

    Args:
        cell: of a table.
        words: further words for a missing value, in any case.
    """
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
    gone = {cell for cell in distinct if folded[cell] in absent and cell not in kept}
    return [None if cell is None or cell in gone else cell for cell in cells]
