"""Images in JPEG and PNG files, through Pillow.

Where the image in a file ends, and whether its bytes can hold the pixels that its header promises, is told by walking
over the parts of the file, in constant memory, before anything is decoded.

Decided here: images are turned as their EXIF orientation says. Transparent pixels lie on black. CMYK becomes RGB, a
palette the colours that it stands for (grey where all of them are). 1 bit becomes 0 and 255. Grey of 16 bits stays as
it is; colours of 16 bits become 8, as Pillow reads them. Of an animation the first image is read.
"""

import io
import os
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image as PillowImage
from PIL import UnidentifiedImageError

from medcl.errors import UnreadableError, system_reason
from medcl.modality.image.record import Image, ImageHeader
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
    """Walk over the parts of a file; an UnreadableError where it ends early or cannot hold the pixels of its header."""
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


_NAMES = {"jpeg": "JPEG", "png": "PNG", "tiff": "TIFF"}
_ORIENTATION = 0x0112
_TURNS = {
    2: PillowImage.Transpose.FLIP_LEFT_RIGHT,
    3: PillowImage.Transpose.ROTATE_180,
    4: PillowImage.Transpose.FLIP_TOP_BOTTOM,
    5: PillowImage.Transpose.TRANSPOSE,
    6: PillowImage.Transpose.ROTATE_270,
    7: PillowImage.Transpose.TRANSVERSE,
    8: PillowImage.Transpose.ROTATE_90,
}
"""EXIF orientation -> what turns an image upright."""
_TURNED = (5, 6, 7, 8)  # orientations in which rows and columns change places
_DEEP = ("I", "I;16", "I;16B", "I;16L")
_GREY = ("1", "L", *_DEEP)


def read_header(path: Path, format: str) -> ImageHeader:
    """Read the header of a file and see that its end is there, and that it can hold its pixels; none is decoded.

    Raises:
        UnreadableError: it is damaged, too large, or not in this format.
    """
    end = image_end(path, format)
    flags = [f"{end.behind} bytes behind the end of the image: not read"] if end.behind else []
    with opened(path, format) as image:
        columns, rows = image.size
        if _orientation(image, end.exif) in _TURNED:
            rows, columns = columns, rows
        if _transparent(image):
            flags.append("transparent pixels")
        return ImageHeader(
            format=format,
            rows=rows,
            columns=columns,
            n_channels=1 if _is_grey(image) else 3,
            dtype="uint16" if image.mode in _DEEP else "uint8",
            flags=tuple(flags),
        )


def read_image(path: Path, format: str, at_least: int = 0) -> Image:
    """Decode the image of a file: uint8 or, of grey with 16 bits, uint16; `at_least` as of `formats.read_image`.

    Raises:
        UnreadableError: as `read_header`, or its pixels are damaged.
    """
    end = image_end(path, format)
    with opened(path, format) as image:
        turn = _TURNS.get(_orientation(image, end.exif))
        if at_least:
            # Only a JPEG knows what this means; it stays at least as large as is asked for.
            longer = at_least * max(image.size) / min(image.size)
            wanted = tuple(at_least if side == min(image.size) else round(longer) for side in image.size)
            image.draft(None, (wanted[0], wanted[1]))
        image.load()
        if image.mode in _DEEP:
            deep = np.asarray(image if turn is None else image.transpose(turn))
            return Image(np.ascontiguousarray(deep.astype(np.uint16))[None], (0.0, 65535.0))
        grey = _is_grey(image)
        shown = image if turn is None else image.transpose(turn)
        if _transparent(image):
            shown = PillowImage.alpha_composite(
                PillowImage.new("RGBA", shown.size, (0, 0, 0, 255)), shown.convert("RGBA")
            )
        pixels = np.asarray(shown.convert("L" if grey else "RGB"))
    return Image(pixels[None] if grey else np.ascontiguousarray(pixels.transpose(2, 0, 1)), (0.0, 255.0))


@contextmanager
def opened(path: Path, format: str) -> Iterator[Any]:
    """A file as Pillow opens it; whatever Pillow raises becomes an UnreadableError without the path."""
    name = _NAMES.get(format)
    if name is None:
        raise UnreadableError(f"format {format!r} is none of {', '.join(_NAMES)}")
    with warnings.catch_warnings():
        # Of its limit Pillow warns; the check of the size is ours, before a pixel is decoded.
        warnings.simplefilter("ignore")
        try:
            with PillowImage.open(path, formats=(name,)) as image:
                check_size(image.height, image.width)
                yield image
        except UnreadableError:
            raise
        except PillowImage.DecompressionBombError:
            raise UnreadableError("an image of more pixels than any that is real: make a smaller copy of it") from None
        except UnidentifiedImageError:
            raise UnreadableError(
                f"damaged header: not a {name} image, or of a kind that Pillow does not read"
            ) from None
        except MemoryError:
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise UnreadableError(f"cannot be read: {system_reason(error)}") from None
            reason = "truncated file" if "truncated" in str(error) else "damaged file"
            raise UnreadableError(f"{reason}: its {name} image cannot be decoded") from None


def _orientation(image: Any, exif: bytes) -> int:
    """How an image is to be turned, 1 where nothing readable says it: a damaged remark does not cost an image."""
    try:
        # Not `getexif` of a PNG, which would decode it to look behind its pixels.
        if exif:
            found = PillowImage.Exif()
            found.load(exif)
        else:
            found = PillowImage.Image.getexif(image)
        number = int(found.get(_ORIENTATION, 1))
    except Exception:
        return 1
    return number if number in _TURNS else 1


def _transparent(image: Any) -> bool:
    return image.mode in ("LA", "PA", "La", "RGBA", "RGBa") or "transparency" in image.info


def _is_grey(image: Any) -> bool:
    """Whether an image has one channel by its kind, or by all colours of its palette."""
    if image.mode in ("P", "PA"):
        colours = np.array(image.getpalette("RGB") or (), dtype=np.uint8).reshape(-1, 3)
        return bool((colours == colours[:, :1]).all())
    return image.mode in (*_GREY, "LA", "La")
