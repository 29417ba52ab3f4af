"""Reports as HTML, as hospital systems export them."""

import re
from html.parser import HTMLParser

from medcl.errors import UnreadableError
from medcl.readers.report_decode import WESTERN, Decoded, decoded
from medcl.readers.report_parts import Report
from medcl.readers.report_text import canonical, sections, spaced

MOST_BYTES = 4 * 2**20
_CHARSET = re.compile(rb"<(?:meta|\?xml)[^>]{0,200}?(?:charset|encoding)[ ]*=[ ]*[\"']?([\w-]{2,40})", re.IGNORECASE)
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
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


class _Page(HTMLParser):
    """The text of a page, one line a block; the cells of a row are divided by bars."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self.people: list[str] = []
        self._hidden: str | None = None
        self._nested = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "meta":
            stated = {key: value or "" for key, value in attrs}
            if stated.get("name", "").lower() in _PEOPLE and stated.get("content", "").strip():
                self.people.append(stated["content"].strip())
        if self._hidden is not None:
            self._nested += tag == self._hidden
        elif tag in _HIDDEN:
            self._hidden, self._nested = tag, 1
        elif tag in _LINES or tag in _HEADINGS:
            self.pieces.append("\n")
        elif tag in _CELLS:
            self.pieces.append(" | " if self.pieces and not self.pieces[-1].isspace() else "")

    def handle_endtag(self, tag: str) -> None:
        if self._hidden is not None:
            self._nested -= tag == self._hidden
            if self._nested <= 0 or (tag == "html" and self._hidden != "html") or tag == "body":
                self._hidden = None
        elif tag in _HEADINGS:
            text = self.pieces[-1].rstrip() if self.pieces else ""
            # What is written as a heading is one: with a colon and in capitals a report divides there.
            if text and not text.endswith(":"):
                self.pieces[-1] = f"{text.upper()}:"
            self.pieces.append("\n")
        elif tag in _LINES:
            self.pieces.append("\n")

    def handle_data(self, data: str) -> None:
        if self._hidden is None and data:
            # Line breaks of the source are spaces of the page.
            self.pieces.append(re.sub(r"\s+", " ", data) if data.strip() else " ")


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
    page = _Page()
    # Comments that never end are what the parser would look through again and again.
    page.feed(_COMMENT.sub(" ", text).replace("<!", "< !"))
    page.close()
    shown = re.sub(r"[ \t]*\n[ \t]*", "\n", "".join(page.pieces))
    return Report(canonical(sections(spaced(shown))), names=tuple(page.people), flags=flags)


def _decoded(content: bytes) -> Decoded:
    stated = _CHARSET.search(content[:4096])
    name = stated[1].decode("ascii").lower() if stated else None
    # As browsers do: pages that say Latin-1 are in Windows-1252.
    return decoded(content, WESTERN if name in {"iso-8859-1", "latin1", "ascii", "us-ascii"} else name)
