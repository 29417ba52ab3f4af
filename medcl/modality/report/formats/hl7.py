"""Reports as HL7 version 2 messages (ORU): the text of their observations, and the persons that their fields name."""

import re
from collections.abc import Iterator
from itertools import islice

from medcl.errors import UnreadableError
from medcl.modality.report.formats.text import Report, decoded
from medcl.modality.report.text import canonical, spaced
from medcl.modality.report.wording import HEADINGS

_MOST_SEGMENTS = 100_000
_PERSONS = {
    "PID": (5, 6, 9),
    "NK1": (2, 30),
    "PV1": (7, 8, 9, 17, 52),
    "ORC": (10, 11, 12, 19),
    "OBR": (10, 16, 28, 32, 33, 34, 35),
    "OBX": (16,),
    "IN1": (16,),
    "GT1": (3, 4),
    "PRT": (5,),
    "ROL": (4,),
}
"""Fields that name persons, by segment."""
_CONTACTS = {"PID": (11, 13, 14), "NK1": (4, 5, 6), "GT1": (5, 6, 7), "IN1": (19,)}
_NUMBERS = {"PID": (2, 3, 4, 18, 19), "PV1": (19,), "ORC": (2, 3), "OBR": (2, 3, 18, 19), "IN1": (36, 49)}
_CHARACTERS = {
    "UNICODE UTF-8": "utf-8",
    "UNICODE": "utf-8",
    "UTF-8": "utf-8",
    "ASCII": "cp1252",
    "8859/1": "cp1252",
    "8859/2": "iso8859-2",
    "8859/5": "iso8859-5",
    "8859/9": "iso8859-9",
    "8859/15": "iso8859-15",
}
_SUFFIXES = {"IMP": "IMPRESSION", "GDT": "FINDINGS", "ADT": "ADDENDUM", "REC": "RECOMMENDATION", "CNP": "COMPARISON"}
"""Of observation ids, `71020&IMP`."""
_TEXTS = {"TX", "FT", "ST", "CE", "CWE", ""}

_Segment = list[str]


def read_hl7(content: bytes) -> Report:
    """Read a report from a message: its observations of text (OBX-5) and notes (NTE-3), by section if their ids tell.

    The fields of persons, addresses, telephones and numbers (PID, NK1, PV1, ORC, OBR, OBX-16, IN1, GT1) are no text:
    they say what to look for in it.

    Returns:
        The report. Its patient is PID-3, its accession OBR-18, or else OBR-3 or OBR-2, its study ZDS-1 or IPC-3.

    Raises:
        UnreadableError: several messages in a file, a report that is only an encapsulated document, or an encoding that
            its bytes do not fit.
    """
    stated = re.search(rb"MSH[^\r\n]*", content[:8192])
    fields = stated[0].split(stated[0][3:4]) if stated else []
    name = fields[17].split(b"~")[0].decode("ascii", "ignore").strip().upper() if len(fields) > 17 else ""
    text, flags = decoded(content.replace(b"\x0b", b"\n").replace(b"\x1c", b"\n"), _CHARACTERS.get(name))
    lines = islice((line for line in re.split(r"[\r\n]+", text) if line.strip()), _MOST_SEGMENTS + 1)
    heads = [line for line in lines if re.match(r"[A-Z][A-Z0-9]{2}\W", line)]
    if len(heads) > _MOST_SEGMENTS:
        raise UnreadableError(f"HL7 message of more than {_MOST_SEGMENTS} segments: no report")
    headers = [line for line in heads if line.startswith("MSH")]
    if len(headers) != 1:
        raise UnreadableError(f"{len(headers)} HL7 messages in a file: write each to a file of its own")
    header = headers[0]
    if len(header) < 8:
        raise UnreadableError("damaged HL7 message: its header does not state how fields are divided")
    field, marks = header[3], header[4:8]
    segments = [line.split(field) for line in heads]
    return Report(
        canonical(_sections(segments, marks, field)),
        dict(_ids(segments, marks)),
        names=tuple(dict.fromkeys(_named(segments, marks))),
        flags=flags,
    )


def _at(segment: _Segment, number: int) -> str:
    return segment[number].strip() if number < len(segment) else ""


def _first(value: str, marks: str) -> str:
    """The first component of the first repetition of a field."""
    return re.split(f"[{re.escape(marks[0] + marks[3] + marks[1])}]", value, maxsplit=1)[0].strip()


def _sections(segments: list[_Segment], marks: str, field: str) -> dict[str, str]:
    found: dict[str, list[str]] = {}
    heading, encapsulated = "", False
    for segment in segments:
        kind = segment[0]
        if kind == "OBX":
            heading = _heading(_at(segment, 3), marks)
            value, form = _at(segment, 5), _at(segment, 2)
            if form in _TEXTS:
                line = value if form not in {"CE", "CWE"} else (value.split(marks[0]) + [""])[1] or value
                found.setdefault(heading, []).append(_unescaped(line, marks, field))
            elif form in {"NM", "SN"}:
                unit, name = _first(_at(segment, 6), marks), (_at(segment, 3).split(marks[0]) + [""])[1]
                line = " ".join(part for part in (name and f"{name}:", value.replace(marks[0], ""), unit) if part)
                found.setdefault("", []).append(_unescaped(line, marks, field))
            encapsulated |= form in {"ED", "RP"}
        elif kind == "NTE":
            found.setdefault(heading, []).append(_unescaped(_at(segment, 3), marks, field))
    if encapsulated and not any(line.strip() for lines in found.values() for line in lines):
        raise UnreadableError("HL7 message that holds its report as an encapsulated document: save that as a file")
    return {heading: spaced("\n".join(lines)) for heading, lines in found.items()}


def _heading(identifier: str, marks: str) -> str:
    """The section that the id of an observation speaks of; '' where it tells none."""
    parts = re.split(f"[{re.escape(marks[0] + marks[3])}]", identifier.upper())
    named = next((part.strip() for part in parts if part.strip() in HEADINGS), None)
    return named or next((_SUFFIXES[part.strip()] for part in parts if part.strip() in _SUFFIXES), "")


def _unescaped(value: str, marks: str, field: str) -> str:
    """The text that a value stands for: repetitions are lines."""
    component, repetition, escape, inner = marks[0], marks[1], marks[2], marks[3]
    value = value.replace(repetition, "\n")
    signs = {"F": field, "S": component, "R": repetition, "E": escape, "T": inner, "H": "", "N": ""}

    def sign(match: re.Match[str]) -> str:
        code = match[1]
        if code.startswith("."):
            return "\n" if code[1:3] in {"br", "sp", "ce"} else " "
        return signs.get(code, " ")

    mark = re.escape(escape)
    return re.sub(rf"{mark}([^{mark}\s]{{1,20}}){mark}", sign, value)


def _fields(segments: list[_Segment], places: dict[str, tuple[int, ...]]) -> Iterator[str]:
    for segment in segments:
        for number in places.get(segment[0], ()):
            if _at(segment, number):
                yield _at(segment, number)


def _named(segments: list[_Segment], marks: str) -> Iterator[str]:
    between = f"[{re.escape(marks[0] + marks[3])}]"
    for value in _fields(segments, _PERSONS):
        for person in value.split(marks[1]):
            # What is a number, such as the id before a physician's name, is one by itself.
            yield from (part.strip() for part in re.split(between, person)[:7] if len(part.strip()) > 1)
    for value in _fields(segments, _CONTACTS):
        for contact in value.split(marks[1]):
            parts = [part.strip() for part in re.split(between, contact)]
            yield from (part for part in parts if sum(map(str.isdigit, part)) >= 4 or (" " in part and len(part) > 6))
    for value in _fields(segments, _NUMBERS):
        yield from (_first(one, marks) for one in value.split(marks[1]) if _first(one, marks))


def _ids(segments: list[_Segment], marks: str) -> Iterator[tuple[str, str]]:
    wanted = {
        "patient": (("PID", 3), ("PID", 2)),
        "study": (("ZDS", 1), ("IPC", 3)),
        "accession": (("OBR", 18), ("OBR", 3), ("OBR", 2), ("ORC", 3)),
        "report": (("MSH", 9),),  # MSH-10: the field mark itself is MSH-1.
    }
    for kind, places in wanted.items():
        values = (_first(_at(one, n), marks) for name, n in places for one in segments if one[0] == name)
        value = next((value for value in values if value), None)
        if value is not None:
            yield kind, value
    patient = next((_at(one, 5) for one in segments if one[0] == "PID" and _at(one, 5)), "")
    if patient:
        yield "name", patient.split(marks[1])[0]
