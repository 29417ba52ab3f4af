"""Reports as HL7 clinical documents (CDA, C-CDA): the narrative text of their sections, and whom their header names."""

from collections.abc import Iterator
from xml.etree.ElementTree import Element

from medcl.errors import UnreadableError
from medcl.modality.report.formats.parts import Report
from medcl.modality.report.text import canonical, spaced

_LINES = {"br", "paragraph", "item", "list", "tr", "table", "caption", "text", "title"}
_CELLS = {"td", "th"}


def local(element: Element) -> str:
    """The name of an element without its namespace, in small letters."""
    return element.tag.rsplit("}", 1)[-1].lower()


def is_cda(root: Element) -> bool:
    """Whether an XML document is a clinical document."""
    return local(root) == "clinicaldocument"


def read_cda(root: Element) -> Report:
    """Read a report from a clinical document.

    Args:
        root: of the document.

    Returns:
        A section for each that has text, under its title. The names of patient, relatives and staff anywhere in the
        document, telephone numbers and streets are among its names; the id of the patient is that of the record target.

    Raises:
        UnreadableError: its body is no XML but another file.
    """
    found: dict[str, str] = {}
    for section in (element for element in root.iter() if local(element) == "section"):
        # A section within a section has a title of its own.
        parts = {local(child): child for child in section if local(child) in {"title", "text"}}
        if "text" in parts:
            heading = " ".join(_text(parts["title"]).split()).upper() if "title" in parts else ""
            body = _text(parts["text"])
            found[heading] = f"{found[heading]}\n{body}" if heading in found else body
    if not found and any(local(element) == "nonxmlbody" for element in root.iter()):
        raise UnreadableError("clinical document (CDA) whose body is another file, such as a PDF: save that as a file")
    names = tuple(dict.fromkeys(_names(root)))
    return Report(canonical({heading: spaced(body) for heading, body in found.items()}), dict(_ids(root)), names=names)


def _text(element: Element) -> str:
    return "".join(_pieces(element)).strip()


def _pieces(element: Element) -> Iterator[str]:
    name = local(element)
    if name in _LINES:
        yield "\n"
    elif name in _CELLS:
        yield " | "
    yield " ".join((element.text or "").split("\n"))
    for child in element:
        yield from _pieces(child)
        yield " ".join((child.tail or "").split("\n"))
    if name in _LINES:
        yield "\n"


def _names(root: Element) -> Iterator[str]:
    """Names of persons, not of hospitals; telephone numbers, addresses of e-mail, streets; extensions of ids."""
    parents = {child: parent for parent in root.iter() for child in parent}
    for element in root.iter():
        name, parent = local(element), local(parents[element]) if element in parents else ""
        if name == "name" and "organization" not in parent and parent not in {"place", "device"}:
            yield from (part for part in "^".join(element.itertext()).replace("\n", "^").split("^") if part.strip())
        elif name == "telecom" and element.get("value"):
            yield str(element.get("value")).split(":", 1)[-1]
        elif name in {"streetaddressline", "postalcode"} and (element.text or "").strip():
            yield str(element.text).strip()
        elif name == "id" and element.get("extension"):
            yield str(element.get("extension"))


def _ids(root: Element) -> Iterator[tuple[str, str]]:
    for kind, holder in (("patient", "patientrole"), ("accession", "order"), ("report", "clinicaldocument")):
        for element in root.iter():
            if local(element) == holder:
                # The first id of several that has an extension: without one it names who gives out ids.
                own = (child.get("extension") or "" for child in element if local(child) == "id")
                value = next((one.strip() for one in own if one.strip()), None)
                if value is not None:
                    yield kind, value
                break
