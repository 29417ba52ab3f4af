"""One DICOM file while a scan runs: its slices with codes in the place of ids and dates, and what is read of it."""

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
from medcl.modality.dicom.header import IMAGE_TYPE_TERMS, PRIVATE_TAGS
from medcl.modality.dicom.slice import KEYWORDS, Slice, read_slices

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


_CODE = "kept as a code (BLAKE2b keyed with the site's salt)"
_DAYS = "kept as days since the patient's first study; the date is not kept"
_GEOMETRY = "kept in shape, spacing, orientation and flags"
_GROUPING = "used to divide a series into volumes; kept in flags, in words"
_NUMBERS = "used to check the pixels; kept in dtype and status"
_FATES = {
    "SpecificCharacterSet": "used to read text; not kept",
    "SOPClassUID": "used to tell an image from another object; not kept",
    "PatientID": f"{_CODE} in `patient`",
    "StudyInstanceUID": f"{_CODE} in `study`",
    "SeriesInstanceUID": f"{_CODE} in `series`",
    "SOPInstanceUID": "used as a code to find duplicates; not kept",
    "Modality": "kept as one of the words of the manifest: ct, mr, pt, xray, us, ...",
    "FrameOfReferenceUID": "used as a code to divide a series into volumes; not kept",
    "ImageType": _GROUPING,
    "AcquisitionDate": _DAYS,
    "AcquisitionDateTime": _DAYS,
    "SeriesDate": _DAYS,
    "StudyDate": _DAYS,
    "BurnedInAnnotation": "kept as the flag `burned-in annotation`",
    "ImagePositionPatient": _GEOMETRY,
    "ImageOrientationPatient": _GEOMETRY,
    "PixelSpacing": _GEOMETRY,
    "EchoTime": _GROUPING,
    "TemporalPositionIdentifier": _GROUPING,
    "DiffusionBValue": _GROUPING,
    "AcquisitionNumber": _GROUPING,
    "InstanceNumber": _GROUPING,
    "RescaleSlope": _NUMBERS,
    "RescaleIntercept": _NUMBERS,
    "RescaleType": _NUMBERS,
    "ModalityLUTSequence": _NUMBERS,
    "SharedFunctionalGroupsSequence": "searched for the elements of this list",
    "PerFrameFunctionalGroupsSequence": "searched for the elements of this list",
    "NumberOfFrames": _NUMBERS,
    "SamplesPerPixel": _NUMBERS,
    "PhotometricInterpretation": _NUMBERS,
    "Rows": _GEOMETRY,
    "Columns": _GEOMETRY,
    "BitsAllocated": _NUMBERS,
    "BitsStored": _NUMBERS,
    "WindowCenter": _NUMBERS,
    "WindowWidth": _NUMBERS,
    "HighBit": _NUMBERS,
    "PixelRepresentation": _NUMBERS,
    "PlanarConfiguration": _NUMBERS,
    "ExtendedOffsetTable": _NUMBERS,
    "ExtendedOffsetTableLengths": _NUMBERS,
}


def recipe() -> str:
    """The table that `medcl scan --deid-recipe` shows.

    Returns:
        One line an element that is read, and what holds for all others.

    Raises:
        KeyError: an element is read whose fate is not stated here.
    """
    rows = [(keyword, _FATES[keyword]) for keyword in KEYWORDS]
    rows += [(f"({tag >> 16:04X},{tag & 0xFFFF:04X}) of {owner}", _GROUPING) for tag, owner in PRIVATE_TAGS.items()]
    width = max(len(name) for name, _ in rows)
    return "\n".join(
        [
            "What medcl scan takes from a DICOM header:",
            *(f"  {name:<{width}}  {fate}" for name, fate in rows),
            "",
            "Every other element is passed over: names, birth dates, ages, accession numbers, institutions, devices,",
            "descriptions, comments, other private elements. Paths of files are kept, since they are needed to read",
            "them: look whether yours hold names. Pixels are not changed: what is burned into them stays, flagged if",
            "the header says so. While a scan runs, what it has read lies beside the manifest, with codes in the place",
            "of ids and every date moved by up to a century, by a number of days that only the salt tells; at the end",
            "it is deleted.",
        ]
    )
