"""One DICOM file: is it one, its header without the pixels, and whether the pixels are all there."""

import io
import logging
import os
import struct
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import pydicom
from pydicom.dataset import FileMetaDataset
from pydicom.filereader import read_dataset
from pydicom.tag import Tag
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from medcl.errors import UnreadableError, system_reason
from medcl.modality.dicom.fragments import FIRST_PIXELS, check_frame, check_native, find_pixels, frame_spans
from medcl.modality.dicom.header import MODALITY_TERMS, UNKNOWN, Claims, claims_of, term
from medcl.modality.dicom.lookup import palette
from medcl.modality.dicom.quick import QuickHeader, read_meta, read_quickly

_PREAMBLE = 128  # bytes before the letters DICM
_VALUE_REPRESENTATIONS = {b"UI", b"UL", b"CS", b"DA", b"TM", b"SH", b"LO", b"OB", b"AE", b"US"}
_MOST_UNPACKED = 1 << 28  # bytes of a deflated file
_META = 1 << 16  # bytes at the start of a file that hold its own group
_SILENT = logging.CRITICAL + 1
Header: TypeAlias = pydicom.Dataset | QuickHeader


class NoImageError(UnreadableError):
    """A DICOM object without an image: a directory, a report, a plan, a waveform.

    Args:
        message: why, without anything that names a person.
        sop_class: UID of its class, as the file states it.
    """

    def __init__(self, message: str, sop_class: str = "") -> None:
        super().__init__(message)
        self.sop_class = sop_class

    def __reduce__(self) -> tuple[type["NoImageError"], tuple[str, str]]:
        return type(self), (str(self), self.sop_class)


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
            return _is_dicom(file.read(_PREAMBLE + 4), path.stat().st_size)
    except OSError as error:
        raise UnreadableError(f"cannot be read: {system_reason(error)}") from error


def _is_dicom(start: bytes, size: int) -> bool:
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


def read_file_header(path: Path, tags: Sequence[int]) -> tuple[Header, Claims]:
    """Read the elements `tags` of a DICOM image and see that its pixels are there; they are not decoded.

    Every other element is passed over. Tags of `claims_of` and `frame_spans` must be among them.

    Raises:
        NoImageError: it holds no image.
        NoObjectError: it states no class of object and holds no image.
        UnreadableError: it is not a DICOM file, is damaged or truncated, holds other or fewer pixels than its header
            describes, or is compressed in a way that no decoder knows.
    """
    with opened(path, tags) as (header, file, size):
        require_image(header)
        place = find_pixels(file, header, size)
        claims = claims_of(header, place.is_float)
        if place.in_fragments:
            spans = frame_spans(file, place.start, size, claims, header)
            check_frame(file, spans[0], claims, place.syntax)
        else:
            check_native(file, place, claims)
    if claims.photometric == "PALETTE COLOR":
        with opened(path) as (whole, _, _):
            palette(whole, whole.original_encoding[1] is False)
    return header, claims


@contextmanager
def opened(path: Path, tags: Sequence[int] | None = None) -> Iterator[tuple[Header, BinaryIO, int]]:
    """A DICOM file at its pixels; of its header all elements before them, or those with these tags.

    Yields:
        Its header, the file where the pixels begin (unpacked, if it is deflated), and its size.

    Raises:
        UnreadableError: it is not a DICOM file, or damaged.
    """
    with reading("damaged header"), path.open("rb") as file:
        header: Header | None = read_quickly(file, tags) if tags is not None else None
        if header is not None:
            yield header, file, os.fstat(file.fileno()).st_size
            return
        file.seek(0)
        if not _is_dicom(file.read(_PREAMBLE + 4), path.stat().st_size):
            raise UnreadableError("not a DICOM file: neither a preamble nor a first element of one")
        header, stream = _read_slowly(file, None if tags is None else list(tags))
        at = stream.tell()
        size = stream.seek(0, io.SEEK_END)
        stream.seek(at)
        yield header, stream, size


def require_image(header: Header) -> None:
    """Refuse what holds no image.

    Raises:
        NoImageError: an object of a class without images.
        NoObjectError: no object at all.
        UnreadableError: the header of an image that has lost its size.
    """
    if header.get("Rows") and header.get("Columns"):
        return
    kind = str(header.get("SOPClassUID") or header.file_meta.get("MediaStorageSOPClassUID", ""))
    if not kind:
        raise NoObjectError("not a DICOM object: it states no class and holds no image")
    if "Image Storage" in UID(kind).name:
        raise UnreadableError("damaged header: an image without rows and columns, or a file that ends early")
    modality = term(str(header.get("Modality") or ""), MODALITY_TERMS) or UNKNOWN
    raise NoImageError(f"no image: a DICOM object of modality {modality} without rows and columns", kind)


def _read_slowly(file: BinaryIO, tags: list[int] | None) -> tuple[pydicom.Dataset, BinaryIO]:
    """By pydicom, up to the pixels; the file, or what a deflated one unpacks to."""
    file.seek(0)
    start = file.read(_META)
    meta, at = read_meta(start)
    if meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        file.seek(at)
        file = _inflated(file)
        return _parsed(file, False, True, meta, tags), file
    file.seek(0)
    if start[:2] == b"\0\x08" and start[4:6] not in _VALUE_REPRESENTATIONS:
        # Big-endian without the kinds of elements, as before the standard: pydicom does not expect it.
        return _parsed(file, True, False, {}, tags), file
    return pydicom.dcmread(file, specific_tags=tags, stop_before_pixels=True, force=True), file


def _parsed(
    file: BinaryIO, implicit: bool, little: bool, meta: dict[str, str], tags: list[int] | None
) -> pydicom.Dataset:
    wanted: Any = None if tags is None else [Tag(tag) for tag in tags]
    header = read_dataset(file, implicit, little, stop_when=lambda tag, *_: tag >= FIRST_PIXELS, specific_tags=wanted)
    header.file_meta = FileMetaDataset()
    for keyword, value in meta.items():
        setattr(header.file_meta, keyword, value)
    header.set_original_encoding(implicit, little)
    return header


def _inflated(file: BinaryIO) -> BinaryIO:
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    data = unpacker.decompress(file.read(), _MOST_UNPACKED)
    if unpacker.unconsumed_tail:
        raise UnreadableError(f"a deflated file of more than {_MOST_UNPACKED >> 20} MiB: store it unpacked")
    return io.BytesIO(data)


@contextmanager
def reading(failure: str) -> Iterator[None]:
    """Turn whatever pydicom or a decoder raises into an UnreadableError; its own text may quote values of a patient."""
    # Its log quotes values too, and whole tracebacks: it stays silent from the first file on.
    if logging.getLogger("pydicom").level != _SILENT:
        logging.getLogger("pydicom").setLevel(_SILENT)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except UnreadableError:
            raise
        except OSError as error:
            raise UnreadableError(f"{failure}: cannot be read ({system_reason(error)})") from None
        except Exception as error:
            raise UnreadableError(f"{failure}: pydicom cannot read it ({type(error).__name__})") from None
