"""DICOM structured reports: the tree of their content as sections of text."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pydicom
from pydicom.multival import MultiValue

from medcl.errors import UnreadableError
from medcl.modality.dicom.file import reading
from medcl.modality.report.formats.text import Report
from medcl.modality.report.text import canonical

_CLASSES = "1.2.840.10008.5.1.4.1.1.88."
"""All classes of structured reports begin so; selected images (.59) and other lists of references do too."""
_NO_REPORTS = {f"{_CLASSES}59"}
_IDS = {
    "patient": "PatientID",
    "study": "StudyInstanceUID",
    "accession": "AccessionNumber",
    "report": "SOPInstanceUID",
}
_DEEPEST = 64
_PERSON = "[NAME]"
# What surrounds a report: the language, who wrote it and which procedure it is of, coded.
_CONTEXT = {"HAS OBS CONTEXT", "HAS CONCEPT MOD", "HAS ACQ CONTEXT"}


def is_structured_report(path: Path) -> bool:
    """Whether a DICOM file is a structured report.

    Raises:
        UnreadableError: the header is damaged.
    """
    with reading("damaged header"):
        header = pydicom.dcmread(path, specific_tags=["SOPClassUID"], stop_before_pixels=True, force=True)
        kind = str(header.get("SOPClassUID") or getattr(header, "file_meta", {}).get("MediaStorageSOPClassUID", ""))
    return kind.startswith(_CLASSES) and kind not in _NO_REPORTS


def read_sr(path: Path) -> Report:
    """Read a structured report.

    A container with a heading is a section, and what it contains are its lines: texts as they stand; codes and numbers
    with their names and units (`Longest axis: 12 mm`); dates and times; a person's name is never taken, its place says
    `[NAME]`. What only describes the circumstances (observer, language) is left out. Images and other objects that
    are referred to are the report's records.

    Raises:
        UnreadableError: not a DICOM file, another object than a report, damaged, or in a character set that its bytes
            do not fit.
    """
    if not is_structured_report(path):
        raise UnreadableError("not a structured report: a DICOM object of another class")
    with reading("damaged structured report"):
        dataset = pydicom.dcmread(path, force=True, stop_before_pixels=True)
        _check_characters(dataset)
        found: dict[str, list[str]] = {}
        for heading, line in _lines(dataset, "", 0):
            found.setdefault(heading, []).append(line)
        ids = {name: str(dataset.get(keyword) or "").strip() for name, keyword in _IDS.items()}
        ids["name"] = str(dataset.get("PatientName") or "").strip()
        records = tuple(dict.fromkeys(_references(dataset, 0)))
        persons = (element.value for element in dataset.iterall() if element.VR == "PN")
        names = tuple(
            dict.fromkeys(str(one).strip() for person in persons for one in _each(person) if str(one).strip())
        )
    text = canonical({heading: "\n".join(lines) for heading, lines in found.items()})
    return Report(text, {name: value for name, value in ids.items() if value}, records, names)


def _lines(item: pydicom.Dataset, heading: str, depth: int) -> Iterator[tuple[str, str]]:
    """Heading and line of all that an item contains."""
    if depth > _DEEPEST:
        raise UnreadableError(f"damaged structured report: its content is more than {_DEEPEST} deep")
    for child in item.get("ContentSequence") or ():
        if str(child.get("RelationshipType", "")) in _CONTEXT:
            continue
        name, kind = _meaning(child.get("ConceptNameCodeSequence")), str(child.get("ValueType", ""))
        if kind == "CONTAINER":
            yield from _lines(child, name or heading, depth + 1)
            continue
        line = _line(child, kind)
        if line and kind == "TEXT" and not heading and name:
            # Basic text reports may state their sections without containers.
            yield name, line
        elif line:
            yield heading, line if kind == "TEXT" or not name else f"{name}: {line}"
        yield from _lines(child, heading or (name if kind == "TEXT" else ""), depth + 1)


def _line(item: pydicom.Dataset, kind: str) -> str:
    if kind == "TEXT":
        return str(item.get("TextValue") or "").strip()
    if kind == "CODE":
        return _meaning(item.get("ConceptCodeSequence"))
    if kind == "NUM":
        return _measurement(item)
    if kind == "PNAME":
        return _PERSON
    dated = {"DATE": "Date", "TIME": "Time", "DATETIME": "DateTime"}
    return str(item.get(dated[kind]) or "").strip() if kind in dated else ""


def _measurement(item: pydicom.Dataset) -> str:
    for value in item.get("MeasuredValueSequence") or ():
        unit = next(iter(value.get("MeasurementUnitsCodeSequence") or ()), None)
        # The code of a unit is how it is written; that of none at all is 1.
        code = str(unit.get("CodeValue") or "") if unit is not None else ""
        code = "" if code in {"1", "{1}"} or code.startswith("{") else code
        return f"{value.get('NumericValue', '')} {code}".strip()
    return ""


def _each(value: Any) -> Sequence[Any]:
    """One name, or several."""
    return value if isinstance(value, MultiValue) else (value,)


def _meaning(sequence: pydicom.Sequence | None) -> str:
    return str(sequence[0].get("CodeMeaning") or "").strip() if sequence else ""


def _references(item: pydicom.Dataset, depth: int) -> Iterator[str]:
    if depth > _DEEPEST:
        return
    for child in item.get("ContentSequence") or ():
        for reference in child.get("ReferencedSOPSequence") or ():
            if reference.get("ReferencedSOPInstanceUID"):
                yield str(reference.ReferencedSOPInstanceUID)
        yield from _references(child, depth + 1)


def _check_characters(dataset: pydicom.Dataset) -> None:
    """Refuse text that the stated character set does not explain: pydicom would replace what it cannot decode."""
    for element in dataset.iterall():
        if element.VR in {"UT", "LO", "PN", "SH", "ST", "LT", "UC"} and "\ufffd" in str(element.value):
            raise UnreadableError(
                "text that its stated character set does not explain: state the right one (0008,0005)"
            )
