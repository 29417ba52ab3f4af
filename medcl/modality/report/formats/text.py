"""Reports as text, HTML and RTF, and what a reader of reports returns."""

import codecs
import re
from dataclasses import dataclass, field
from html import unescape
from typing import NamedTuple

from medcl.errors import UnreadableError, not_installed, reason
from medcl.modality.report.text import canonical, sections, spaced

MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
WESTERN = "cp1252"
_FLAG = "its bytes are no UTF-8: read as Windows-1252"
# Of the control characters text has tab, line feed, form feed and carriage return.
_CONTROLS = frozenset(map(chr, range(32))) - set("\t\n\f\r")
_MOST_MARKED = 0.15
"""Of the letters of a Western text these have an accent or an umlaut at most; of Cyrillic read as Western, all have."""
_SIGNS = frozenset("°±²³µ·«»–—‘’“”„…‰€§º¼½¾×÷®©™ªß\xa0\xad")


class DecodedText(NamedTuple):
    """A text, and what a person should know of how it was read."""

    text: str
    flags: tuple[str, ...] = ()


def decoded(content: bytes, encoding: str | None = None) -> DecodedText:
    """The text of a file.

    Args:
        content: of the file.
        encoding: that the file states; a byte-order mark counts for more.

    Returns:
        The text. Latin-1 is read as Windows-1252, which has the same letters.

    Raises:
        UnreadableError: its bytes are no text in UTF-8, in the UTF-16 that its mark announces, in the encoding that it
            states, or in Windows-1252; no byte is replaced.
    """
    mark, name = next(((mark, name) for mark, name in MARKS if content.startswith(mark)), (b"", encoding or "utf-8"))
    body = content[len(mark) :]
    try:
        text = body.decode(name)
    except LookupError:
        raise UnreadableError("not text: it states an encoding that is not known: convert it to UTF-8") from None
    except UnicodeDecodeError as error:
        where = f"byte {len(mark) + error.start} is no {codecs.lookup(name).name.upper()}"
        if b"\0" in body and not mark:
            raise UnreadableError(f"not text: {where}, and there are zero bytes: binary, or UTF-16 unmarked") from None
        western = None if mark or encoding else _western(body)
        if western is None:
            raise UnreadableError(
                f"not text: {where}: if it is in another encoding, such as Latin-2, convert it: "
                "iconv -f LATIN2 -t UTF-8 FILE"
            ) from None
        return DecodedText(western, (_FLAG,))
    control = next((place for place, character in enumerate(text) if character in _CONTROLS), None)
    if control is not None:
        before = len(mark) + len(text[:control].encode(name))
        raise UnreadableError(f"not text: byte {before} is a control character: binary, or UTF-16 without its mark")
    return DecodedText(text)


def _western(body: bytes) -> str | None:
    """The bytes as Windows-1252, if what comes out looks like words of a Western language."""
    try:
        text = body.decode(WESTERN)
    except UnicodeDecodeError:
        return None
    letters = sum(map(str.isalpha, text))
    marked = sum(character.isalpha() for character in text if character > "\x7f")
    strange = any(c > "\x7f" and not c.isalpha() and c not in _SIGNS for c in text) or not _CONTROLS.isdisjoint(text)
    return None if strange or marked > max(1, _MOST_MARKED * letters) else text


@dataclass(frozen=True)
class Report:
    """A report as its file has it: nothing in it is de-identified.

    Attributes:
        text: sections as `report_text.canonical` writes them, in the language of the file.
        ids: clear ids that the file states: 'patient', 'study', 'accession', 'report', 'name' (of the patient).
        records: names of the images or objects that the file says it describes.
        names: whatever else the fields of the file say of persons: physicians, relatives, telephone numbers, addresses.
        flags: what a person should know of how the file was read.
    """

    text: str
    ids: dict[str, str] = field(default_factory=dict, repr=False)
    records: tuple[str, ...] = ()
    names: tuple[str, ...] = field(default=(), repr=False)
    flags: tuple[str, ...] = ()


MOST_BYTES = 4 * 2**20
_CHARSET = re.compile(rb"<(?:meta|\?xml)[^>]{0,200}?(?:charset|encoding)[ ]*=[ ]*[\"']?([\w-]{2,40})", re.IGNORECASE)
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_DECLARATION = re.compile(r"<[!?][^<>]*>")
# The parser of the standard library looks through what never ends again and again; here each sign is looked at once.
_TAG = re.compile(r"<(/?)([a-zA-Z][\w:-]{0,30})([^<>]*)>")
_ATTRIBUTE = re.compile(r"([\w-]{1,40})[ ]?=[ ]?(?:\"([^\"]*)\"|'([^']*)'|([^\s\"']+))")
_HIDDEN = frozenset({"script", "style", "head", "template", "noscript", "svg", "object"})
_LINES = frozenset(
    {
        *("p", "div", "br", "li", "ul", "ol", "tr", "table", "section", "article", "header", "footer", "hr", "pre"),
        *("dl", "dt", "dd", "blockquote", "address", "body"),
    }
)
_HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
_CELLS = frozenset({"td", "th"})
_PEOPLE = frozenset({"author", "patient", "patientname", "patient-name", "physician", "creator", "dc.creator"})


class _Page:
    """The text of a page, one line a block; the cells of a row are divided by bars."""

    def __init__(self, source: str) -> None:
        self.pieces: list[str] = []
        self.people: list[str] = []
        self._hidden: str | None = None
        place = 0
        for match in _TAG.finditer(source):
            self._text(source[place : match.start()])
            place = match.end()
            name = match[2].lower()
            if match[1]:
                self._end(name)
            else:
                self._start(name, match[3])
        self._text(source[place:])

    def _start(self, tag: str, attributes: str) -> None:
        if tag == "meta":
            stated = {key.lower(): one or two or bare for key, one, two, bare in _ATTRIBUTE.findall(attributes)}
            if stated.get("name", "").lower() in _PEOPLE and stated.get("content", "").strip():
                self.people.append(unescape(stated["content"]).strip())
        elif self._hidden is not None:
            return
        elif tag in _HIDDEN and not attributes.endswith("/"):
            self._hidden = tag
        elif tag in _LINES or tag in _HEADINGS:
            self.pieces.append("\n")
        elif tag in _CELLS:
            self.pieces.append(" | " if self.pieces and not self.pieces[-1].isspace() else "")

    def _end(self, tag: str) -> None:
        if self._hidden is not None:
            self._hidden = None if tag in {self._hidden, "head"} else self._hidden
            return
        if tag in _HEADINGS and self.pieces and self.pieces[-1].strip() and not self.pieces[-1].rstrip().endswith(":"):
            # What is written as a heading is one: with a colon and in capitals a report divides there.
            self.pieces[-1] = f"{self.pieces[-1].strip().upper()}:"
        if tag in _HEADINGS or tag in _LINES:
            self.pieces.append("\n")

    def _text(self, text: str) -> None:
        if self._hidden is None and text:
            # Line breaks of the source are spaces of the page.
            self.pieces.append(unescape(re.sub(r"\s+", " ", text)))


def read_html(content: bytes) -> Report:
    """Read a report from HTML: the words of the page, without scripts, styles and comments. Nothing is loaded.

    Raises:
        UnreadableError: larger than `MOST_BYTES`, or not in the encoding that it states.
    """
    if len(content) > MOST_BYTES:
        raise UnreadableError(f"HTML of more than {MOST_BYTES // 2**20} MB: no report")
    text, flags = _decoded(content)
    page = _Page(_DECLARATION.sub(" ", _COMMENT.sub(" ", text)))
    shown = re.sub(r"[ \t]*\n[ \t]*", "\n", "".join(page.pieces))
    return Report(canonical(sections(spaced(shown))), names=tuple(page.people), flags=flags)


def _decoded(content: bytes) -> DecodedText:
    stated = _CHARSET.search(content[:4096])
    name = stated[1].decode("ascii").lower() if stated else None
    # As browsers do: pages that say Latin-1 are in Windows-1252.
    return decoded(content, WESTERN if name in {"iso-8859-1", "latin1", "ascii", "us-ascii"} else name)


_DEEPEST = 256
_MOST_TABLE = 100_000  # characters of a table of fonts
_CODE_PAGE = re.compile(rb"\\ansicpg(\d{1,5})")
_BRACES = re.compile(r"\\.|[{}]", re.DOTALL)
# Images in hexadecimal digits; no text has so many in a row.
_PICTURE = re.compile(r"[0-9a-fA-F\r\n]{400,}")
_PERSON = re.compile(r"\{\\(?:author|operator|manager)[ ]([^{}\\]{2,200})\}")


def read_rtf(content: bytes) -> Report:
    """Read a report from RTF with striprtf: what is shown on its pages, without markup, header and footer.

    Returns:
        The report; the author and operator that its properties state are among its names.

    Raises:
        UnreadableError: striprtf is not installed, or the file is damaged, nested too deep, or has bytes that its code
            page does not explain.
    """
    try:
        from striprtf.striprtf import rtf_to_text
    except ImportError:
        raise UnreadableError(not_installed("striprtf", "reading RTF")) from None
    page = _CODE_PAGE.search(content[:4096])
    encoding = f"cp{page[1].decode()}" if page else WESTERN
    try:
        markup = content.rstrip(b"\0").decode(encoding)
    except (LookupError, UnicodeDecodeError):
        raise UnreadableError("damaged RTF: bytes that its code page does not explain") from None
    _check(markup)
    # striprtf looks for links across a whole line, which takes no end of time where there are many of them.
    markup = _PICTURE.sub("", markup).replace("HYPERLINK", "HYPER\nLINK").replace("{\\field", "\n{\\field")
    try:
        text = str(rtf_to_text(markup, encoding=encoding))
        # Characters outside the first 65,536 are written as two.
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
    except UnreadableError:
        raise
    except Exception as error:  # striprtf raises whatever its parts raise.
        raise UnreadableError(f"damaged RTF: {reason(error)}") from None
    names = tuple(dict.fromkeys(name.strip() for name in _PERSON.findall(markup)))
    return Report(canonical(sections(spaced(text))), names=names)


def _check(markup: str) -> None:
    """Refuse what takes striprtf too long: deep nesting, and tables of fonts without an end."""
    depth = 0
    for match in _BRACES.finditer(markup):
        depth += {"{": 1, "}": -1}.get(match[0], 0)
        if depth > _DEEPEST:
            raise UnreadableError(f"damaged RTF: groups more than {_DEEPEST} deep")
    if depth > 0:
        raise UnreadableError("damaged RTF: its end is missing")
    fonts = markup.find("\\fonttbl")
    if fonts >= 0 and len(markup) > _MOST_TABLE and "}}" not in markup[fonts : fonts + _MOST_TABLE]:
        raise UnreadableError(f"damaged RTF: a table of fonts of more than {_MOST_TABLE} characters")


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


def read_text(content: bytes) -> Report:
    """Read a report that is text.

    Raises:
        UnreadableError: it begins like a file of another kind, or as `decoded`.
    """
    other = next((words for begin, words in _OTHERS if content.startswith(begin)), None)
    if other is not None:
        raise UnreadableError(f"not text: {other}")
    text, flags = decoded(content)
    return Report(canonical(sections(text)), flags=flags)
