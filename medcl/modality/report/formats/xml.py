"""Reports as XML: Open-I's, and others whose elements are sections."""

import re
from collections.abc import Iterator
from xml.etree.ElementTree import Element, ParseError, TreeBuilder, XMLParser

from medcl.errors import UnreadableError
from medcl.modality.report.formats.text import Report
from medcl.modality.report.text import canonical, sections, spaced
from medcl.modality.report.wording import HEADINGS, names_a_person

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


_DEEPEST = 64
_IDS = {
    "patient": {"patientid", "patient_id", "subject_id", "subjectid", "mrn"},
    "study": {"studyid", "study_id", "studyinstanceuid", "study_uid"},
    "accession": {"accession", "accessionnumber", "accession_number"},
    "report": {"uid", "reportid", "report_id", "documentid"},
    "name": {"patientname", "patient_name"},
}
_LABELS = ("label", "title", "name", "heading", "section")
_BLOCKS = {"text", "report", "abstract", "abstracttext", "body", "section", "paragraph", "p", "note", "narrative"}


class _Builder(TreeBuilder):
    """Refuses what an XML file can do beyond holding text; such files are written to attack, not to report."""

    def __init__(self) -> None:
        super().__init__()
        self.depth = 0

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise UnreadableError("XML with a DOCTYPE, which can name other files or multiply itself: not read; remove it")

    def start(self, tag: str, attrs: dict[str, str]) -> Element:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise UnreadableError(f"XML with elements more than {_DEEPEST} deep: no report")
        return super().start(tag, attrs)

    def end(self, tag: str) -> Element:
        self.depth -= 1
        return super().end(tag)


def read_xml(content: bytes) -> Report:
    """Read a report from XML.

    A clinical document (CDA) is read as `report_cda.read_cda` says. Open-I: each `AbstractText` is a section named by
    its `Label`, the `id` of each `parentImage` is an image, and the `id` of `uId` is the report's. In other files an
    element is a section if its name or its label (`label`, `title`, `name`) is a heading of reports, or it holds text
    in an element made for it (`text`, `section`, `p`, ...); elements or attributes such as `patient_id` and
    `AccessionNumber` are ids, those made for names of persons are names, and `image` with an id is an image.

    Raises:
        UnreadableError: not well-formed, not in the encoding that it states, or with a DOCTYPE (nothing is ever
            expanded or fetched).
    """
    root = parse_xml(content)
    if is_cda(root):
        return read_cda(root)
    abstracts = [element for element in root.iter() if local(element) == "abstracttext"]
    found: dict[str, str] = {}
    for heading, body in _labelled(abstracts) if abstracts else _sections(root):
        found[heading] = f"{found[heading]}\n{body}" if heading in found else body
    if not any(found.values()) and not list(root):
        found = sections(_text_xml(root))
    names = tuple(dict.fromkeys(_names_xml(root)))
    return Report(canonical(found), dict(_ids_xml(root)), tuple(dict.fromkeys(_images(root))), names)


def parse_xml(content: bytes) -> Element:
    """The root of an XML file.

    Raises:
        UnreadableError: not well-formed, nested too deep, not in the encoding that it states, or with a DOCTYPE.
    """
    builder = _Builder()
    parser = XMLParser(target=builder)
    try:
        # In pieces up to the first element: a refusal is raised at the end of one, before anything is expanded.
        place = 0
        while place < len(content) and not builder.depth:
            end = content.find(b">", place) + 1 or len(content)
            parser.feed(content[place:end])
            place = end
        parser.feed(content[place:])
        root: Element = parser.close()
    except ParseError as error:
        line, column = error.position
        raise UnreadableError(f"not well-formed XML: line {line}, column {column}") from None
    except (LookupError, ValueError):
        raise UnreadableError("XML in an encoding that is not known: convert it to UTF-8") from None
    return root


def _label(element: Element) -> str:
    attributes = {key.rsplit("}", 1)[-1].lower(): value.strip() for key, value in element.attrib.items()}
    return next((attributes[key] for key in _LABELS if attributes.get(key)), "")


def _text_xml(element: Element) -> str:
    return "".join(element.itertext()).strip()


def _labelled(elements: list[Element]) -> Iterator[tuple[str, str]]:
    for element in elements:
        heading = _label(element).upper()
        if heading:
            yield heading, _text_xml(element)
        else:
            yield from sections(_text_xml(element)).items()


def _sections(element: Element) -> Iterator[tuple[str, str]]:
    """Sections of a file that is not Open-I's, in its order."""
    label = _label(element)
    for heading in (re.sub(r"[_-]+", " ", local(element)).upper(), label.upper()):
        if heading in HEADINGS and (not list(element) or heading != "REPORT") and _text_xml(element):
            yield heading, _text_xml(element)
            return
    children = list(element)
    if children and any(_holds(child) for child in children):
        for child in children:
            yield from _sections(child)
    elif local(element) in _BLOCKS and _text_xml(element):
        if label:
            yield label.upper(), _text_xml(element)
        else:
            yield from sections(_text_xml(element)).items()


def _holds(element: Element) -> bool:
    """Whether one of its elements, or itself, is a section or made for text."""
    headings = {re.sub(r"[_-]+", " ", local(each)).upper() for each in element.iter()}
    names = {local(each) for each in element.iter()}
    return bool(headings & set(HEADINGS) or names & _BLOCKS or any(_label(each) for each in element.iter()))


def _ids_xml(root: Element) -> Iterator[tuple[str, str]]:
    """The first value of each kind of id."""
    seen = set()
    for element in root.iter():
        name = local(element)
        stated = [(name, element.get("id") or (element.text or "").strip() if not list(element) else "")]
        stated += [(key.rsplit("}", 1)[-1].lower(), value) for key, value in element.attrib.items()]
        for key, value in stated:
            kind = next((kind for kind, names in _IDS.items() if key in names), None)
            if kind is not None and value.strip() and kind not in seen:
                seen.add(kind)
                yield kind, value.strip()


def _names_xml(root: Element) -> Iterator[str]:
    """What stands in elements or attributes that are made for names of persons."""
    for element in root.iter():
        stated = [(local(element), "" if list(element) else (element.text or ""))]
        stated += [(key.rsplit("}", 1)[-1].lower(), value) for key, value in element.attrib.items()]
        yield from (value.strip() for key, value in stated if names_a_person(key) and value.strip())


def _images(root: Element) -> Iterator[str]:
    for element in root.iter():
        if local(element) in {"parentimage", "image"}:
            name = element.get("id") or element.get("file") or element.get("name")
            if name and name.strip():
                yield name.strip()
