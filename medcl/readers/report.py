"""One report from one file: plain text, XML or a DICOM structured report, and the ids that it states."""

import codecs
from pathlib import Path
from typing import Literal

from medcl.errors import UnreadableError
from medcl.readers.dicom_file import is_dicom
from medcl.readers.report_parts import Report
from medcl.readers.report_sr import is_structured_report, read_sr
from medcl.readers.report_text import canonical, sections
from medcl.readers.report_xml import read_xml

Format = Literal["text", "xml", "dicom-sr"]

MOST_BYTES = 16 * 2**20
"""Of a file; the reports of a whole hospital in one file are a table."""
_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
# Of the control characters text has tab, line feed, form feed and carriage return.
_CONTROLS = frozenset(map(chr, range(32))) - set("\t\n\f\r")


def read_reports(path: Path, format: Format) -> Report:
    """Read the report that a file holds.

    Args:
        path: of the file.
        format: 'text' (UTF-8, or UTF-16 that begins with its byte-order mark), 'xml' or 'dicom-sr'.

    Returns:
        The report. Its text is empty where the file holds none: that is no error of the file.

    Raises:
        UnreadableError: the file cannot be opened, is larger than `MOST_BYTES`, is not of that format, or its bytes
            are not in the encoding that it states; no byte is guessed or replaced.
    """
    content = _bytes(path)
    if format == "dicom-sr":
        return read_sr(path)
    if format == "xml":
        return read_xml(content)
    return Report(text=canonical(sections(_decoded(content))))


def identify_report(path: Path) -> Format | None:
    """Which format the content of a file is, whatever its name; for files that are said to be reports.

    Args:
        path: of the file.

    Returns:
        The format; None where it is a DICOM object that is no report. A file that is neither DICOM nor XML is 'text':
        whether it is readable is for `read_reports` to say.

    Raises:
        UnreadableError: the file cannot be opened.
    """
    if is_dicom(path):
        return "dicom-sr" if is_structured_report(path) else None
    with path.open("rb") as file:
        start = file.read(256)
    # In UTF-16 every other byte of an XML's beginning is 0.
    plain = start.removeprefix(codecs.BOM_UTF8).replace(b"\0", b"").lstrip(b"\xff\xfe \t\r\n")
    return "xml" if plain.startswith((b"<?xml", b"<!--", b"<!DOCTYPE")) or _is_element(plain) else "text"


def _is_element(plain: bytes) -> bool:
    """`<eCitation>` begins an XML file, `<1 cm` does not."""
    return plain[:1] == b"<" and plain[1:2].isalpha() and b">" in plain


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise UnreadableError(f"cannot be read: {error.strerror}") from error
    if len(content) > MOST_BYTES:
        raise UnreadableError(
            f"a report of more than {MOST_BYTES // 2**20} MB: if it holds many reports, write them as a table (CSV)"
        )
    return content


def _decoded(content: bytes) -> str:
    """The text of a file.

    Raises:
        UnreadableError: its bytes are no text in UTF-8, nor in the UTF-16 that its mark announces.
    """
    mark, encoding = next(((mark, name) for mark, name in _MARKS if content.startswith(mark)), (b"", "utf-8"))
    body = content[len(mark) :]
    try:
        text = body.decode(encoding)
    except UnicodeDecodeError as error:
        where = f"byte {len(mark) + error.start} is no {encoding.upper()}"
        if b"\0" in body and not mark:
            raise UnreadableError(f"not text: {where}, and there are zero bytes: binary, or UTF-16 unmarked") from None
        raise UnreadableError(
            f"not text: {where}: if it is in another encoding, such as Latin-1, convert it: "
            "iconv -f LATIN1 -t UTF-8 FILE"
        ) from None
    control = next((place for place, character in enumerate(text) if character in _CONTROLS), None)
    if control is not None:
        before = len(mark) + len(text[:control].encode(encoding))
        raise UnreadableError(f"not text: byte {before} is a control character: binary, or UTF-16 without its mark")
    return text
