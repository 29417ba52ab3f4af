"""Reports as PDF: the text that its pages hold; a scanned page holds none."""

import logging
from io import BytesIO

from medcl.errors import UnreadableError
from medcl.modality.foreign import refusal
from medcl.modality.report.formats.parts import Report
from medcl.modality.report.text import canonical, sections, spaced

_MOST_PAGES = 200
_MOST_TEXT = 4 * 2**20  # characters
_MOST_DRAWING = 4 * 2**20  # bytes of the drawing commands of a page; a full page of text has some thousand


def read_pdf(content: bytes) -> Report:
    """Read a report from a PDF with pypdf.

    Args:
        content: of the file.

    Returns:
        The report; the author that the document states is among its names.

    Raises:
        UnreadableError: pypdf is not installed, or the PDF is damaged, encrypted, a scan without text, or too long.
    """
    try:
        from pypdf import PdfReader
        from pypdf.errors import DependencyError
    except ImportError:
        raise UnreadableError("PDF: reading it needs pypdf: pip install 'medcl[reports]'") from None
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
