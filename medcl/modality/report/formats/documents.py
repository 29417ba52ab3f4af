"""Reports as PDF and as Word documents (.docx)."""

import logging
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from io import BytesIO
from xml.etree.ElementTree import Element

from medcl.errors import UnreadableError, not_installed
from medcl.modality.foreign import refusal
from medcl.modality.report.formats.text import Report
from medcl.modality.report.formats.xml import local, parse_xml
from medcl.modality.report.text import canonical, sections, spaced

_MOST_PAGES = 200
_MOST_TEXT = 4 * 2**20  # characters
_MOST_DRAWING = 4 * 2**20  # bytes of the drawing commands of a page; a full page of text has some thousand


def read_pdf(content: bytes) -> Report:
    """Read a report from a PDF with pypdf.

    Returns:
        The report; the author that the document states is among its names.

    Raises:
        UnreadableError: pypdf is not installed, or the PDF is damaged, encrypted, a scan without text, or too long.
    """
    try:
        from pypdf import PdfReader
        from pypdf.errors import DependencyError
    except ImportError:
        raise UnreadableError(not_installed("pypdf", "reading PDF")) from None
    # Its warnings quote what the file holds.
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    try:
        reader = PdfReader(BytesIO(content), strict=False)
        # Many PDFs are encrypted with an empty password, which only forbids printing.
        if reader.is_encrypted and not reader.decrypt(""):
            raise UnreadableError("PDF that needs a password: save it without one")
        if len(reader.pages) > _MOST_PAGES:
            raise UnreadableError(f"PDF of more than {_MOST_PAGES} pages: no report")
        parts: list[str] = []
        for page in reader.pages:
            drawing = page.get_contents()
            if drawing is not None and len(drawing.get_data()) > _MOST_DRAWING:
                raise UnreadableError(f"PDF with a page of more than {_MOST_DRAWING // 2**20} MB of drawing: no report")
            parts.append(page.extract_text())
            if sum(map(len, parts)) > _MOST_TEXT:
                raise UnreadableError(f"PDF of more than {_MOST_TEXT // 2**20} MB of text: no report")
        pages = len(reader.pages)
        author = str((reader.metadata or {}).get("/Author") or "").strip()
    except UnreadableError:
        raise
    except DependencyError:
        raise UnreadableError("PDF in an encryption that needs the package cryptography") from None
    except (Exception, RecursionError) as error:  # pypdf raises whatever its parts raise.
        raise refusal(error, "pypdf", "PDF") from None
    if not any(part.strip() for part in parts):
        holds = "no page" if not pages else "no text: a scan, which a program for text recognition (OCR) has to read"
        raise UnreadableError(f"PDF that holds {holds}")
    text = canonical(sections(spaced("\n".join(parts))))
    return Report(text, names=(author,) if author else ())


_BODY, _PROPERTIES = "word/document.xml", "docProps/core.xml"
_MOST_BYTES = 16 * 2**20
_MOST_FILES = 10_000
# What zipfile and its decompressors raise of damaged bytes; bzip2's is an OSError.
_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    OSError,
    ValueError,
    NotImplementedError,
    RuntimeError,
    EOFError,
    KeyError,
)


def is_docx(content: bytes) -> bool:
    """Whether a ZIP file is a Word document."""
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            return _BODY in archive.NameToInfo
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OverflowError):
        return False


def read_docx(content: bytes) -> Report:
    """Read a report from a Word document: the text of its body, without headers, comments and what was deleted.

    Returns:
        The report; who wrote and last saved the document are among its names.

    Raises:
        UnreadableError: damaged, encrypted, or larger than 16 MB when it is unpacked.
    """
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            if len(archive.infolist()) > _MOST_FILES:
                raise UnreadableError("damaged Word document: too many files in it")
            body = parse_xml(_unpacked(archive, _BODY))
            about = parse_xml(_unpacked(archive, _PROPERTIES)) if _PROPERTIES in archive.NameToInfo else Element("none")
    except _DAMAGED:
        raise UnreadableError("damaged Word document: its parts cannot be unpacked") from None
    people = (e.text or "" for e in about.iter() if local(e) in {"creator", "lastmodifiedby"})
    names = tuple(dict.fromkeys(one.strip() for one in people if one.strip()))
    return Report(canonical(sections(spaced("".join(_pieces(body))))), names=names)


def _unpacked(archive: zipfile.ZipFile, name: str) -> bytes:
    """A part of the document; what it states of its size is not believed."""
    with archive.open(name) as file:
        content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise UnreadableError(f"Word document of more than {_MOST_BYTES // 2**20} MB of text: no report")
    return content


def _pieces(element: Element) -> Iterator[str]:
    name = local(element)
    if name == "t":
        yield element.text or ""
    elif name == "tab":
        yield " "
    elif name in {"br", "cr"}:
        yield "\n"
    # What another program would show in the place of a drawing is a copy of it.
    for child in () if name in {"deltext", "fallback", "instrtext", "t"} else element:
        yield from _pieces(child)
    if name == "p":
        yield "\n"
    elif name == "tc":
        yield "| "
