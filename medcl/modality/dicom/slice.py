"""One slice of a DICOM series: what its header says of place, contrast and numbers, without names or birth dates."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydicom._uid_dict import UID_dictionary

from medcl.errors import UnreadableError
from medcl.modality.dicom.file import read_file_header, reading
from medcl.modality.dicom.header import (
    MODALITY_TERMS,
    OF_SINGLE_IMAGES,
    RESCALE_TERMS,
    Claims,
    b_value,
    every,
    first,
    frame_sources,
    number,
    numbers,
    tags_of,
    term,
    text,
    whole,
)
from medcl.modality.dicom.lookup import modality_table

KEYWORDS = [
    *("SpecificCharacterSet", "SOPClassUID", "PatientID", "StudyInstanceUID", "SeriesInstanceUID"),
    *("SOPInstanceUID", "Modality", "FrameOfReferenceUID", "ImageType", "AcquisitionDate"),
    *("AcquisitionDateTime", "SeriesDate", "StudyDate", "BurnedInAnnotation", "ImagePositionPatient"),
    *("ImageOrientationPatient", "PixelSpacing", "EchoTime", "TemporalPositionIdentifier", "DiffusionBValue"),
    *("AcquisitionNumber", "InstanceNumber", "RescaleSlope", "RescaleIntercept", "RescaleType"),
    *("ModalityLUTSequence", "WindowCenter", "WindowWidth", "SharedFunctionalGroupsSequence"),
    *("PerFrameFunctionalGroupsSequence", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation"),
    *("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
    *("PlanarConfiguration", "ExtendedOffsetTable", "ExtendedOffsetTableLengths"),
]
"""Every element of a header that is read, but for the private ones of `dicom_elements` that hold a b-value."""


@dataclass(frozen=True)
class Slice:
    """A file of one image, or one frame of a file of many.

    Args:
        file: relative to the root of the archive.
        frame: number of the frame in the file, from 0.
        frames: number of frames in the file.
        patient: clear id, as `study`, `series` and `sop` (the instance); empty where the header states none.
        modality: as DICOM writes it: `CT`, `MR`.
        rows: of the image.
        columns: of the image.
        position: of the centre of the first pixel, mm, LPS; None where the header states none.
        orientation: direction along a row, then down a column, LPS.
        pixel_spacing: mm between rows, then between columns.
        frame_of_reference: within which positions can be compared.
        echo: echo time, ms.
        temporal_position: number of the time point.
        b_value: s/mm2.
        acquisition: number of the acquisition, 0 where not stated.
        instance: number in the series, 0 where not stated.
        image_type: such as `ORIGINAL`, `PRIMARY`, `AXIAL`.
        slope: of the rescale; None where not stated, as `intercept`; 1 where a table (Modality LUT) stands in its
            place, for a CT only one in HU.
        intercept: of the rescale, 0 with a table.
        rescale_type: what the rescaled numbers, or those of the table, are: `HU`, or empty.
        photometric: interpretation of the numbers: `MONOCHROME2`.
        dtype: of the stored numbers, such as `int16`.
        bits: of a stored number that are used.
        transfer_syntax: uid of the way in which the file is written, empty where it is no one of the standard.
        date: of the acquisition, `20240131`, or empty: only for the days between two volumes, never to be shown.
        burned_in: whether text is said to stand in the image; None where the header is silent.
    """

    file: str
    frame: int
    frames: int
    patient: str
    study: str
    series: str
    sop: str
    modality: str
    rows: int
    columns: int
    position: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    pixel_spacing: tuple[float, ...] | None
    frame_of_reference: str
    echo: float | None
    temporal_position: int | None
    b_value: float | None
    acquisition: int
    instance: int
    image_type: tuple[str, ...]
    slope: float | None
    intercept: float | None
    rescale_type: str
    photometric: str
    dtype: str
    bits: int
    transfer_syntax: str
    date: str
    burned_in: bool | None


def read_slices(path: Path, root: Path) -> tuple[Slice, ...]:
    """Read the header of a DICOM image: one slice, or those of all frames, in their order.

    Raises:
        UnreadableError: as `read_file_header`; it has a place and names no series; the places of another number of
            frames than it states.
    """
    header, claims = read_file_header(path, tags_of(KEYWORDS))
    file = path.relative_to(root).as_posix()
    with reading("damaged header"):
        placed = bool(header.get("ImagePositionPatient") or header.get("PerFrameFunctionalGroupsSequence"))
        # Images of modalities that have no volumes stand alone: neither a series nor places must be stated.
        alone = text([header], "Modality").upper() in OF_SINGLE_IMAGES
        if alone:
            # What is shown black and white decides the numbers of an image: that must be readable too.
            number([header], "WindowCenter")
            number([header], "WindowWidth")
        if not header.get("SeriesInstanceUID") and placed and not alone:
            raise UnreadableError("no series instance UID: it cannot be told which slices belong together")
        groups = len(header.get("PerFrameFunctionalGroupsSequence") or [])
        if groups not in (0, claims.frames):
            raise UnreadableError(f"damaged header: {claims.frames} frames, the places of {groups}")
        slices = (_slice(file, frame, claims, frame_sources(header, frame)) for frame in range(claims.frames))
        # Of several frames the header has one place, which would be that of all of them.
        return tuple(one if groups or claims.frames == 1 else replace(one, position=None) for one in slices)


def _slice(file: str, frame: int, claims: Claims, sources: Sequence[Any]) -> Slice:
    header = sources[-1]
    syntax = str(header.file_meta.get("TransferSyntaxUID") or "")
    burned_in = {"YES": True, "NO": False}.get(text(sources, "BurnedInAnnotation").upper())
    modality = term(text(sources, "Modality"), MODALITY_TERMS)
    slope, intercept = number(sources, "RescaleSlope"), number(sources, "RescaleIntercept")
    rescale_type = term(text(sources, "RescaleType"), RESCALE_TERMS)
    if (found := modality_table(sources, modality)) is not None:
        _, rescale_type = found
        slope, intercept = (1.0, 0.0) if modality != "CT" or rescale_type == "HU" else (None, None)
    dates = ("AcquisitionDate", "AcquisitionDateTime", "SeriesDate", "StudyDate")
    return Slice(
        file=file,
        frame=frame,
        frames=claims.frames,
        patient=text(sources, "PatientID"),
        study=text(sources, "StudyInstanceUID"),
        series=text(sources, "SeriesInstanceUID") or text(sources, "SOPInstanceUID") or file,
        sop=text(sources, "SOPInstanceUID"),
        modality=modality,
        rows=claims.rows,
        columns=claims.columns,
        position=numbers(sources, "ImagePositionPatient", 3),
        orientation=numbers(sources, "ImageOrientationPatient", 6),
        pixel_spacing=numbers(sources, "PixelSpacing", 2),
        frame_of_reference=text(sources, "FrameOfReferenceUID"),
        echo=number(sources, "EffectiveEchoTime", "EchoTime"),
        temporal_position=whole(sources, "TemporalPositionIndex", "TemporalPositionIdentifier"),
        b_value=b_value(sources),
        acquisition=whole(sources, "AcquisitionNumber") or 0,
        instance=whole(sources, "InstanceNumber") or 0,
        image_type=tuple(str(part).strip().upper() for part in every(first(sources, "FrameType", "ImageType"))),
        slope=slope,
        intercept=intercept,
        rescale_type=rescale_type,
        photometric=claims.photometric,
        dtype=claims.dtype,
        bits=claims.stored,
        transfer_syntax=syntax if syntax in UID_dictionary else "",
        date=next((date[:8] for date in (text(sources, keyword) for keyword in dates) if date), ""),
        burned_in=burned_in,
    )
