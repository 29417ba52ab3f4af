"""Where the image in a PNG or JPEG file ends, and whether its bytes can hold the pixels that its header promises.

Both are told by walking over the parts of a file, in constant memory, before anything is decoded.
"""

import io
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from medcl.errors import UnreadableError, system_reason
from medcl.modality.unpack import check_size

_PNG = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by the colour type of a PNG
_DEFLATE = 1032  # no packed byte of a PNG holds more than this many
_MOST_PARTS = 1 << 18
_LONGEST_EXIF = 1 << 16
_ALONE = {0x01, *range(0xD0, 0xD8)}  # markers of a JPEG without a length
_SIZES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_READ = {0xC0, 0xC1, 0xC2, 0xC9, 0xCA}  # baseline, extended and progressive, Huffman or arithmetic
_ARITHMETIC = 0xC9
_BLOCK = 64 * 8  # pixels that a byte of a JPEG holds at most: a bit for each block of 8 x 8
_TAIL = 1 << 16
_END = b"\xff\xd9"


@dataclass(frozen=True)
class ImageEnd:
    """What the parts of a file tell.

    Args:
        behind: bytes behind the end of the image.
        exif: of a PNG, which has it in a part of its own, before or behind the pixels; empty without.
    """

    behind: int
    exif: bytes = b""


def image_end(path: Path, format: str) -> ImageEnd:
    """Walk over the parts of a file.

    Args:
        path: of it.
        format: `jpeg` or `png`.

    Raises:
        UnreadableError: it cannot be read, ends early, is too large, or cannot hold the pixels of its header.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            return _png_end(file, size) if format == "png" else _jpeg_end(file, size)
    except OSError as error:
        raise UnreadableError(f"cannot be read: {system_reason(error)}") from None


def _png_end(file: BinaryIO, size: int) -> ImageEnd:
    if file.read(8) != _PNG:
        raise UnreadableError("damaged header: not a PNG image")
    at, pixels, exif = 8, 0, b""
    promised = 0
    for number in range(_MOST_PARTS):
        start = file.read(8)
        if len(start) < 8:
            break
        length, kind = struct.unpack(">I4s", start)
        at += 12 + length
        if at > size:
            break
        if number == 0:
            promised = _promised(kind, length, file.read(length if length < 64 else 0))
        elif kind == b"IDAT":
            pixels += length
        elif kind == b"eXIf" and length <= _LONGEST_EXIF:
            exif = file.read(length)
        elif kind == b"IEND":
            if pixels * _DEFLATE < promised:
                raise UnreadableError(f"damaged file: {pixels} bytes cannot hold the pixels that its header promises")
            return ImageEnd(size - at, exif)
        file.seek(at)
    else:
        raise UnreadableError(f"damaged file: a PNG image of more than {_MOST_PARTS} parts")
    raise UnreadableError("truncated file: the end of its PNG image is missing")


def _promised(kind: bytes, length: int, header: bytes) -> int:
    """Bytes of the pixels, unpacked, of the first part of a PNG."""
    if kind != b"IHDR" or length != 13:
        raise UnreadableError("damaged header: not a PNG image")
    columns, rows, bits, colour = struct.unpack(">IIBB", header[:10])
    check_size(rows, columns)
    if colour not in _CHANNELS or bits not in (1, 2, 4, 8, 16):
        raise UnreadableError("damaged header: pixels of a kind that PNG does not have")
    return int(rows) * (int(columns) * int(bits) * _CHANNELS[colour] // 8)


def _jpeg_end(file: BinaryIO, size: int) -> ImageEnd:
    if file.read(2) != b"\xff\xd8":
        raise UnreadableError("damaged header: not a JPEG image")
    rows = columns = process = 0
    for _ in range(_MOST_PARTS):
        marker = _marker(file)
        if marker in _ALONE:
            continue
        start = file.read(2)
        length = struct.unpack(">H", start)[0] if len(start) == 2 else 0
        if marker == 0xD9 or length < 2:
            raise UnreadableError("damaged file: a JPEG image without pixels")
        if marker in _SIZES:
            content = file.read(length - 2)
            if len(content) < 5:
                raise UnreadableError("damaged header: not a JPEG image")
            bits, rows, columns = struct.unpack(">BHH", content[:5])
            process = marker
            check_size(rows, columns)
            if process not in _READ or bits != 8:
                raise UnreadableError(
                    f"a JPEG of {bits} bits, or one that is coded without loss: not read, convert it to PNG"
                )
        elif marker == 0xDA:
            begin = file.tell() + length - 2
            if not process:
                raise UnreadableError("damaged header: a JPEG image without a size")
            if process < _ARITHMETIC and (size - begin) * _BLOCK < rows * columns:
                raise UnreadableError(f"damaged or truncated file: {size} bytes cannot hold {rows} x {columns} pixels")
            return ImageEnd(_behind(file, begin, size))
        else:
            file.seek(length - 2, io.SEEK_CUR)
    raise UnreadableError(f"damaged file: a JPEG image of more than {_MOST_PARTS} parts")


def _marker(file: BinaryIO) -> int:
    """The next marker; bytes in front of it are passed over, as decoders do, but not many."""
    for _ in range(_TAIL):
        byte = file.read(1)
        if byte == b"\xff":
            while byte == b"\xff":
                byte = file.read(1)
            if byte != b"\0" and byte:
                return byte[0]
        if not byte:
            break
    raise UnreadableError("truncated file: the end of its JPEG image is missing")


def _behind(file: BinaryIO, begin: int, size: int) -> int:
    """Bytes behind the mark that ends an image whose pixels begin here: a copy that was broken off lacks it."""
    start = max(begin, size - _TAIL)
    file.seek(start)
    found = file.read(_TAIL).rfind(_END)
    if found >= 0:
        return size - (start + found + 2)
    # Something long lies behind it. Within the pixels its two bytes never follow one another.
    file.seek(begin)
    at, last = begin, b""
    while block := file.read(1 << 20):
        found = (last + block).find(_END)
        if found >= 0:
            return size - (at - len(last) + found + 2)
        at, last = at + len(block), block[-1:]
    raise UnreadableError("truncated file: the end of its JPEG image is missing")
