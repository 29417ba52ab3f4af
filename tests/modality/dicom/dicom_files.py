"""Tiny DICOM files for the tests: a CT series, and an enhanced MR of several frames."""

from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    DigitalXRayImageStorageForPresentation,
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
)

from medcl.modality.dicom.slice import Slice, read_slices

ROWS, COLUMNS = 4, 6


def pixels_of(number: int, shape: tuple[int, ...] = (ROWS, COLUMNS)) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 2000, shape).astype(np.int16)


def dataset(number: int = 0, **changes: Any) -> Dataset:
    """One slice of a CT, 2.5 mm behind the one before it; a change to None takes the element out."""
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID = CTImageStorage
    made.SOPInstanceUID = f"1.2.3.4.{number + 1}"
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    made.PatientID, made.PatientName, made.PatientBirthDate = "secret-id", "Secret^Name", "19500101"
    made.AccessionNumber = "secret-accession"
    made.StudyInstanceUID, made.SeriesInstanceUID, made.FrameOfReferenceUID = "1.2.3", "1.2.3.4", "1.2.3.9"
    made.Modality, made.ImageType, made.AcquisitionDate = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"], "20240131"
    made.ImagePositionPatient = [-10, -20, 5 + 2.5 * number]
    made.ImageOrientationPatient, made.PixelSpacing = [1, 0, 0, 0, 1, 0], [0.5, 0.75]
    made.SliceThickness, made.InstanceNumber = 9, 100 - number  # neither tells the place
    made.RescaleSlope, made.RescaleIntercept, made.RescaleType = 1, -1024, "HU"
    made.PhotometricInterpretation, made.SamplesPerPixel = "MONOCHROME2", 1
    made.Rows, made.Columns = ROWS, COLUMNS
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 16, 16, 15, 1
    made.PixelData = pixels_of(number).tobytes()
    for keyword, value in changes.items():
        if value is None:
            del made[keyword]
        else:
            setattr(made, keyword, value)
    return made


def write(path: Path, number: int = 0, **changes: Any) -> Path:
    dataset(number, **changes).save_as(path, enforce_file_format=True)
    return path


def radiograph(path: Path, number: int = 0, **changes: Any) -> Path:
    """Write a digital radiograph of 12 bits, which has no place in space and is a series of its own."""
    stored = pixels_of(number).astype(np.uint16)
    own: dict[str, Any] = {
        "SOPClassUID": DigitalXRayImageStorageForPresentation,
        "Modality": "DX",
        "SeriesInstanceUID": f"1.2.3.5.{number}",
        "PixelData": stored.tobytes(),
        "PixelRepresentation": 0,
        "BitsStored": 12,
        "HighBit": 11,
        "RescaleIntercept": 0,
        "RescaleType": "US",
        **dict.fromkeys(("ImagePositionPatient", "ImageOrientationPatient", "FrameOfReferenceUID", "SliceThickness")),
    }
    return write(path, number, **{**own, **changes})


def series(folder: Path, count: int = 5, **changes: Any) -> list[Slice]:
    """Write a CT series and read its headers, the last slice first."""
    paths = [write(folder / f"{number}.dcm", number, **changes) for number in reversed(range(count))]
    return [one for path in paths for one in read_slices(path, folder)]


def item(**elements: Any) -> Dataset:
    made = Dataset()
    for keyword, value in elements.items():
        setattr(made, keyword, value)
    return made


def enhanced(path: Path, echoes: tuple[float, ...] = (5.0, 10.0), slices: int = 3, **changes: Any) -> np.ndarray:
    """Write an enhanced MR whose frames run through the slices from above, each echo in turn; returns the frames."""
    made = dataset(0, SOPClassUID=EnhancedMRImageStorage, Modality="MR", PixelRepresentation=0)
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope"):
        del made[keyword]
    del made.RescaleIntercept
    frames = pixels_of(7, (slices * len(echoes), ROWS, COLUMNS)).astype(np.uint16)
    made.PixelData, made.NumberOfFrames = frames.tobytes(), len(frames)
    made.DimensionIndexSequence = [
        item(DimensionIndexPointer=0x00209056, FunctionalGroupPointer=0x00209111),
        item(DimensionIndexPointer=0x00209057, FunctionalGroupPointer=0x00209111),
        item(DimensionIndexPointer=0x00189082, FunctionalGroupPointer=0x00189114),
    ]
    made.SharedFunctionalGroupsSequence = [
        item(
            PlaneOrientationSequence=[item(ImageOrientationPatient=[0, 1, 0, 0, 0, -1])],
            PixelMeasuresSequence=[item(PixelSpacing=[0.5, 0.75], SliceThickness=9)],
        )
    ]
    made.PerFrameFunctionalGroupsSequence = [
        item(
            FrameContentSequence=[
                item(
                    StackID="1",
                    InStackPositionNumber=slices - place,
                    DimensionIndexValues=[1, slices - place, echo + 1],
                )
            ],
            PlanePositionSequence=[item(ImagePositionPatient=[30 - 4 * place, -7, 12])],
            PixelValueTransformationSequence=[item(RescaleSlope=2 + echo / 2, RescaleIntercept=0, RescaleType="US")],
            MREchoSequence=[item(EffectiveEchoTime=echoes[echo])],
            MRImageFrameTypeSequence=[item(FrameType=["ORIGINAL", "PRIMARY", "VOLUME", "NONE"])],
        )
        for place in range(slices)
        for echo in range(len(echoes))
    ]
    for keyword, value in changes.items():
        setattr(made, keyword, value)
    made.save_as(path, enforce_file_format=True)
    return frames
