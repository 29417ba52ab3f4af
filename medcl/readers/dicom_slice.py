"""One slice of a DICOM series: what its header says of place, contrast and numbers, without names or birth dates."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pydicom

from medcl.errors import UnreadableError
from medcl.readers.dicom_elements import b_value, every, first, number, numbers, tags_of, text, whole
from medcl.readers.dicom_file import read_file_header, reading
from medcl.readers.dicom_image import PICTURES

KEYWORDS = [
    "SpecificCharacterSet",
    "SOPClassUID",
    "PatientID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SOPInstanceUID",
    "Modality",
    "FrameOfReferenceUID",
    "ImageType",
    "AcquisitionDate",
    "AcquisitionDateTime",
    "SeriesDate",
    "StudyDate",
    "BurnedInAnnotation",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "EchoTime",
    "TemporalPositionIdentifier",
    "DiffusionBValue",
    "AcquisitionNumber",
    "InstanceNumber",
    "RescaleSlope",
    "RescaleIntercept",
    "RescaleType",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
    "NumberOfFrames",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "PixelRepresentation",
]
"""Every element of a header that is read, but for the private ones of `dicom_elements` that hold a b-value."""


@dataclass(frozen=True)
class Slice:
    """A file of one picture, or one frame of a file of many.

    Args:
        file: relative to the root of the archive.
        frame: number of the frame in the file, from 0.
        frames: how many the file holds.
        patient: clear id, as `study`, `series` and `sop` (the instance); empty where the header states none.
        modality: as DICOM writes it: `CT`, `MR`.
        rows: of the picture.
        columns: of the picture.
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
        slope: of the rescale; None where not stated, as `intercept`.
        intercept: of the rescale.
        rescale_type: what the rescaled numbers are: `HU`, or empty.
        photometric: interpretation of the numbers: `MONOCHROME2`.
        dtype: of the stored numbers, such as `int16`.
        bits: of a stored number that are used.
        transfer_syntax: uid of the way in which the file is written.
        date: of the acquisition, `20240131`, or empty: only for the days between two volumes, never to be shown.
        burned_in: whether text is said to stand in the picture; None where the header is silent.
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
    """Read the header of a DICOM image: one slice, or as many as an enhanced multi-frame object has frames.

    Args:
        path: of the file, whatever its name.
        root: of the archive, a folder above it.

    Returns:
        The slices in the order of the frames.

    Raises:
        UnreadableError: as `read_file_header`; it names no series; several frames of a volume
            whose places are not stated.
    """
    header = read_file_header(path, tags_of(KEYWORDS))
    file = path.relative_to(root).as_posix()
    with reading("damaged header"):
        # Pictures of modalities that have no volumes stand alone: neither a series nor places must be stated.
        alone = text([header], "Modality").upper() in PICTURES
        if not header.get("SeriesInstanceUID") and not (alone and header.get("SOPInstanceUID")):
            raise UnreadableError("no series instance UID: it cannot be told which slices belong together")
        count = int(header.get("NumberOfFrames") or 1)
        frames = header.get("PerFrameFunctionalGroupsSequence") or []
        if not frames and count > 1 and not alone:
            raise UnreadableError(f"{count} frames without functional groups: their places are not stated")
        if frames and len(frames) != count:
            raise UnreadableError(f"damaged header: {count} frames, the places of {len(frames)}")
        shared = [item for group in header.get("SharedFunctionalGroupsSequence") or [] for item in _items(group)]
        groups = [[*_items(frame), *shared, header] for frame in frames] or [[header]] * (count if alone else 1)
        return tuple(_slice(file, frame, count, sources) for frame, sources in enumerate(groups))


def _items(group: pydicom.Dataset) -> list[pydicom.Dataset]:
    """The data sets of a functional group: each element of it is a sequence of one."""
    return [element.value[0] for element in group if element.VR == "SQ" and element.value]


def _slice(file: str, frame: int, count: int, sources: Sequence[pydicom.Dataset]) -> Slice:
    header = sources[-1]
    signed = {0: "uint", 1: "int"}.get(header.get("PixelRepresentation"), "float")
    burned_in = {"YES": True, "NO": False}.get(text(sources, "BurnedInAnnotation").upper())
    dates = ("AcquisitionDate", "AcquisitionDateTime", "SeriesDate", "StudyDate")
    return Slice(
        file=file,
        frame=frame,
        frames=count,
        patient=text(sources, "PatientID"),
        study=text(sources, "StudyInstanceUID"),
        series=text(sources, "SeriesInstanceUID") or text(sources, "SOPInstanceUID"),
        sop=text(sources, "SOPInstanceUID"),
        modality=text(sources, "Modality").upper(),
        rows=int(header.Rows),
        columns=int(header.Columns),
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
        slope=number(sources, "RescaleSlope"),
        intercept=number(sources, "RescaleIntercept"),
        rescale_type=text(sources, "RescaleType").upper(),
        photometric=text(sources, "PhotometricInterpretation").upper(),
        dtype=f"{signed}{header.BitsAllocated}",
        bits=int(header.get("BitsStored") or header.BitsAllocated),
        transfer_syntax=str(header.file_meta.get("TransferSyntaxUID", "")),
        date=next((date[:8] for date in (text(sources, keyword) for keyword in dates) if date), ""),
        burned_in=burned_in,
    )
