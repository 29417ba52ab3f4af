"""Cells of a label table -> labels: inferred from the values, or as a data-set card says."""

import ast
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from medcl.archive.card import CardTarget, Lookup
from medcl.archive.manifest import Target
from medcl.archive.table import LabelTable, read_table
from medcl.errors import MedclError, UsageError

Kind: TypeAlias = Literal["binary", "multiclass", "multilabel", "regression"]
Label: TypeAlias = str | float | list[str] | None

_FEW_INTEGERS = 20  # more distinct whole numbers than this are taken for a quantity, not for codes of classes
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
    multiclass. An empty cell is unlabelled; a multilabel cell that holds only the separator is labelled with no
    class.

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
    numbers = [_number(cell) for cell in present]
    place = f"{table.path}, column {column!r}"
    if kind is None:
        kind = _guess(present, numbers, place)
    if kind == "regression":
        bad = sum(number is None for number in numbers)
        if bad or not present:
            raise UsageError(f"{place}: {bad} of {len(present)} values are not numbers, so it is no regression target")
        return Labels(Target(column, kind), [None if cell is None else float(cell) for cell in cells])
    values: list[Label] = list(cells)
    if kind == "multilabel":
        separator = "|" if any("|" in cell for cell in present) else ";"
        split = [None if cell is None else _split(cell, separator) for cell in cells]
        values = list(split)
        distinct = {part for parts in split if parts for part in parts}
    else:
        distinct = set(present)
    if len(distinct) < (1 if kind == "multilabel" else 2):
        raise UsageError(f"{place}: {len(distinct)} distinct values, so there is nothing to tell apart")
    if kind == "binary" and len(distinct) != 2:
        raise UsageError(f"{place}: {len(distinct)} distinct values, but a binary target has two")
    return Labels(Target(column, kind, tuple(_in_order(distinct))), values)


def from_card(table: LabelTable, name: str, rule: CardTarget, folder: Path) -> Labels:
    """Read a target as a data-set card says.

    Args:
        table: the card's table.
        name: of the target.
        rule: how it is read.
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
        unknown = {_number(text) for text in rule.unknown}
        numbers = [
            None if cell is None or cell in rule.unknown else _number(cell) for cell in table.column(rule.column)
        ]
        missing = sum(cell is None or cell in rule.unknown for cell in table.column(rule.column))
        if numbers.count(None) > missing:
            raise MedclError(f"{place}: {numbers.count(None) - missing} values are not numbers")
        return Labels(target, [None if number in unknown else number for number in numbers])
    classes = _read_lookup(rule.lookup, folder) if rule.lookup else None
    values: list[Label] = []
    foreign: set[str] = set()
    for row, cell in enumerate(table.codes(rule.column)):
        if cell is None or cell in rule.unknown:
            values.append(None)
            continue
        codes = [rule.values.get(code, code) for code in _codes(cell, rule, f"{place}, row {row + 1}")]
        if classes is not None:
            codes = [classes[code] for code in codes if code in classes]
        found = set(codes)
        foreign |= found.difference(rule.classes)
        if rule.kind == "multilabel":
            # In the order of the classes, so that equal labels are equal lists.
            kept = [known for known in rule.classes if known in found]
            values.append(kept if kept or rule.empty == "negative" else None)
        else:
            values.append(codes[0] if codes else None)
    if foreign:
        raise MedclError(f"{place}: {len(foreign)} values are no class of {name!r}: {', '.join(sorted(foreign)[:3])}")
    return Labels(target, values)


def _guess(present: Sequence[str], numbers: Sequence[float | None], place: str) -> Kind:
    distinct = set(present)
    if None not in numbers:
        whole = all(number is not None and number.is_integer() for number in numbers)
        if len(distinct) > 2:
            return "multiclass" if whole and len(distinct) <= _FEW_INTEGERS else "regression"
        return "binary"
    if any("|" in cell or ";" in cell for cell in present):
        return "multilabel"
    if len(distinct) > max(_FREE_TEXT, len(present) / 2):
        raise UsageError(f"{place}: {len(distinct)} distinct texts in {len(present)} rows are free text, not classes")
    return "binary" if len(distinct) == 2 else "multiclass"


def _codes(cell: str, rule: CardTarget, place: str) -> list[str]:
    if rule.parse == "text":
        return [cell]
    if rule.parse == "separated":
        return _split(cell, rule.separator)
    try:
        value = ast.literal_eval(cell)
    except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
        raise MedclError(f"{place}: not a Python dictionary") from error
    if not isinstance(value, dict):
        raise MedclError(f"{place}: not a Python dictionary")
    return [str(key) for key in value]


def _read_lookup(rule: Lookup, folder: Path) -> dict[str, str]:
    """Code -> class, of the rows that the rule admits."""
    table = read_table(folder / rule.file)
    admitted = [True] * len(table)
    for column, wanted in rule.where.items():
        admitted = [old and cell == wanted for old, cell in zip(admitted, table.codes(column), strict=True)]
    result: dict[str, str] = {}
    for use, code, value in zip(admitted, table.codes(rule.key), table.column(rule.value), strict=True):
        if use and code is not None and value is not None and result.setdefault(code, value) != value:
            raise MedclError(f"{table.path}: {code!r} has two classes, {result[code]!r} and {value!r}")
    return result


def _split(cell: str, separator: str) -> list[str]:
    return [part.strip() for part in cell.split(separator) if part.strip()]


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _in_order(values: Iterable[str]) -> list[str]:
    """Numbers by size, text by alphabet."""
    return sorted(values, key=lambda text: (_number(text) is None, _number(text) or 0.0, text))
