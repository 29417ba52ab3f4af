"""Compressed pixel data: the fragments that a file holds, and which of them make up each frame."""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, BinaryIO

from medcl.errors import UnreadableError
from medcl.modality.dicom.codestream import Codestream, codestream_of
from medcl.modality.dicom.header import Claims

FIRST_PIXELS = 0x7FE00008
"""The first element that may hold an image."""
_KINDS = {0x7FE00008: 32, 0x7FE00009: 64, 0x7FE00010: 0}  # element -> bits of its floating-point numbers
_LONG = {b"OB", b"OW", b"OF", b"OD", b"UN", b"OL", b"OV"}
_UNDEFINED = 0xFFFFFFFF
_GE_PRIVATE = "1.2.840.113619.5.2"  # a little-endian header without the kinds of elements, big-endian pixels
_MOST_PADDING = 4096  # bytes


@dataclass(frozen=True)
class PixelPlace:
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


def find_pixels(file: BinaryIO, header: Any, size: int) -> PixelPlace:
    """Look at the element that the file stands at, which the reading of the header stopped before.

    The bytes say how it is written: what the file states of that is wrong in some.

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
    return PixelPlace(
        start=start,
        length=0 if in_fragments else length,
        in_fragments=in_fragments,
        is_float=bits > 0,
        big_endian=order == ">" or syntax == _GE_PRIVATE,
        in_words=not explicit or head[4:6] == b"OW",
        syntax=syntax,
    )


def check_native(file: BinaryIO, place: PixelPlace, claims: Claims) -> None:
    """Hold the length of plain pixels against the header.

    Raises:
        UnreadableError: too few bytes, or more than padding.
    """
    length, expected = place.length, claims.length
    wrong = f"wrong pixel data length: {length} bytes for an image of {expected}"
    if length < expected:
        raise UnreadableError(wrong)
    file.seek(place.start + expected)
    # Padding is zeros; anything else says that the image is larger than its rows and columns.
    if length - expected > _MOST_PADDING or any(file.read(length - expected)[(expected % 2) :]):
        raise UnreadableError(wrong)


Span = tuple[int, int]
"""Where a fragment begins in its file, and how many bytes it has."""
_ITEM, _END = (0xFFFE, 0xE000), (0xFFFE, 0xE0DD)
_MOST_FRAGMENTS = 1 << 20
_HEADS = 1 << 16, 1 << 22  # bytes of a frame in which its size is looked for
_TAIL = 16  # bytes at the end of a frame that hold its last marker
_STARTS, _MARK = (b"\xff\xd8", b"\xff\x4f"), b"\xff\xd9"  # of a JPEG and a JPEG 2000; how both end
_RLE = "1.2.840.10008.1.2.5"
UNCOMPRESSED = "1.2.840.10008.1.2.1.98"
"""The transfer syntax of plain pixels in fragments."""
_RLE_GAIN = 64  # two bytes of RLE stand for at most 128
_TRUNCATED = "truncated file: it ends within its compressed pixel data"


def frame_spans(file: BinaryIO, start: int, size: int, claims: Claims, header: Any) -> list[list[Span]]:
    """Find the fragments of every frame, one list a frame.

    `start` is that of the first item, a table of offsets; the header may have the extended one.

    Raises:
        UnreadableError: the file ends early, holds fewer frames than its header states, or it cannot be told which
            fragments belong together.
    """
    spans, ended = _spans(file, start, size)
    if len(spans) < 2:
        raise UnreadableError(_TRUNCATED)
    offsets = _table(file, spans[0]) if spans[0][1] else []
    extended = _extended(header, claims.frames, spans)
    fragments = [span for span in spans[1:] if span[1]]
    if len(fragments) < claims.frames:
        held = f"{len(fragments)} fragment{'' if len(fragments) == 1 else 's'}"
        raise UnreadableError(f"the header states {claims.frames} frames, the file holds {held} of pixel data")
    if not ended and read_spans(file, fragments, 2) in _STARTS and _MARK not in _tail(file, fragments[-1]):
        raise UnreadableError(_TRUNCATED)
    if claims.frames == 1:
        return [fragments]
    if len(fragments) == claims.frames:
        return [[span] for span in fragments]
    starts = extended or offsets
    return _by_offsets(fragments, spans[1][0], starts, claims.frames) or _by_markers(file, fragments, claims.frames)


def read_spans(file: BinaryIO, spans: Sequence[Span], most: int | None = None) -> bytes:
    """The bytes of a frame, all or the first ones."""
    parts = []
    left = sum(length for _, length in spans) if most is None else most
    for start, length in spans:
        file.seek(start)
        parts.append(file.read(min(length, left)))
        left -= len(parts[-1])
        if left <= 0:
            break
    return b"".join(parts)


def check_frame(file: BinaryIO, spans: Sequence[Span], claims: Claims, syntax: str) -> Codestream | None:
    """Hold the head of a compressed frame against the header.

    Returns:
        What the frame says of itself; None of RLE and of plain pixels.

    Raises:
        UnreadableError: another size, number of samples or more bits than the header states; a compression that no
            decoder knows.
    """
    if syntax in (_RLE, UNCOMPRESSED):
        held, frame = sum(length for _, length in spans), -(-claims.length // claims.frames)
        segments = struct.unpack("<I", read_spans(file, spans, 4).ljust(4, b"\0"))[0]
        if syntax == UNCOMPRESSED:
            if held < frame:
                raise UnreadableError(f"wrong pixel data length: {held} bytes for a frame of {frame}")
        elif segments != claims.samples * (claims.allocated // 8) or (held - 64) * _RLE_GAIN < frame:
            raise UnreadableError("damaged pixel data: its RLE segments cannot hold the image of the header")
        return None
    stream = codestream_of(read_spans(file, spans, _HEADS[0])) or codestream_of(read_spans(file, spans, _HEADS[1]))
    if stream is None or not stream.has_decoder(claims.allocated):
        raise UnreadableError(f"pixel data (of {name_of(syntax)}) that is damaged, or that no installed decoder knows")
    if (stream.rows, stream.columns, stream.samples) != (claims.rows, claims.columns, claims.samples):
        raise UnreadableError(
            f"its compressed image is of {stream.rows} x {stream.columns} pixels and {stream.samples} samples, "
            f"the header says {claims.rows} x {claims.columns} and {claims.samples}"
        )
    if stream.precision > claims.allocated or claims.kind == "f":
        raise UnreadableError(
            f"its compressed pixels have {stream.precision} bits, its header says at most {claims.allocated}"
        )
    return stream


def name_of(syntax: str) -> str:
    """What the standard calls a transfer syntax; of a private one nothing is shown."""
    from pydicom._uid_dict import UID_dictionary

    return UID_dictionary[syntax][0] if syntax in UID_dictionary else "an unknown syntax"


def _spans(file: BinaryIO, start: int, size: int) -> tuple[list[Span], bool]:
    """All items, and whether their end is marked."""
    spans: list[Span] = []
    for at, length, tag in _items(file, start, size):
        if tag != _ITEM:
            return spans, tag == _END
        if at + length > size or len(spans) > _MOST_FRAGMENTS:
            raise UnreadableError(_TRUNCATED if at + length > size else "more fragments of pixel data than any image")
        spans.append((at, length))
    return spans, False


def _items(file: BinaryIO, start: int, size: int) -> Iterator[tuple[int, int, tuple[int, int]]]:
    while start + 8 <= size:
        file.seek(start)
        group, element, length = struct.unpack("<HHI", file.read(8))
        yield start + 8, length, (group, element)
        start += 8 + length


def _table(file: BinaryIO, span: Span) -> list[int]:
    if span[1] % 4 or span[1] > 4 * _MOST_FRAGMENTS:
        return []
    return list(struct.unpack(f"<{span[1] // 4}I", read_spans(file, [span])))


def _extended(header: Any, frames: int, spans: Sequence[Span]) -> list[int]:
    """The extended table of offsets, empty where there is none."""
    tables = [header.get(keyword) for keyword in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths")]
    if tables[0] is None:
        return []
    last = spans[-1][0] + spans[-1][1] - spans[1][0] + 8
    words = [bytes(table or b"") for table in tables]
    if any(len(word) != 8 * frames for word in words):
        raise UnreadableError("damaged header: an extended offset table of another number of frames than it states")
    offsets, lengths = (struct.unpack(f"<{frames}Q", word) for word in words)
    if any(offset + length > last for offset, length in zip(offsets, lengths, strict=True)):
        raise UnreadableError("damaged header: an extended offset table that points behind the end of the pixel data")
    return list(offsets)


def _by_offsets(fragments: Sequence[Span], first: int, offsets: Sequence[int], frames: int) -> list[list[Span]]:
    """Fragments from each offset to the next; nothing where the offsets are not those of fragments."""
    if len(offsets) != frames or any(a >= b for a, b in pairwise(offsets)):
        return []
    number = {span[0] - first: index for index, span in enumerate(fragments)}
    if offsets[0] != 0 or any(offset not in number for offset in offsets):
        return []
    bounds = [*(number[offset] for offset in offsets), len(fragments)]
    return [list(fragments[a:b]) for a, b in pairwise(bounds)]


def _by_markers(file: BinaryIO, fragments: Sequence[Span], frames: int) -> list[list[Span]]:
    """Each frame of JPEG ends with a mark."""
    found: list[list[Span]] = [[]]
    for span in fragments:
        found[-1].append(span)
        if _MARK in _tail(file, span):
            found.append([])
    if found[-1]:
        raise UnreadableError(_TRUNCATED)
    if len(found) - 1 != frames:
        raise UnreadableError(f"the header states {frames} frames, the file holds {len(found) - 1}")
    return found[:-1]


def _tail(file: BinaryIO, span: Span) -> bytes:
    return read_spans(file, [(span[0] + max(0, span[1] - _TAIL), min(span[1], _TAIL))])
