"""A radiograph of a synthetic chest: what rays from the back to the front lose on their way, as DICOM and as PNG."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Picture
from scipy.ndimage import zoom

from medcl.phantom.ct import Scan
from medcl.phantom.dicom_files import Series, new_instance, save
from medcl.phantom.person import Study

WATER = 0.019
"""Attenuation of water at the energy of a chest radiograph, 1/mm."""
_BITS = 12
_WHITE, _BLACK = 99.8, 5.0  # percentiles of the picture


def project(scan: Scan, rng: np.random.Generator, *, pixel: float = 1.4, noise: float = 0.01) -> NDArray[np.float32]:
    """Sum the attenuation along rays that are parallel: no scatter, no spectrum, no magnification.

    Args:
        scan: of a chest in HU, on upright axes of RAS+.
        rng: source of randomness.
        pixel: side of a pixel, mm.
        noise: standard deviation, as a share of the range of the picture.

    Returns:
        (rows, columns), negative logarithm of the share of the rays that arrives. The patient faces the one who looks:
        the right side is on the left, the head above.
    """
    x, y, z = (float(length) for length in np.linalg.norm(scan.affine[:3, :3], axis=0))
    loss = np.clip(scan.image / 1000 + 1, 0, None).sum(axis=1) * (y * WATER)
    coarse = loss[::-1, ::-1].T
    picture = zoom(coarse, (z / pixel, x / pixel), order=3, mode="nearest")
    picture = np.clip(picture, coarse.min(), coarse.max())
    noisy = picture + rng.normal(0, noise * float(np.ptp(picture)), picture.shape)
    return np.asarray(noisy, dtype=np.float32)


def grey(picture: NDArray[np.float32], bits: int = _BITS) -> NDArray[np.uint16]:
    """A projection as it is shown: what stops rays is white.

    Args:
        picture: from `project`.
        bits: of the numbers.

    Returns:
        (rows, columns) from 0 to 2^bits - 1.
    """
    low, high = np.percentile(picture, (_BLACK, _WHITE))
    shown = np.clip((picture - low) / max(float(high - low), 1e-6), 0, 1)
    return np.asarray(np.rint(shown * (2**bits - 1)), dtype=np.uint16)


def write_dicom(
    path: Path, picture: NDArray[np.float32], study: Study, *, number: int = 1, pixel: float = 1.4, dark: bool = False
) -> Path:
    """Write a radiograph as a digital X-ray image, a series of its own, which has no place in space.

    Args:
        path: of the file; its folder is made if need be.
        picture: from `project`.
        study: whose it is.
        number: of the series in the study.
        pixel: side of a pixel at the detector, mm.
        dark: store what is white as 0 (MONOCHROME1), as many detectors do.

    Returns:
        The file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    header = new_instance(study, Series("DX", number, "Chest PA", "Delta DR"), 1)
    stored = grey(picture)
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


def write_png(path: Path, picture: NDArray[np.float32], *, bits: int = 8) -> Path:
    """Write a radiograph as public collections have it: without a header.

    Args:
        path: of the file; its folder is made if need be.
        picture: from `project`.
        bits: 8 or 16.

    Returns:
        The file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = grey(picture, bits)
    Picture.fromarray(pixels.astype(np.uint8) if bits == 8 else pixels).save(path, "PNG")
    return path
