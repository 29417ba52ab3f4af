"""A radiograph of a synthetic chest: what rays from the back to the front lose on their way, as DICOM and as PNG."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage
from scipy.ndimage import zoom

from medcl.phantom import ct
from medcl.phantom.anatomy import Anatomy
from medcl.phantom.ct import Scan
from medcl.phantom.person import Study, Watch, draw_person, draw_studies, write_csv
from medcl.phantom.scan_files import DicomSeries, new_instance, save


@dataclass(frozen=True)
class ChestPatient:
    """A patient of a synthetic archive of chests.

    Attributes:
        code: Her name in paths and label tables, from P0001 on.
        finding: Her lesion, one of `ct.LESIONS`.
        anatomy: What there is to be seen, the same in all of her studies.
        studies: Her visits, in order.
        rng: What else is drawn about the CTs of these visits.
    """

    code: str
    finding: str
    anatomy: Anatomy
    studies: tuple[Study, ...]
    rng: np.random.Generator


def draw_chest_patient(number: int, seed: int) -> ChestPatient:
    """The patient of a number, from 0, of the archive of a seed, who is the same however many there are."""
    finding = draw_finding(ct.LESIONS, number, [seed, 6])
    rng = np.random.default_rng([seed, 7, number])
    anatomy = ct.draw_chest(finding, rng)
    person = draw_person(anatomy.sex, anatomy.age, rng)
    code = f"P{number + 1:04d}"
    studies = draw_studies(person, int(rng.choice([1, 2, 3], p=[0.4, 0.4, 0.2])), f"{seed}/ct/{code}", rng)
    return ChestPatient(code, finding, anatomy, studies, rng)


def draw_finding(kinds: Sequence[str], number: int, seed: Sequence[int]) -> str:
    """The kind of a patient's lesion: of as many patients in a row as there are kinds, each has another one."""
    order = np.random.default_rng([*seed, number // len(kinds)]).permutation(len(kinds))
    return kinds[int(order[number % len(kinds)])]


WATER = 0.019
"""Attenuation of water at the energy of a chest radiograph, 1/mm."""
_BITS = 12
_WHITE, _BLACK = 99.8, 5.0  # percentiles of the image


def project(scan: Scan, rng: np.random.Generator, *, pixel: float = 1.4, noise: float = 0.01) -> NDArray[np.float32]:
    """Sum the attenuation along rays that are parallel: no scatter, no spectrum, no magnification.

    Args:
        scan: of a chest in HU, on upright axes of RAS+.
        rng: source of randomness.
        pixel: side of a pixel, mm.
        noise: standard deviation, as a share of the range of the image.

    Returns:
        (rows, columns), negative logarithm of the share of the rays that arrives. The patient faces the one who looks:
        the right side is on the left, the head above.
    """
    x, y, z = (float(length) for length in np.linalg.norm(scan.affine[:3, :3], axis=0))
    loss = np.clip(scan.image / 1000 + 1, 0, None).sum(axis=1) * (y * WATER)
    coarse = loss[::-1, ::-1].T
    image = zoom(coarse, (z / pixel, x / pixel), order=3, mode="nearest")
    image = np.clip(image, coarse.min(), coarse.max())
    noisy = image + rng.normal(0, noise * float(np.ptp(image)), image.shape)
    return np.asarray(noisy, dtype=np.float32)


def grey(image: NDArray[np.float32], bits: int = _BITS) -> NDArray[np.uint16]:
    """A projection as it is shown, (rows, columns) from 0 to 2^bits - 1: what stops rays is white."""
    low, high = np.percentile(image, (_BLACK, _WHITE))
    shown = np.clip((image - low) / max(float(high - low), 1e-6), 0, 1)
    return np.asarray(np.rint(shown * (2**bits - 1)), dtype=np.uint16)


def write_dicom(
    path: Path, image: NDArray[np.float32], study: Study, *, number: int = 1, pixel: float = 1.4, dark: bool = False
) -> Path:
    """Write a radiograph of `project` as a digital X-ray image, a series of its own, which has no place in space.

    A pixel at the detector has so many mm. Dark images store what is white as 0 (MONOCHROME1), as many detectors do.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    header = new_instance(study, DicomSeries("DX", number, "Chest PA", "Delta DR"), 1)
    stored = grey(image)
    top = 2**_BITS - 1
    header.ImageType, header.ViewPosition = ["DERIVED", "PRIMARY"], "PA"
    header.PatientOrientation, header.ImageLaterality = ["L", "F"], "U"
    header.ImagerPixelSpacing = [pixel, pixel]
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME1" if dark else "MONOCHROME2"
    header.PresentationLUTShape = "INVERSE" if dark else "IDENTITY"
    header.Rows, header.Columns = stored.shape
    header.BitsAllocated, header.BitsStored, header.HighBit, header.PixelRepresentation = 16, _BITS, _BITS - 1, 0
    header.RescaleSlope, header.RescaleIntercept, header.RescaleType = 1, 0, "US"
    header.WindowCenter, header.WindowWidth = (top + 1) / 2, top + 1
    header.BurnedInAnnotation = "NO"
    header.PixelData = np.ascontiguousarray(top - stored if dark else stored).astype("<u2").tobytes()
    header["PixelData"].VR = "OW"
    return save(path, header)


def write_png(path: Path, image: NDArray[np.float32], *, bits: int = 8) -> Path:
    """Write a radiograph of `project`, in 8 or 16 bits, as public collections have it: without a header."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = grey(image, bits)
    PILImage.fromarray(pixels.astype(np.uint8) if bits == 8 else pixels).save(path, "PNG")
    return path


DICOM, PNG = "xray", "xray_png"
"""Folders of the same images: a scan of one of them finds none twice."""
_SERIES = 50  # of the radiograph in its study: the CTs of the same visit come before


@dataclass(frozen=True)
class Radiographs:
    """What was written.

    Attributes:
        folder: Its root.
        patients: With at least one radiograph.
        images: Radiographs, each as DICOM and as PNG.
    """

    folder: Path
    patients: int
    images: int

    def __str__(self) -> str:
        """What a person is told."""
        held = f"{self.images} radiographs of {self.patients} patients ({DICOM}/, DICOM, and the same in {PNG}/)"
        return f"{self.folder}: {held}"


def write_radiographs(
    folder: Path,
    patients: int,
    seed: int = 0,
    *,
    shape: tuple[int, int, int] = (64, 64, 32),
    watch: Watch = iter,
) -> Radiographs:
    """Write a radiograph a study of the patients whom `volumes.write_volumes` scans, whether it is called or not.

    The table `labels.csv` in either folder has the columns `record` (path without suffix, relative to the table),
    `patient`, `study`, `lesion` (one of `ct.LESIONS`), `side` (right, left or none), `age` (at the study), `sex`. The
    rays pass a chest of this shape in voxels, to the right, to the front, upwards.
    """
    spacing = 352 / shape[0], 352 / shape[1], 224 / shape[2]
    rows: list[tuple[str | int, ...]] = []
    for number in watch(range(patients)):
        patient = draw_chest_patient(number, seed)
        lesion = patient.anatomy.lesion
        side = "none" if lesion is None else lesion.host.removesuffix("_lung")
        for visit, study in enumerate(patient.studies, start=1):
            rng = np.random.default_rng([seed, 13, number, visit])
            chest = ct.scan_ct(patient.anatomy, ct.draw_scanner(rng), rng, shape=shape, spacing=spacing)
            image = project(chest, rng)
            name = f"{patient.code}/E{visit}"
            # Each second detector stores what is white as 0.
            write_dicom(folder / DICOM / f"{name}.dcm", image, study, number=_SERIES, dark=number % 2 == 1)
            write_png(folder / PNG / f"{name}.png", image)
            facts = (patient.code, f"{patient.code}_E{visit}", patient.finding, side, study.age, patient.anatomy.sex)
            rows.append((name, *facts))
    for place in (DICOM, PNG):
        columns = ("record", "patient", "study", "lesion", "side", "age", "sex")
        write_csv(folder / place / "labels.csv", columns, rows)
    return Radiographs(folder, patients, len(rows))
