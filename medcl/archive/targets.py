"""Cells of a label table -> labels: inferred from the values, or as a data-set card says."""

import ast
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from medcl.archive.card import CardTarget, Lookup, inside
from medcl.archive.manifest import Target
from medcl.archive.table import LabelTable, read_table
from medcl.errors import MedclError, UsageError
from medcl.modality.cells import is_missing, number

Kind: TypeAlias = Literal["binary", "multiclass", "multilabel", "regression"]
Label: TypeAlias = str | float | list[str] | None

_FEW_INTEGERS = 20  # more distinct whole numbers than this are taken for a quantity, not for codes of classes
_INFINITE = ("inf", "infinity", "\N{INFINITY}")
_FREE_TEXT = 50  # more distinct texts than this, in more than half of the rows, are a report and not a class


@dataclass(frozen=True)
class Labels:
    """A target and its label in every row of the table; None where unlabelled."""

    target: Target
    values: list[Label]


def parse_column(text: str) -> tuple[str, Kind | None]:
    """Split `age:regression` into column and kind; a colon that no kind follows belongs to the column's name."""
    column, _, kind = text.rpartition(":")
    for known in get_args(Kind):
        if column and kind == known:
            return column, known
    return text, None


def infer(table: LabelTable, column: str, kind: Kind | None = None) -> Labels:
    """Read a column as a target.

    Unless a kind is given: two distinct values are binary (the second in order is the positive class), up to 20
    distinct whole numbers are multiclass, other numbers a regression; text with `|` or `;` is multilabel, other text
    multiclass. A cell that is empty or holds a word for a missing value (`n/a`, `unknown`; see
    `medcl.modality.cells`) is unlabelled; a multilabel cell that holds only the separator is labelled with no class.

    Args:
        table: the label table.
        column: its column, which also names the target.
        kind: what it is, where the rule above would be wrong.

    Returns:
        The target and its labels.

    Raises:
        UsageError: no such column, or its values cannot be of that kind.
    """
    cells = table.codes(column)
    present = [cell for cell in cells if cell is not None]
    place = f"{table.path}, column {column!r}"
    if kind is None:
        kind = _guess(table, column, present, place)
    if kind == "regression":
        if not present:
            raise UsageError(f"{place}: no row has a value, so it is no regression target")
        return Labels(Target(column, kind), list(table.values(column, table.column(column))))
    values: list[Label] = list(cells)
    if kind == "multilabel":
        separator = "|" if any("|" in cell for cell in present) else ";"
        split = [None if cell is None else _present_parts(cell, separator, table.missing) for cell in cells]
        values = list(split)
        distinct = {part for parts in split if parts for part in parts}
    else:
        distinct = set(present)
    if len(distinct) < (1 if kind == "multilabel" else 2):
        raise UsageError(f"{place}: {len(distinct)} distinct values, so there are no classes to distinguish")
    if kind == "binary" and len(distinct) != 2:
        raise UsageError(f"{place}: {len(distinct)} distinct values, but a binary target has two")
    return Labels(Target(column, kind, tuple(_in_order(distinct))), values)


def from_card(table: LabelTable, name: str, rule: CardTarget, folder: Path) -> Labels:
    """Read a target as a data-set card says.

    Args:
        table: the card's table.
        name: of the target.
        rule: how it is read. What it names as a value or a class is one, though it be a word for a missing value.
        folder: of the data set, where the card's lookup table is.

    Returns:
        The target and its labels.

    Raises:
        UsageError: a column is missing.
        MedclError: a cell is not what the card says.
    """
    target = Target(name, rule.kind, rule.classes)
    place = f"{table.path}, column {rule.column!r}"
    if rule.kind == "regression":
        unknown = {number(text) for text in rule.unknown} - {None}
        cells = [None if cell in rule.unknown else cell for cell in table.column(rule.column)]
        numbers = table.values(rule.column, cells)
        return Labels(target, [None if value in unknown else value for value in numbers])
    classes = _read_lookup(rule.lookup, folder, rule.classes, table.missing) if rule.lookup else None
    values: list[Label] = []
    foreign: list[int] = []
    for row, cell in enumerate(table.codes(rule.column, (*rule.values, *rule.classes))):
        if cell is None or cell in rule.unknown:
            values.append(None)
            continue
        codes = [rule.values.get(code, code) for code in _codes(cell, rule, table, row)]
        if classes is not None:
            codes = [classes[code] for code in codes if code in classes]
        found = set(codes)
        if not found.issubset(rule.classes):
            foreign.append(row)
        if rule.kind == "multilabel":
            # In the order of the classes, so that equal labels are equal lists.
            kept = [known for known in rule.classes if known in found]
            values.append(kept if kept or rule.empty == "negative" else None)
        else:
            values.append(codes[0] if codes else None)
    if foreign:
        raise MedclError(
            f"{place}: {len(foreign)} values are no class of {name!r}, the first in {table.place(foreign[0])}; the "
            f"card knows {', '.join(map(repr, rule.classes))}: add what is missing to `classes`, `values` or `unknown`"
        )
    return Labels(target, values)


def _guess(table: LabelTable, column: str, present: Sequence[str], place: str) -> Kind:
    distinct = set(present)
    if table.is_numeric(column):
        if len(distinct) <= 2:
            return "binary"
        found = [value for value in table.values(column, table.column(column)) if value is not None]
        whole = all(value.is_integer() for value in found)
        return "multiclass" if whole and len(distinct) <= _FEW_INTEGERS else "regression"
    if any("|" in cell or ";" in cell for cell in present):
        return "multilabel"
    _refuse_broken_numbers(table, column)
    if len(distinct) > max(_FREE_TEXT, len(present) / 2):
        raise UsageError(f"{place}: {len(distinct)} distinct texts in {len(present)} rows are free text, not classes")
    return "binary" if len(distinct) == 2 else "multiclass"


def _refuse_broken_numbers(table: LabelTable, column: str) -> None:
    """A quantity in which some cells are no numbers is not a set of classes."""
    cells = table.column(column)
    found = [None if cell is None else number(cell) for cell in cells]
    numbers = [value for value in found if value is not None]
    others = [row for row, (cell, value) in enumerate(zip(cells, found, strict=True)) if cell and value is None]
    quantity = len(set(numbers)) > _FEW_INTEGERS or any(not value.is_integer() for value in numbers)
    infinite = numbers and others and all(str(cells[row]).lstrip("+-").casefold() in _INFINITE for row in others)
    if infinite or (others and quantity and len(numbers) > len(others)):
        raise UsageError(
            f"{table.place(others[0])}, column {column!r}: no number, as {len(others)} of its cells, while the others "
            "are: name a word for missing values with --missing WORD (in a data-set card: `missing`), or say that they "
            f"are classes with {column}:multiclass"
        )


def _codes(cell: str, rule: CardTarget, table: LabelTable, row: int) -> list[str]:
    if rule.parse == "text":
        return [cell]
    if rule.parse == "separated":
        return _split(cell, rule.separator)
    place = f"{table.place(row)}, column {rule.column!r}"
    try:
        value = ast.literal_eval(cell)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError) as error:
        raise MedclError(f"{place}: not a Python dictionary") from error
    if not isinstance(value, dict):
        raise MedclError(f"{place}: not a Python dictionary")
    return [str(key) for key in value]


def _read_lookup(rule: Lookup, folder: Path, known: Collection[str], missing: Collection[str]) -> dict[str, str]:
    """Code -> class, of the rows that the rule admits."""
    table = read_table(inside(folder, rule.file), missing)
    admitted = [True] * len(table)
    for column, wanted in rule.where.items():
        admitted = [old and cell == wanted for old, cell in zip(admitted, table.codes(column, (wanted,)), strict=True)]
    row_of: dict[str, int] = {}
    codes, values = table.codes(rule.key), table.column(rule.value, known)
    for row, (use, code, value) in enumerate(zip(admitted, codes, values, strict=True)):
        if use and code is not None and value is not None and values[row_of.setdefault(code, row)] != value:
            raise MedclError(
                f"{table.place(row)}, column {rule.value!r}: another class than that of the same code in "
                f"{table.place(row_of[code])}"
            )
    return {code: str(values[row]) for code, row in row_of.items()}


def _split(cell: str, separator: str) -> list[str]:
    return [part.strip() for part in cell.split(separator) if part.strip()]


def _present_parts(cell: str, separator: str, missing: Collection[str]) -> list[str] | None:
    """The classes in a cell; None where all that it names is missing."""
    parts = _split(cell, separator)
    there = [part for part in parts if not is_missing(part, missing)]
    return there if there or not parts else None


def _in_order(values: Iterable[str]) -> list[str]:
    """Numbers by size, text by alphabet."""
    return sorted(values, key=lambda text: (number(text) is None, number(text) or 0.0, text))
