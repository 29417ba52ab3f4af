"""A table of text: its separator, its quotation marks and its heading, found from the whole file."""

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from medcl.archive.encoding import decode
from medcl.errors import MedclError

_NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "|"}
_LONGEST = 2**31 - 1  # characters of a cell: a report is longer than the 131,072 that the csv module allows at first
_SEP_LINE = re.compile(r'"?sep=(.)"?[,;\t]*(\r\n|\r|\n)', re.IGNORECASE)
_IN_NUMBER = re.compile(r"(?<=\d),(?=\d)", re.ASCII)


@dataclass(frozen=True)
class Sheet:
    """What stands in a table file.

    Args:
        names: headings.
        rows: of text cells, each as long as `names`.
        numbers: (rows,) what counts the rows for a reader of the file: the line that each begins in.
        counted: what is counted: `line`, `row` or `object`.
        separator: between the cells; empty where the format is no text.
        dialect: what is unusual about the file, in words.
    """

    names: list[str]
    rows: list[list[str | None]]
    numbers: list[int]
    counted: str = "line"
    separator: str = ""
    dialect: str = ""


@dataclass(frozen=True)
class _FaultError(Exception):
    """Why a separator does not fit."""

    line: int
    words: str
    cells: int


def read_sheet(path: Path) -> Sheet:
    """Read a table of text.

    The separator is the one of comma, semicolon, tab and | that divides every row of the file into as many cells as
    the heading, or the one that a first line `sep=;` names. Blank rows, and the empty cells that spreadsheets write
    behind a table, are left out.

    Args:
        path: of a .csv or .tsv file.

    Returns:
        Its headings and rows.

    Raises:
        MedclError: no separator fits, or several do; names the line and what to do.
    """
    text, encoding = decode(path, path.read_bytes(), windows=True)
    csv.field_size_limit(_LONGEST)
    first = 0
    if told := _SEP_LINE.match(text):
        first, text = 1, text[told.end() :]
        candidates = [told[1]]
    else:
        start = text.lstrip("\r\n ")
        # Of a heading that is quoted over several lines, the first will do.
        line = start.splitlines()[0] if start else ""
        usual = "\t" if path.suffix.lower() == ".tsv" else ","
        candidates = [one for one in _NAMES if one in line] or [usual]
    found: dict[str, Sheet] = {}
    faults: dict[str, _FaultError] = {}
    for separator in candidates:
        try:
            found[separator] = _read(text, separator, first, encoding, path.suffix.lower() == ".tsv")
        except _FaultError as fault:
            faults[separator] = fault
    if not found:
        separator = max(faults, key=lambda one: faults[one].cells)
        worst = faults[separator]
        raise MedclError(
            f"{path}, line {worst.line}: {worst.words}; the separator was taken to be {_name(separator)}. If it is "
            "another one, name it in a first line such as sep=;"
        ) from worst
    return found[_chosen(path, found)]


def _chosen(path: Path, found: dict[str, Sheet]) -> str:
    """Of several separators that fit, the one that is meant."""
    if len(found) == 1:
        return next(iter(found))
    if path.suffix.lower() == ".tsv" and "\t" in found:
        return "\t"
    most = max(len(sheet.names) for sheet in found.values())
    wide = [separator for separator, sheet in found.items() if len(sheet.names) > 1]
    if len(wide) == 1:
        return wide[0]
    others = [separator for separator in wide if separator != ","]
    if "," in wide and len(others) == 1 and len(found[others[0]].names) == most:
        # Commas of the rows that all stand within numbers are decimal commas.
        cells = [cell for row in found[others[0]].rows for cell in row if cell and "," in cell]
        if all("," not in _IN_NUMBER.sub("", cell) for cell in cells):
            return others[0]
    raise MedclError(
        f"{path}, line 1: the separator may be {' or '.join(map(_name, wide))}, since each of them divides every row "
        "into as many cells as the heading; name it in a first line such as sep=;"
    )


def _name(separator: str) -> str:
    return f"a {_NAMES[separator]}" if _NAMES.get(separator, "").isalpha() else repr(separator)


def _read(text: str, separator: str, first: int, encoding: str, tsv: bool) -> Sheet:
    try:
        return _divided(text, separator, first, encoding, tsv, csv.QUOTE_MINIMAL)
    except _FaultError:
        # A quotation mark of a .tsv file may be a letter like any other.
        if not tsv or separator != "\t" or '"' not in text:
            raise
        return _divided(text, separator, first, encoding, tsv, csv.QUOTE_NONE)


def _divided(text: str, separator: str, first: int, encoding: str, tsv: bool, quoting: Literal[0, 3]) -> Sheet:
    # The csv module and not pyarrow.csv: it knows the line that each row begins in, and takes cells of several lines.
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=separator, quoting=quoting, strict=True, skipinitialspace=True
    )
    names: list[str] = []
    rows: list[list[str | None]] = []
    numbers: list[int] = []
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader, None)
        except csv.Error as error:
            words = "a quotation mark is opened and not closed, or stands within a quoted cell"
            raise _FaultError(first + line, words, len(names)) from error
        if row is None:
            break
        cells = [cell.strip() for cell in row]
        if not any(cells):
            continue
        if not names:
            names = cells
            if quoting == csv.QUOTE_MINIMAL and any('"' in name[1:-1].replace('""', "") for name in names[:-1]):
                raise _FaultError(first + line, "a quotation mark within a heading", 0)
            named = max(i + 1 for i, name in enumerate(names) if name)
            continue
        while len(cells) > len(names) and not cells[-1]:
            cells.pop()
        cells += [""] * (len(names) - len(cells) if len(cells) >= named else 0)
        if len(cells) != len(names):
            raise _FaultError(first + line, f"{len(cells)} cells under {len(names)} headings", len(names))
        rows.append(list(cells))
        numbers.append(first + line)
    used = [i for i, name in enumerate(names) if name or any(row[i] for row in rows)]
    if len(used) < len(names):
        names, rows = [names[i] for i in used], [[row[i] for i in used] for row in rows]
    about = [encoding] if encoding else []
    about += [] if separator == ("\t" if tsv else ",") else [f"separator {_name(separator)}"]
    return Sheet(names, rows, numbers, "line", separator, ", ".join(about))
