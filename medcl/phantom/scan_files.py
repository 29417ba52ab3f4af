"""A scan as NIfTI, and as a DICOM series: a file a slice, in LPS, with a header full of what identifies a person."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    MRImageStorage,
    RLELossless,
    generate_uid,
)

from medcl.phantom.anatomy import Affine
from medcl.phantom.ct import Scan
from medcl.phantom.person import Study

_CLASSES = {"CT": CTImageStorage, "MR": MRImageStorage, "DX": DigitalXRayImageStorageForPresentation}
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class DicomSeries:
    """How one series of a study is written.

    Attributes:
        modality: 'CT', 'MR' or 'DX'.
        number: Within the study; the UIDs follow from it.
        description: What the technician calls it.
        model: Of the scanner.
        kernel: Of the reconstruction; '' for others than CT.
        signed: CT only: signed numbers that are HU, instead of unsigned ones with an intercept of -1024.
        compressed: With RLE, lossless.
        missing: Slices that were lost on the way, counted from the feet.
    """

    modality: str
    number: int
    description: str
    model: str
    kernel: str = ""
    signed: bool = False
    compressed: bool = False
    missing: tuple[int, ...] = ()


def write_series(folder: Path, scan: Scan, study: Study, series: DicomSeries) -> list[Path]:
    """Write a series of axial slices; the same scan and study give the same bytes.

    The instances are numbered from head to feet, as chests are read, and the files by instance: the order of names is
    not that of positions. A sheared grid of RAS+ is written as a tilted gantry. The folder is for these files alone.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # A row of DICOM runs to the patient's left, a column to the back: against the axes of RAS+.
    turned = scan.image[::-1, ::-1]
    flip = np.diag([-1.0, -1.0, 1.0, 1.0])
    flip[:2, 3] = np.subtract(scan.image.shape[:2], 1)
    affine = LPS @ scan.affine @ flip
    depth = turned.shape[2]
    shared = _header(study, series)
    paths = []
    for index in range(depth - 1, -1, -1):
        if index in series.missing:
            continue
        instance = depth - index
        header = _instance(shared, study, series, instance)
        _geometry(header, affine, affine[:3] @ (0.0, 0.0, index, 1.0))
        header.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"] if series.modality == "CT" else ["ORIGINAL", "PRIMARY", "M"]
        _pixels(header, turned[:, :, index].T, series)
        paths.append(save(folder / f"IM{instance:04d}.dcm", header))
    return paths


def write_localizer(folder: Path, scan: Scan, study: Study, series: DicomSeries) -> Path:
    """Write the view from the front on which a technician plans a CT: one image, no part of any volume."""
    folder.mkdir(parents=True, exist_ok=True)
    attenuation = (scan.image + 1000).mean(axis=1)
    affine = np.eye(4)
    # Columns to the left, rows to the feet, seen from the front: the first pixel is the right uppermost one.
    corner = scan.affine @ (scan.image.shape[0] - 1, scan.image.shape[1] / 2, scan.image.shape[2] - 1, 1)
    affine[:3, 0] = LPS[:3, :3] @ -scan.affine[:3, 0]
    affine[:3, 1] = LPS[:3, :3] @ -scan.affine[:3, 2]
    affine[:3, 2] = 0, np.linalg.norm(scan.affine[:3, 1]), 0
    header = _instance(_header(study, series), study, series, 1)
    _geometry(header, affine, (LPS @ corner)[:3])
    header.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    _pixels(header, np.rint(attenuation[::-1, ::-1].T - 1000), series)
    return save(folder / "IM0001.dcm", header)


def new_instance(study: Study, series: DicomSeries, instance: int) -> Dataset:
    """The header of one instance, without its geometry and its pixels."""
    return _instance(_header(study, series), study, series, instance)


def save(path: Path, header: Dataset) -> Path:
    """Write an instance with the header of a file, uncompressed unless it is compressed already."""
    if not hasattr(header, "file_meta"):
        header.file_meta = FileMetaDataset()
        header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.save_as(path, enforce_file_format=True)
    return path


def _instance(shared: Dataset, study: Study, series: DicomSeries, instance: int) -> Dataset:
    header = Dataset()
    header.update(shared)
    header.SOPInstanceUID = _uid(study, "series", series.number, "instance", instance)
    header.InstanceNumber = instance
    return header


def _header(study: Study, series: DicomSeries) -> Dataset:
    """What all instances of a series say alike; their elements are shared, so no later one may be set again."""
    person = study.person
    header = Dataset()
    header.SpecificCharacterSet = "ISO_IR 192"
    header.SOPClassUID = _CLASSES[series.modality]
    header.StudyInstanceUID = _uid(study)
    header.SeriesInstanceUID = _uid(study, "series", series.number)
    header.FrameOfReferenceUID = _uid(study, "frame")
    header.StudyDate = header.SeriesDate = header.AcquisitionDate = header.ContentDate = study.day.strftime("%Y%m%d")
    header.StudyTime = header.SeriesTime = header.AcquisitionTime = header.ContentTime = study.time
    header.AccessionNumber, header.StudyID = study.accession, study.accession[-4:]
    header.Modality, header.SeriesNumber = series.modality, series.number
    header.Manufacturer, header.ManufacturerModelName = "Phantom Works", series.model
    header.InstitutionName, header.StationName = "Hospital of No Town", series.model.split()[0].upper()
    header.ReferringPhysicianName, header.OperatorsName = "Nobody^Nora", "Noman^Ned"
    header.SeriesDescription = series.description
    header.StudyDescription = "Head" if series.modality == "MR" else "Chest"
    header.BodyPartExamined = header.StudyDescription.upper()
    header.PatientName, header.PatientID, header.PatientSex = person.name, person.number, person.sex
    header.PatientBirthDate, header.PatientAge = person.birth.strftime("%Y%m%d"), f"{study.age:03d}Y"
    header.PatientComments = f"Synthetic. Called in by phone: {person.name.replace('^', ' ')}"
    header.PatientPosition, header.PositionReferenceIndicator = "HFS", ""
    # Vendors repeat the name where the standard does not look.
    header.private_block(0x0011, "PHANTOM WORKS", create=True).add_new(0x01, "PN", person.name)
    if series.modality == "CT":
        header.KVP, header.AcquisitionNumber, header.ConvolutionKernel = 120, 1, series.kernel
    elif series.modality == "MR":
        header.ScanningSequence, header.SequenceVariant, header.ScanOptions = "GR", "SP", ""
        header.MRAcquisitionType, header.EchoTime, header.RepetitionTime, header.EchoTrainLength = "3D", 3, 2000, 1
    return header


def _geometry(header: Dataset, affine: Affine, position: Sequence[float] | NDArray[np.float64]) -> None:
    """State where the slice lies: `affine` from (column, row, slice) to mm in LPS."""
    steps = np.linalg.norm(affine[:3, :2], axis=0)
    row, column = (affine[:3, :2] / steps).T
    header.ImageOrientationPatient = _decimals(np.concatenate([row, column]))
    header.ImagePositionPatient = _decimals(position)
    header.PixelSpacing = _decimals(steps[::-1])
    header.SliceThickness = _decimals([abs(float(np.cross(row, column) @ affine[:3, 2]))])[0]
    header.SliceLocation = _decimals([position[2]])[0]
    if header.Modality == "CT":
        header.GantryDetectorTilt = _decimals([np.rad2deg(np.arcsin(-column[2])) if abs(column[2]) < 0.9 else 0.0])[0]


def _pixels(header: Dataset, values: NDArray[Any], series: DicomSeries) -> None:
    """Store (rows, columns) of HU or of an MR's own numbers."""
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    header.Rows, header.Columns = values.shape
    twelve_bits = series.modality == "CT" and not series.signed
    header.BitsAllocated, header.BitsStored = 16, 12 if twelve_bits else 16
    header.HighBit, header.PixelRepresentation = header.BitsStored - 1, int(series.signed)
    if series.modality == "CT":
        header.RescaleIntercept, header.RescaleSlope, header.RescaleType = -1024 if twelve_bits else 0, 1, "HU"
        header.WindowCenter, header.WindowWidth = 40, 400
    stored = (values + 1024 if twelve_bits else values).astype("<i2" if series.signed else "<u2")
    header.PixelData = np.ascontiguousarray(stored).tobytes()
    header["PixelData"].VR = "OW"
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    if series.compressed:
        header.compress(RLELossless, generate_instance_uid=False)


def _uid(study: Study, *parts: str | int) -> str:
    return str(generate_uid(entropy_srcs=["medcl phantom", study.key, *map(str, parts)]))


def _decimals(values: Sequence[float] | NDArray[np.float64]) -> list[float]:
    """To six places, which fit a DICOM decimal string; without a negative zero."""
    return [round(float(value), 6) + 0.0 for value in values]


def write_nifti(path: Path, voxels: NDArray[Any], affine: Affine, *, orientation: str = "RAS") -> None:
    """Write one file; the same numbers give the same bytes, compressed or not.

    The affine stands in it twice, as sform and as qform, both of scanner coordinates; a sheared one, of a tilted
    gantry, as sform alone, for a qform cannot hold it. Voxels (x, y, z) are uint8 as they are, everything else int16;
    the affine (4, 4) is from voxel index to mm, RAS+. Axes in the file have an orientation, such as `LPS`: the voxels
    stay where they are in the person.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    stored = voxels if voxels.dtype == np.uint8 else voxels.astype(np.int16)
    image = nib.Nifti1Image(stored, affine)
    image = image.as_reoriented(ornt_transform(io_orientation(affine), axcodes2ornt(orientation)))
    image.set_sform(image.affine, code="scanner")
    angles = image.affine[:3, :3].T @ image.affine[:3, :3]
    sheared = not np.allclose(angles, np.diag(np.diag(angles)))
    image.set_qform(None if sheared else image.affine, code="unknown" if sheared else "scanner")
    image.header.set_xyzt_units("mm", "sec")
    image.header["descrip"] = b"Synthetic volume of no real person"
    nib.save(image, path)
