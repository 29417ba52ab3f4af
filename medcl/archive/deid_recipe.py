"""What is taken from a DICOM header and what becomes of it, for the data protection officer."""

from medcl.modality.dicom.elements import PRIVATE_TAGS
from medcl.modality.dicom.slice import KEYWORDS

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
            "of ids and every date moved by up to a century, by a number of days that only the salt tells; it is gone",
            "at the end.",
        ]
    )
