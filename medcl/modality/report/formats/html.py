"""Reports as HTML, as hospital systems export them."""

import re
from html import unescape

from medcl.errors import UnreadableError
from medcl.modality.report.formats.decode import WESTERN, Decoded, decoded
from medcl.modality.report.formats.parts import Report
from medcl.modality.report.text import canonical, sections, spaced

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

    Args:
        content: of the file.

    Returns:
        The report.

    Raises:
        UnreadableError: larger than `MOST_BYTES`, or not in the encoding that it states.
    """
    if len(content) > MOST_BYTES:
        raise UnreadableError(f"HTML of more than {MOST_BYTES // 2**20} MB: no report")
    text, flags = _decoded(content)
    page = _Page(_DECLARATION.sub(" ", _COMMENT.sub(" ", text)))
    shown = re.sub(r"[ \t]*\n[ \t]*", "\n", "".join(page.pieces))
    return Report(canonical(sections(spaced(shown))), names=tuple(page.people), flags=flags)


def _decoded(content: bytes) -> Decoded:
    stated = _CHARSET.search(content[:4096])
    name = stated[1].decode("ascii").lower() if stated else None
    # As browsers do: pages that say Latin-1 are in Windows-1252.
    return decoded(content, WESTERN if name in {"iso-8859-1", "latin1", "ascii", "us-ascii"} else name)
