"""Reports as RTF, as word processors and dictation systems write them."""

import re

from medcl.errors import UnreadableError, reason
from medcl.modality.report.formats.decode import WESTERN
from medcl.modality.report.formats.parts import Report
from medcl.modality.report.text import canonical, sections, spaced

_DEEPEST = 256
_MOST_TABLE = 100_000  # characters of a table of fonts
_CODE_PAGE = re.compile(rb"\\ansicpg(\d{1,5})")
_BRACES = re.compile(r"\\.|[{}]", re.DOTALL)
# Pictures in hexadecimal digits; no text has so many in a row.
_PICTURE = re.compile(r"[0-9a-fA-F\r\n]{400,}")
_PERSON = re.compile(r"\{\\(?:author|operator|manager)[ ]([^{}\\]{2,200})\}")


def read_rtf(content: bytes) -> Report:
    """Read a report from RTF with striprtf: what is shown on its pages, without markup, header and footer.

    Args:
        content: of the file.

    Returns:
        The report; the author and operator that its properties state are among its names.

    Raises:
        UnreadableError: striprtf is not installed, or the file is damaged, nested too deep, or has bytes that its code
            page does not explain.
    """
    try:
        from striprtf.striprtf import rtf_to_text
    except ImportError:
        raise UnreadableError("RTF: reading it needs striprtf: pip install 'medcl[reports]'") from None
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
