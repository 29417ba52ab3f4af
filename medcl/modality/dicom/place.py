"""Where the pixels of a DICOM file begin, how they are written, and whether plain ones are all there."""

import struct
from dataclasses import dataclass
from typing import Any, BinaryIO

from medcl.errors import UnreadableError
from medcl.modality.dicom.claims import Claims

FIRST_PIXELS = 0x7FE00008
"""The first element that may hold a picture."""
_KINDS = {0x7FE00008: 32, 0x7FE00009: 64, 0x7FE00010: 0}  # element -> bits of its floating-point numbers
_LONG = {b"OB", b"OW", b"OF", b"OD", b"UN", b"OL", b"OV"}
_UNDEFINED = 0xFFFFFFFF
_GE_PRIVATE = "1.2.840.113619.5.2"  # a little-endian header without the kinds of elements, big-endian pixels
_MOST_PADDING = 4096  # bytes


@dataclass(frozen=True)
class Place:
    """Where the pixels are.

    Args:
        start: of the first byte of the value.
        length: of the value, bytes; 0 of fragments.
        in_fragments: whether it consists of items, as compressed pixels do.
        is_float: whether it is float or double float pixel data.
        big_endian: of the numbers.
        in_words: whether bytes are written as words of two, so that in big-endian files they change places.
        syntax: transfer syntax as stated, empty where none is.
    """

    start: int
    length: int
    in_fragments: bool
    is_float: bool
    big_endian: bool
    in_words: bool
    syntax: str


def find_pixels(file: BinaryIO, header: Any, size: int) -> Place:
    """Look at the element that the file stands at, which the reading of the header stopped before.

    The bytes say how it is written: what the file states of that is wrong in some.

    Args:
        file: opened.
        header: that was read.
        size: of the file.

    Returns:
        The place.

    Raises:
        UnreadableError: no pixels, or more than the file holds.
    """
    order = "<" if header.original_encoding[1] is not False else ">"
    at = file.tell()
    head = file.read(12)
    group, element = struct.unpack(f"{order}HH", head[:4]) if len(head) == 12 else (0, 0)
    bits = _KINDS.get(group << 16 | element)
    if bits is None:
        raise UnreadableError("no pixel data: the file is truncated, or its pixels were taken out")
    # A length that reads like this would be odd.
    explicit = head[4:6] in _LONG and head[6:8] == b"\0\0"
    (length,) = struct.unpack(f"{order}I", head[8:12] if explicit else head[4:8])
    start = at + (12 if explicit else 8)
    syntax = str(header.file_meta.get("TransferSyntaxUID") or "")
    in_fragments = length == _UNDEFINED
    if not in_fragments and start + length > size:
        raise UnreadableError(f"truncated file: {size - start} bytes of pixel data, the header says {length}")
    return Place(
        start=start,
        length=0 if in_fragments else length,
        in_fragments=in_fragments,
        is_float=bits > 0,
        big_endian=order == ">" or syntax == _GE_PRIVATE,
        in_words=not explicit or head[4:6] == b"OW",
        syntax=syntax,
    )


def check_native(file: BinaryIO, place: Place, claims: Claims) -> None:
    """Hold the length of plain pixels against the header.

    Args:
        file: opened.
        place: of the pixels.
        claims: of the header.

    Raises:
        UnreadableError: too few bytes, or more than padding.
    """
    length, expected = place.length, claims.length
    wrong = f"wrong pixel data length: {length} bytes for a picture of {expected}"
    if length < expected:
        raise UnreadableError(wrong)
    file.seek(place.start + expected)
    # Padding is zeros; anything else says that the picture is larger than its rows and columns.
    if length - expected > _MOST_PADDING or any(file.read(length - expected)[(expected % 2) :]):
        raise UnreadableError(wrong)
