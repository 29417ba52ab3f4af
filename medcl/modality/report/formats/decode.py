"""The characters of a text file: UTF-8, UTF-16 that is marked, or Windows-1252 where its bytes make sense as that."""

import codecs
from typing import NamedTuple

from medcl.errors import UnreadableError

MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
WESTERN = "cp1252"
_FLAG = "its bytes are no UTF-8: read as Windows-1252"
# Of the control characters text has tab, line feed, form feed and carriage return.
_CONTROLS = frozenset(map(chr, range(32))) - set("\t\n\f\r")
_MOST_MARKED = 0.15
"""Of the letters of a Western text these have an accent or an umlaut at most; of Cyrillic read as Western, all have."""
_SIGNS = frozenset("°±²³µ·«»–—‘’“”„…‰€§º¼½¾×÷®©™ªß\xa0\xad")


class Decoded(NamedTuple):
    """A text, and what a person should know of how it was read."""

    text: str
    flags: tuple[str, ...] = ()


def decoded(content: bytes, encoding: str | None = None) -> Decoded:
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
        return Decoded(western, (_FLAG,))
    control = next((place for place, character in enumerate(text) if character in _CONTROLS), None)
    if control is not None:
        before = len(mark) + len(text[:control].encode(name))
        raise UnreadableError(f"not text: byte {before} is a control character: binary, or UTF-16 without its mark")
    return Decoded(text)


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
