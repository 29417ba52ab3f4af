"""XML files of samples, read without anything that XML can do beyond holding text."""

import base64
import binascii
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from medcl.errors import UnreadableError

_LARGEST = 1 << 26  # bytes; an ECG of ten seconds takes 200 kB
_DEEPEST = 64


def parse(path: Path) -> Element:
    """Read an XML file.

    A DOCTYPE that only names a DTD, as GE MUSE writes, is passed over: nothing is fetched.

    Args:
        path: of the file.

    Returns:
        Its root; names of elements and attributes are without their namespaces.

    Raises:
        UnreadableError: entities, a DTD inside, not well-formed, very deep or very large.
    """
    if path.stat().st_size > _LARGEST:
        raise UnreadableError(f"an XML file of more than {_LARGEST >> 20} MiB: no recording of an ECG")
    builder, parser = TreeBuilder(), expat.ParserCreate(namespace_separator="}")
    depth = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _DEEPEST:
            raise UnreadableError(f"XML with elements more than {_DEEPEST} deep: no recording")
        builder.start(_bare(name), {_bare(key): value for key, value in attributes.items()})

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(_bare(name))

    def doctype(name: str, system: str | None, public: str | None, has_internal: int) -> None:
        if has_internal:
            refuse()

    def refuse(*_: Any) -> None:
        raise UnreadableError("XML with a DTD inside, which can name other files or multiply itself: not read")

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler, parser.EntityDeclHandler = doctype, refuse
    parser.buffer_text = True
    try:
        with path.open("rb") as file:
            parser.ParseFile(file)
        return builder.close()
    except expat.ExpatError as error:
        raise UnreadableError(f"not well-formed XML: line {error.lineno}, column {error.offset}") from None
    except (LookupError, ValueError, AssertionError):
        raise UnreadableError("XML in an encoding that is not known: convert it to UTF-8") from None


def text(element: Element, path: str) -> str:
    """The text of the first element at a path, without the space around it; empty if there is none."""
    return (element.findtext(path) or "").strip()


def number(element: Element, path: str, what: str) -> float:
    """The number in the first element at a path.

    Raises:
        UnreadableError: there is none.
    """
    try:
        return float(text(element, path))
    except ValueError:
        raise UnreadableError(f"damaged header: {what} is no number") from None


def decoded(content: str) -> bytes:
    """Bytes in base64.

    Raises:
        UnreadableError: it is none.
    """
    try:
        return base64.b64decode("".join(content.split()), validate=True)
    except (binascii.Error, ValueError):
        raise UnreadableError("damaged samples: they are not in base64") from None


def _bare(name: str) -> str:
    return name.rsplit("}", 1)[-1]
