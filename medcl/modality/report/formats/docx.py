"""Reports as Word documents (.docx): a ZIP of XML files, of which the body is read."""

import zipfile
import zlib
from collections.abc import Iterator
from io import BytesIO
from xml.etree.ElementTree import Element

from medcl.errors import UnreadableError
from medcl.modality.report.formats.cda import local
from medcl.modality.report.formats.parts import Report
from medcl.modality.report.formats.xml import parse_xml
from medcl.modality.report.text import canonical, sections, spaced

_BODY, _PROPERTIES = "word/document.xml", "docProps/core.xml"
_MOST_BYTES = 16 * 2**20
_MOST_FILES = 10_000


def is_docx(content: bytes) -> bool:
    """Whether a ZIP file is a Word document."""
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            return _BODY in archive.NameToInfo
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OverflowError):
        return False


def read_docx(content: bytes) -> Report:
    """Read a report from a Word document: the text of its body, without headers, comments and what was deleted.

    Args:
        content: of the file.

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
    except (zipfile.BadZipFile, zlib.error, ValueError, NotImplementedError, RuntimeError, EOFError, KeyError):
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
