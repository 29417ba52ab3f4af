"""One DICOM file: is it one, its header without the pixels, and whether the pixels are all there."""

import struct
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pydicom
from pydicom._uid_dict import UID_dictionary
from pydicom.pixels import get_decoder
from pydicom.uid import (
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    JPEGLSNearLossless,
)

from medcl.errors import UnreadableError
from medcl.readers.dicom_elements import quotable
from medcl.readers.dicom_quick import QuickHeader, read_quickly

_PREAMBLE = 128  # bytes before the letters DICM
_VALUE_REPRESENTATIONS = {b"UI", b"UL", b"CS", b"DA", b"TM", b"SH", b"LO", b"OB", b"AE", b"US"}
_PIXELS = {(0x7FE0, 0x0008), (0x7FE0, 0x0009), (0x7FE0, 0x0010)}
_UNDEFINED = 0xFFFFFFFF
# gdcm, which pydicom would take first, ends the whole process on some damaged pictures; where another can, it decodes.
DECODERS = {JPEGLSLossless: "pyjpegls", JPEGLSNearLossless: "pyjpegls"}
DECODERS |= {JPEG2000: "pylibjpeg", JPEG2000Lossless: "pylibjpeg"}
_MOST_PADDING = 4096  # bytes


class NoImageError(UnreadableError):
    """A DICOM object without a picture: a directory, a report, a plan."""


class NoObjectError(UnreadableError):
    """What begins like a DICOM file and is no object of one: damaged, or another format."""


def is_dicom(path: Path) -> bool:
    """Whether the content is that of a DICOM file, whatever its name.

    Files without a preamble count when they begin with an element of group 2 or 8 as the standard writes it.

    Raises:
        UnreadableError: the file cannot be opened.
    """
    try:
        with path.open("rb") as file:
            start = file.read(_PREAMBLE + 4)
            size = path.stat().st_size
    except OSError as error:
        raise UnreadableError(f"cannot be read: {error.strerror}") from error
    return start[_PREAMBLE:] == b"DICM" or _begins_with_an_element(start, size)


def _begins_with_an_element(start: bytes, size: int) -> bool:
    if len(start) < 12 or start[:2] not in (b"\x02\x00", b"\x08\x00", b"\x00\x02", b"\x00\x08"):
        return False
    order = "<" if start[0] else ">"
    element, length = struct.unpack(f"{order}HI", start[2:8])
    if start[4:6] in _VALUE_REPRESENTATIONS:
        return True
    # Implicit: groups begin with their length (4 bytes) or with one of their first elements.
    return bool(element < 0x20 and 0 < length < min(size, 256) and length % 2 == 0)


def read_file_header(path: Path, tags: Sequence[int]) -> pydicom.Dataset | QuickHeader:
    """Read the elements `tags` of a DICOM image and see that its pixels are there; they are not read.

    Args:
        path: of the file.
        tags: to read; every other element is passed over. Rows to BitsAllocated must be among them.

    Returns:
        The elements.

    Raises:
        NoImageError: it holds no image.
        NoObjectError: it states no class of object.
        UnreadableError: it is not a DICOM file, is damaged or truncated, or has too few or too many
            bytes for the picture that its header describes.
    """
    with reading("damaged header"), path.open("rb") as file:
        header = read_quickly(file, tags) or _read_slowly(file, path, tags)
        kind = header.get("SOPClassUID") or header.file_meta.get("MediaStorageSOPClassUID", "")
        if not str(kind).startswith("1.2.840.10008."):
            raise NoObjectError("not a DICOM object: it states no class that the standard knows")
        if not header.get("Rows") or not header.get("Columns"):
            modality = quotable(str(header.get("Modality", "")))
            if "Image Storage" in UID(str(kind)).name:
                raise UnreadableError("damaged header: an image without rows and columns, or a file that ends early")
            raise NoImageError(f"no image: a DICOM object of modality {modality} without rows and columns")
        if header.file_meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
            _check_pixels(file, header, path.stat().st_size)
    return header


def _read_slowly(file: BinaryIO, path: Path, tags: Sequence[int]) -> pydicom.Dataset:
    if not is_dicom(path):
        raise UnreadableError("not a DICOM file: neither a preamble nor a first element of one")
    file.seek(0)
    return pydicom.dcmread(file, specific_tags=list(tags), stop_before_pixels=True, force=True)


def read_pixels(path: Path) -> Any:
    """Decode every frame of a file.

    Returns:
        (frames, rows, columns) as stored.

    Raises:
        UnreadableError: the pixels are damaged, or compressed in a way that no installed decoder knows.
    """
    with reading("damaged header"):
        dataset = pydicom.dcmread(path, force=True)
        uid = dataset.file_meta.get("TransferSyntaxUID", "")
        syntax = UID(uid).name if uid in UID_dictionary else "an unknown syntax"
    with reading(f"pixel data (of {syntax}) that is damaged, or that no installed decoder knows"):
        decoder = DECODERS.get(uid, "")
        if decoder and decoder in get_decoder(uid).available_plugins:
            dataset.pixel_array_options(decoding_plugin=decoder)
        pixels = dataset.pixel_array
        if pixels.shape[-2:] != (dataset.Rows, dataset.Columns):
            raise UnreadableError(f"damaged pixel data: decoded to {pixels.shape}, not the size that the header states")
        return pixels.reshape(-1, *pixels.shape[-2:])


@contextmanager
def reading(failure: str) -> Iterator[None]:
    """Turn whatever pydicom or a decoder raises into an UnreadableError; its own text may quote values of a patient."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except UnreadableError:
            raise
        except OSError as error:
            raise UnreadableError(f"{failure}: cannot be read ({type(error).__name__})") from None
        except Exception as error:
            raise UnreadableError(f"{failure}: pydicom cannot read it ({type(error).__name__})") from None


def _check_pixels(file: BinaryIO, header: pydicom.Dataset, size: int) -> None:
    """Hold the element that the file stands at, which pydicom stopped before, against the header."""
    implicit, little = header.original_encoding
    order = "<" if little else ">"
    head = file.read(12)
    if len(head) < 12 or struct.unpack(f"{order}HH", head[:4]) not in _PIXELS:
        raise UnreadableError("no pixel data: the file is truncated, or its pixels were taken out")
    (length,) = struct.unpack(f"{order}I", head[4:8] if implicit else head[8:12])
    start = file.tell() - (4 if implicit else 0)
    if length == _UNDEFINED:
        _check_fragments(file, start, size)
        return
    if start + length > size:
        raise UnreadableError(f"truncated file: {size - start} bytes of pixel data, the header says {length}")
    values = header.Rows * header.Columns * int(header.get("SamplesPerPixel") or 1)
    bits = int(header.BitsAllocated) * values * int(header.get("NumberOfFrames") or 1)
    if str(header.get("PhotometricInterpretation")) == "YBR_FULL_422":
        bits = bits * 2 // 3
    expected = (bits + 7) // 8
    if length < expected:
        raise UnreadableError(f"wrong pixel data length: {length} bytes for a picture of {expected}")
    file.seek(start + expected)
    # Padding is zeros; anything else says that the picture is larger than its rows and columns.
    if length - expected > _MOST_PADDING or any(file.read(length - expected)[(expected % 2) :]):
        raise UnreadableError(f"wrong pixel data length: {length} bytes for a picture of {expected}")


def _check_fragments(file: BinaryIO, start: int, size: int) -> None:
    """Compressed pixels are items of a tag, a length and that many bytes; the first is a table of offsets."""
    items = 0
    while start + 8 <= size:
        file.seek(start)
        group, element, length = struct.unpack("<HHI", file.read(8))
        if (group, element) != (0xFFFE, 0xE000):
            break
        start += 8 + length
        items += 1
    if start > size or items < 2:
        raise UnreadableError("truncated file: it ends within its compressed pixel data")
