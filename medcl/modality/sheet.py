"""A table of text or Parquet as text cells: separator, quotation marks and heading are found from the whole file."""

import codecs
import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

from medcl.errors import MedclError

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig", ""),
    (codecs.BOM_UTF32_LE, "utf-32", "UTF-32"),
    (codecs.BOM_UTF32_BE, "utf-32", "UTF-32"),
    (codecs.BOM_UTF16_LE, "utf-16", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16", "UTF-16"),
)
_LOOKED_AT = 4096  # bytes that tell whether every second one is zero
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_FOREIGN = re.compile(r"[^\x00-\x7f]{3}")  # of Western words no three letters in a row have accents
_BETWEEN_LETTERS = frozenset("\N{RIGHT SINGLE QUOTATION MARK}\N{ACUTE ACCENT}\N{SOFT HYPHEN}\N{EN DASH}\N{MIDDLE DOT}")


def decode(path: Path, data: bytes, *, windows: bool) -> tuple[str, str]:
    """Read bytes as text.

    Args:
        path: of the file, for errors.
        data: its bytes.
        windows: whether the file may be Windows-1252, which is what spreadsheets write where they do not write UTF-8.

    Returns:
        The text, and the name of its encoding; empty for UTF-8.

    Raises:
        MedclError: it is in another encoding or holds binary zeros; names the line.
    """
    form, name = next(((form, name) for mark, form, name in _MARKS if data.startswith(mark)), _unmarked(data))
    try:
        text = data.decode(form)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        if windows and form == "utf-8" and (text := _windows(data)):
            return text, "Windows-1252"
        raise MedclError(
            f"{path}, line {line}: not UTF-8 text{' and not Windows-1252' if windows else ''}; save it as UTF-8"
        ) from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise MedclError(f"{path}, line {line}: binary zeros, so it is no text or damaged; save it as UTF-8 text")
    return text.lstrip("\ufeff"), name


def _unmarked(data: bytes) -> tuple[str, str]:
    """UTF-16 without a byte-order mark has a zero in every second byte of plain letters; else UTF-8 is tried."""
    head = data[:_LOOKED_AT]
    for first, form in ((1, "utf-16-le"), (0, "utf-16-be")):
        if len(head) > 3 and len(data) % 2 == 0 and head[first::2].count(0) > len(head) * 0.4:
            return form, "UTF-16"
    return "utf-8", ""


def _windows(data: bytes) -> str:
    """Text in Windows-1252; empty where it looks like another encoding, whose letters would be read as others."""
    try:
        text = data.decode("cp1252")
    except UnicodeDecodeError:
        return ""
    if _FOREIGN.search(text):
        return ""
    for found in _NOT_ASCII.finditer(text):
        i, letter = found.start(), found[0]
        before, behind = text[i - 1 : i], text[i + 1 : i + 2]
        inside = before.isalpha() and behind.isalpha()
        # A capital between small letters, or a sign between letters, is a letter of another code page.
        if inside and not letter.isalpha() and letter not in _BETWEEN_LETTERS:
            return ""
        if inside and letter.isupper() and before.islower() and behind.islower():
            return ""
    return text


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


def read_parquet(path: Path) -> Sheet:
    """Read a table of Parquet as text.

    Returns:
        Its headings and rows; list cells are joined with `|`.

    Raises:
        MedclError: it is none, or damaged.
    """
    try:
        table = pq.ParquetFile(path).read()
        columns = [[_text(value) for value in column.to_pylist()] for column in table.columns]
    # A value that Python has no type for, such as a time after the year 9999, is a ValueError or an OverflowError.
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise MedclError(f"{path}: not a Parquet file, or a damaged one") from error
    rows = [list(row) for row in zip(*columns, strict=True)]
    return Sheet(list(table.column_names), rows, list(range(1, len(rows) + 1)), "row")


def _text(value: object) -> str | None:
    if value is None:
        return None
    return "|".join(map(str, value)) if isinstance(value, list) else str(value).strip()
