"""One DICOM file as it is kept while a scan runs: its slices with codes in the place of ids and of dates."""

import functools
import hashlib
import json
import re
from dataclasses import dataclass, fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from medcl.archive.identity import code
from medcl.archive.path_ids import ids_of, is_placeholder, stand_in
from medcl.modality.dicom.claims import IMAGE_TYPE_TERMS
from medcl.modality.dicom.slice import Slice, read_slices

_NAMES = [field.name for field in fields(Slice)]
_LISTS = {_NAMES.index(name) for name in ("position", "orientation", "pixel_spacing", "image_type")}
_DECADES = 36525  # days; by up to a century the days of a patient are moved


@dataclass(frozen=True)
class CodedFile:
    """The slices of a file, without anything that names a person.

    Args:
        path: relative to the archive.
        size: bytes.
        mtime_ns: when it was changed.
        series: code.
        patient: code.
        day: of its first slice, counted from a day that only the site's salt knows; None where not stated.
        slices: as text, see `coded` and `decoded`.
        alone: whether its patient id is a placeholder, so that its study counts as a patient of its own.
    """

    path: str
    size: int
    mtime_ns: int
    series: int
    patient: int | None
    day: int | None
    slices: str
    alone: bool = False


def read_coded(
    root: Path, path: str, pattern: re.Pattern[str] | None, salt: bytes, *, zero_is_id: bool = False
) -> CodedFile:
    """Read the header of a DICOM image and code what identifies a person.

    Args:
        root: of the archive.
        path: of the file, relative to the root.
        pattern: of ids; where there is one, patient and study are those of the path, not those of the header.
        salt: of the codes.
        zero_is_id: whether 0 in a path is a patient like the others.

    Returns:
        The file.

    Raises:
        UnreadableError: as `read_slices`, or the pattern does not fit.
    """
    full = root / path
    stated = read_slices(full, root)
    about = full.stat()
    named = ids_of(path, pattern) if pattern is not None else {}
    visit = named.get("study", named.get("session"))
    slices = []
    days = []
    alone = False
    for one in stated:
        clear = named.get("patient", one.patient)
        if is_placeholder(clear, zero_is_id=zero_is_id and "patient" in named):
            alone, clear = True, stand_in(one.study or one.series or path)
        patient = _text("patient", clear, salt)
        day = _day(one.date, patient, salt)
        days += [] if day is None else [day]
        slices.append(
            replace(
                one,
                patient=patient,
                study=_text("study", one.study if visit is None else f"{clear}\0{visit}", salt),
                series=_text("series", one.series, salt),
                # Within a file all frames are one instance: of thousands, each is hashed once.
                sop=_text("instance", one.sop, salt),
                frame_of_reference=_text("frame", one.frame_of_reference, salt),
                image_type=tuple(part if part in IMAGE_TYPE_TERMS else "" for part in one.image_type),
                date="" if day is None else str(day),
            )
        )
    first = slices[0]
    return CodedFile(
        path=path,
        size=about.st_size,
        mtime_ns=about.st_mtime_ns,
        series=int(first.series),
        patient=int(first.patient) if first.patient else None,
        day=min(days, default=None),
        slices=coded(slices),
        alone=alone,
    )


def coded(slices: list[Slice]) -> str:
    """Slices as text."""
    return json.dumps([list(vars(one).values()) for one in slices], check_circular=False)


def decoded(text: str) -> list[Slice]:
    """Slices from what `coded` made of them."""
    stored: list[list[Any]] = json.loads(text)
    for values in stored:
        for i in _LISTS:
            values[i] = None if values[i] is None else tuple(values[i])
    return [Slice(*values) for values in stored]


def checksum(files: list[tuple[str, int]], slices: list[Slice]) -> str:
    """Of the names and sizes of a volume's files, and of what their headers say.

    Args:
        files: path relative to the folder of the first, and bytes.
        slices: of the volume, in order.

    Returns:
        32 hexadecimal digits.
    """
    digest = hashlib.blake2b(json.dumps(files).encode("utf-8", "surrogateescape"), digest_size=16)
    # Where the archive lies does not matter: neither does the path of a slice.
    digest.update(coded([replace(one, file="") for one in slices]).encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


@functools.lru_cache(maxsize=4096)
def _text(level: str, clear: str, salt: bytes) -> str:
    return str(code(level, clear, salt)) if clear else ""


@functools.lru_cache(maxsize=4096)
def _day(date: str, patient: str, salt: bytes) -> int | None:
    """The day of a date, moved by a number of days that is the patient's own."""
    try:
        ordinal = datetime.strptime(date, "%Y%m%d").toordinal()
    except ValueError:
        return None
    return ordinal + int(_text("days", patient or "-", salt)) % _DECADES
