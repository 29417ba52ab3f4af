"""Images in DICOM objects: radiographs, mammograms, ultrasound, photographs; each frame is one image.

Decided here: numbers are rescaled by slope and intercept, or by the table of the modality. MONOCHROME1 (low numbers are
bright) is turned round within the range of its bits, and its window with it. The first window of the header counts; of
a table of the values of interest (VOI LUT) or of a sigmoid only where they begin and end is taken, as a window. Colours
(RGB, YBR, palette) become RGB. Where nothing is stated, the window is the range of the bits.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medcl.errors import UnreadableError
from medcl.modality.dicom import ASIDE
from medcl.modality.dicom.file import read_file_header, reading
from medcl.modality.dicom.header import (
    MODALITIES,
    OF_SINGLE_IMAGES,
    Claims,
    first,
    frame_sources,
    number,
    quotable,
    tags_of,
    text,
)
from medcl.modality.dicom.lookup import palette, table_of
from medcl.modality.dicom.pixels import read_frames
from medcl.modality.dicom.slice import Slice
from medcl.modality.dicom.stacks import SeriesRecord, Stack
from medcl.modality.image.record import Image, ImageHeader
from medcl.modality.unpack import check_size, scaled

_KEYWORDS = [
    *("SOPClassUID", "Modality", "PatientID", "StudyInstanceUID", "SeriesInstanceUID", "BurnedInAnnotation"),
    *("NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation", "Rows", "Columns"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PlanarConfiguration"),
    *("ExtendedOffsetTable", "ExtendedOffsetTableLengths"),
]
_GREY = ("MONOCHROME1", "MONOCHROME2")
_COLOURS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT", "PALETTE COLOR")
_FLAGS = ("burned-in annotation", "duplicate SOP instances", "one SOP instance UID")
_NO_PLACES = "frames without places: each is an image"
_SHARE = 0.01
"""Of a table's range: what it maps below this, or above 1 - this, is shown black or white."""


def read_header(path: Path) -> ImageHeader:
    """Read the header of a DICOM image.

    Returns:
        The header; `ids` are clear.

    Raises:
        UnreadableError: as `read_file_header`, or it is no image that `read_image` reads.
    """
    header, claims = read_file_header(path, tags_of(_KEYWORDS))
    with reading("damaged header"):
        sources: Any = [header]
        stated = text(sources, "Modality").upper()
        check_image(stated, claims.photometric, claims.allocated, claims.rows, claims.columns)
        names = {"patient": "PatientID", "study": "StudyInstanceUID", "series": "SeriesInstanceUID"}
        ids = {level: text(sources, keyword) for level, keyword in names.items()}
        return ImageHeader(
            format="dicom-image",
            rows=claims.rows,
            columns=claims.columns,
            n_channels=3 if claims.photometric in _COLOURS else 1,
            dtype=claims.dtype,
            frames=claims.frames,
            modality=MODALITIES[stated],
            ids={level: value for level, value in ids.items() if value},
            flags=("burned-in annotation",) if text(sources, "BurnedInAnnotation").upper() == "YES" else (),
        )


def records(stack: Stack) -> list[SeriesRecord]:
    """The images that the slices of a stack are, each by itself, where they are no volume.

    Of CT, MR and PET, and where no modality is stated, these are colour images, one alone without a place, and the
    frames of one file that states no places: several grey files are a volume whose places were lost.

    Raises:
        UnreadableError: they are no images.
    """
    first = stack.slices[0]
    check_image(first.modality, first.photometric, _bits(first), first.rows, first.columns)
    coloured = not first.photometric.startswith("MONOCHROME")
    one_file = len({one.file for one in stack.slices}) == 1
    if first.modality not in OF_SINGLE_IMAGES and not (
        coloured or (one_file and first.position is None and "MOSAIC" not in first.image_type)
    ):
        raise UnreadableError("slices of a volume")
    return [SeriesRecord(Stack((one,), stack.flags), _header_of(one, stack.flags), one.frame) for one in stack.slices]


def _header_of(one: Slice, flags: tuple[str, ...]) -> ImageHeader:
    of_volumes = one.modality not in OF_SINGLE_IMAGES
    # Of radiographs, `derived` only says that they were made ready to be viewed.
    kept = _FLAGS + (ASIDE if of_volumes else ())
    own = (_NO_PLACES,) if of_volumes and one.frames > 1 and one.position is None else ()
    return ImageHeader(
        format="dicom-image",
        rows=one.rows,
        columns=one.columns,
        n_channels=1 if one.photometric.startswith("MONOCHROME") else 3,
        dtype=one.dtype,
        frames=one.frames,
        modality=MODALITIES[one.modality],
        flags=own + tuple(flag for flag in flags if flag.startswith(kept)),
    )


def _bits(one: Slice) -> int:
    return int(re.sub("[a-z]", "", one.dtype))


def check_image(modality: str, photometric: str, bits: int, rows: int, columns: int) -> None:
    """Refuse what is no image that `read_image` reads.

    Raises:
        UnreadableError: another kind of object, as a dose or a label map, or another kind of pixels.
    """
    if modality not in MODALITIES:
        raise UnreadableError(f"modality {quotable(modality)}: neither a volume nor an image")
    if photometric not in (*_GREY, *_COLOURS):
        raise UnreadableError(f"pixels of {quotable(photometric)}: images are grey, RGB, YBR_FULL or of a palette")
    if bits not in (1, 8, 16, 32, 64) or (bits not in (8, 16) and photometric not in _GREY):
        raise UnreadableError(f"an image of {bits} bits a pixel and channel")
    check_size(rows, columns)


def read_image(path: Path, part: int = 0) -> Image:
    """Decode one frame.

    Returns:
        The image: of colours uint8; of grey uint8, uint16 or int16, float32 where it is rescaled to fractions.

    Raises:
        UnreadableError: it is no image, has no such frame, is damaged, or no decoder knows how it is packed.
    """
    header, claims, frames = read_frames(path, part)
    with reading("damaged header"):
        check_image(
            text([header], "Modality").upper(), claims.photometric, claims.allocated, claims.rows, claims.columns
        )
        big_endian = header.original_encoding[1] is False
        if claims.photometric == "PALETTE COLOR":
            return _of_colours(palette(header, big_endian)(frames[0]), 8)
        if claims.samples == 3:
            return _of_colours(frames[0], claims.stored)
        return _of_grey(frames[0], frame_sources(header, part), claims, big_endian)


def _of_colours(pixels: NDArray[Any], bits: int) -> Image:
    if pixels.dtype != np.uint8 or bits < 8:
        pixels = (pixels.astype(np.float32) * np.float32(255 / (2**bits - 1)) + 0.5).clip(0, 255).astype(np.uint8)
    return Image(np.ascontiguousarray(pixels.transpose(2, 0, 1)), (0.0, 255.0))


def _of_grey(stored: NDArray[Any], sources: Sequence[Any], claims: Claims, big_endian: bool) -> Image:
    header = sources[-1]
    tables = header.get("ModalityLUTSequence")
    slope, inter = number(sources, "RescaleSlope"), number(sources, "RescaleIntercept") or 0.0
    if claims.kind == "f":
        finite = stored[np.isfinite(stored)]
        values, (low, high) = stored, (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    elif tables:
        table = table_of(tables[0], header, big_endian)
        values, low, high = table(stored), 0.0, 2.0**table.bits - 1
    else:
        values, low = stored, -(2.0 ** (claims.stored - 1)) if claims.kind == "i" else 0.0
        high = low + 2.0**claims.stored - 1
    if tables or not slope:
        slope, inter = 1.0, 0.0 if tables else inter
    window = _window(sources, big_endian) or (low * slope + inter, high * slope + inter)
    rescaled = _rescaled(values, slope, inter)
    if claims.photometric == "MONOCHROME1":
        around = (low + high) * slope + 2 * inter
        rescaled, window = _rescaled(rescaled, -1.0, around), (around - window[1], around - window[0])
    return Image(np.ascontiguousarray(rescaled)[None], (min(window), max(window)))


def _rescaled(values: NDArray[Any], slope: float, inter: float) -> NDArray[Any]:
    if (slope, inter) == (1, 0) and values.dtype in (np.uint8, np.uint16, np.int16):
        return values
    return scaled(values.reshape(-1), slope, inter).reshape(values.shape)


def _window(sources: Sequence[Any], big_endian: bool) -> tuple[float, float] | None:
    """The rescaled numbers that are shown black and white; None where the header does not say."""
    centre, width = number(sources, "WindowCenter"), number(sources, "WindowWidth")
    if centre is not None and width is not None and width > 0:
        if text(sources, "VOILUTFunction").upper() in ("", "LINEAR"):
            # Part 3, C.11.2.1.2.1
            return centre - 0.5 - (max(width, 2) - 1) / 2, centre - 0.5 + (max(width, 2) - 1) / 2
        return centre - width / 2, centre + width / 2
    tables = first(sources, "VOILUTSequence")
    if not tables:
        return None
    table = table_of(tables[0], sources[-1], big_endian)
    shown = table.entries.astype(np.float64)
    span = shown.max() - shown.min()
    between = np.flatnonzero((shown > shown.min() + _SHARE * span) & (shown < shown.max() - _SHARE * span))
    return (table.first + float(between[0]), table.first + float(between[-1])) if len(between) > 1 else None
