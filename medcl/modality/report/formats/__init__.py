"""Reports: the file formats, by the module with `read_NAME` of each."""

import re
from pathlib import Path

from medcl.modality.content import Begins, Format
from medcl.modality.report.formats.text import MARKS

_MESSAGE = re.compile(rb"(?:MSH|FHS|BHS)[|^~\\&#$!]")


def plain(head: bytes) -> bytes:
    """The first bytes of a text without mark and white space; in UTF-16 every other byte of a beginning is 0."""
    mark = next((mark for mark, _ in MARKS if head.startswith(mark)), b"")
    return head.removeprefix(mark).replace(b"\0", b"").lstrip()


def _starts(*letters: bytes) -> Begins:
    return lambda head, path: plain(head).startswith(letters)


def _is_hl7(head: bytes, path: Path) -> bool:
    """A message, or a batch of them."""
    return _MESSAGE.match(head.removeprefix(b"\xef\xbb\xbf").lstrip(b"\x0b\r\n ")) is not None


def _is_html(head: bytes, path: Path) -> bool:
    lower = plain(head).lower()
    return lower.startswith((b"<!doctype html", b"<html", b"<head", b"<body")) or b"<html" in lower


def _is_xml(head: bytes, path: Path) -> bool:
    """`<eCitation>` begins an XML file, `<1 cm` does not."""
    start = plain(head)
    is_element = start[:1] == b"<" and start[1:2].isalpha() and b">" in start
    return is_element or start.startswith((b"<?xml", b"<!--", b"<!DOCTYPE"))


RANK = None
"""No place among the wings when a file is tested: it is a report where a rule says so."""
FORMATS = (
    Format("rtf", _starts(b"{\\rtf"), "text"),
    # Some programs write lines of their own before a PDF.
    Format("pdf", lambda head, path: b"%PDF-" in plain(head), "documents"),
    Format("docx", _starts(b"PK\x03\x04"), "documents"),
    Format("hl7", _is_hl7, "hl7"),
    Format("html", _is_html, "text"),
    Format("xml", _is_xml, "xml"),
    # Whether it is readable is for its reader to say.
    Format("text", lambda head, path: True, "text"),
)
"""Every format of reports but DICOM SR, in the order in which a file is tested: adding one is a module and a line."""
