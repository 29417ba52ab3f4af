"""One report from one file, in whatever format its content is, and the ids and names that it states."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from medcl.errors import UnreadableError, system_reason
from medcl.modality.dicom.file import is_dicom
from medcl.modality.foreign import deadline
from medcl.modality.report.formats.documents import is_docx, read_docx, read_pdf
from medcl.modality.report.formats.hl7 import is_hl7, read_hl7
from medcl.modality.report.formats.sr import is_structured_report, read_sr
from medcl.modality.report.formats.text import MARKS, Report, decoded, read_html, read_rtf
from medcl.modality.report.formats.xml import read_xml
from medcl.modality.report.text import canonical, sections

Format = Literal["text", "rtf", "html", "pdf", "docx", "hl7", "xml", "dicom-sr"]

MOST_BYTES = 16 * 2**20
"""Of a file; the reports of a whole hospital in one file are a table."""
_LONGEST = 60.0  # seconds that a file may take
_OTHERS = (
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a Word document of before 2007 (.doc): save it as .docx or as text"),
    (b"PK\x03\x04", "a ZIP file: unpack it, or save an OpenDocument text as .docx"),
    (b"\x1f\x8b", "a gzip file: unpack it"),
    (b"BZh", "a bzip2 file: unpack it"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z file: unpack it"),
    (b"\x89PNG", "a PNG image: a scan has to be read by a program for text recognition (OCR)"),
    (b"\xff\xd8\xff", "a JPEG image: a scan has to be read by a program for text recognition (OCR)"),
    (b"II*\0", "a TIFF image: a scan has to be read by a program for text recognition (OCR)"),
    (b"MM\0*", "a TIFF image: a scan has to be read by a program for text recognition (OCR)"),
    (b"%!PS", "PostScript: save it as PDF or text"),
)
"""Formats that begin so and are refused by name."""


def read_reports(path: Path, format: Format) -> Report:
    """Read the report that a file holds.

    Args:
        path: of the file.
        format: as `identify_report` found it. RTF and PDF need the extra `medcl[reports]`.

    Returns:
        The report. Its text is empty where the file holds none: that is no error of the file.

    Raises:
        UnreadableError: the file cannot be opened, is larger than `MOST_BYTES`, takes longer than a minute, is not of
            that format, needs a package that is not installed, or its bytes are not in the encoding that it states.
    """
    content = _bytes(path)
    if format == "dicom-sr":
        return read_sr(path)
    if format == "text":
        return _read_text(content)
    readers: dict[Format, Callable[[bytes], Report]] = {
        "rtf": read_rtf,
        "html": read_html,
        "pdf": read_pdf,
        "docx": read_docx,
        "hl7": read_hl7,
        "xml": read_xml,
    }
    with deadline(_LONGEST):
        return readers[format](content)


def identify_report(path: Path) -> Format | None:
    """Which format the content of a file is, whatever its name; for files that are said to be reports.

    Args:
        path: of the file.

    Returns:
        The format; None where it is a DICOM object that is no report. A file of no format that is known is 'text':
        whether it is readable is for `read_reports` to say.

    Raises:
        UnreadableError: the file cannot be opened.
    """
    if is_dicom(path):
        return "dicom-sr" if is_structured_report(path) else None
    with path.open("rb") as file:
        start = file.read(1024)
    # In UTF-16 every other byte of a beginning is 0.
    mark = next((mark for mark, _ in MARKS if start.startswith(mark)), b"")
    plain = start.removeprefix(mark).replace(b"\0", b"").lstrip()
    if plain.startswith(b"{\\rtf"):
        return "rtf"
    # Some programs write lines of their own before a PDF.
    if b"%PDF-" in plain:
        return "pdf"
    if plain.startswith(b"PK\x03\x04") and is_docx(_bytes(path)):
        return "docx"
    if is_hl7(start):
        return "hl7"
    if plain.lower().startswith((b"<!doctype html", b"<html", b"<head", b"<body")) or b"<html" in plain.lower():
        return "html"
    return "xml" if plain.startswith((b"<?xml", b"<!--", b"<!DOCTYPE")) or _is_element(plain) else "text"


def _is_element(plain: bytes) -> bool:
    """`<eCitation>` begins an XML file, `<1 cm` does not."""
    return plain[:1] == b"<" and plain[1:2].isalpha() and b">" in plain


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise UnreadableError(f"cannot be read: {system_reason(error)}") from error
    if len(content) > MOST_BYTES:
        raise UnreadableError(
            f"a report of more than {MOST_BYTES // 2**20} MB: if it holds many reports, write them as a table (CSV)"
        )
    return content


def _read_text(content: bytes) -> Report:
    other = next((words for begin, words in _OTHERS if content.startswith(begin)), None)
    if other is not None:
        raise UnreadableError(f"not text: {other}")
    text, flags = decoded(content)
    return Report(canonical(sections(text)), flags=flags)
