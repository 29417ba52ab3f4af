"""The text of a table file, whatever encoding a spreadsheet wrote it in."""

import codecs
import re
from pathlib import Path

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
