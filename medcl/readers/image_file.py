"""Pictures in JPEG and PNG files, through Pillow.

Decided here: pictures are turned as their EXIF orientation says. Transparent pixels lie on black. CMYK becomes RGB, a
palette the colours that it stands for (grey where all of them are). 1 bit becomes 0 and 255. Grey of 16 bits stays as
it is; colours of 16 bits become 8, as Pillow reads them. Of an animation the first picture is read.
"""

import os
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Picture
from PIL import ImageOps, UnidentifiedImageError

from medcl.errors import UnreadableError
from medcl.readers.image import Image, ImageHeader, check_size

_NAMES = {"jpeg": "JPEG", "png": "PNG"}
_ORIENTATION = 0x0112
_TURNED = (5, 6, 7, 8)  # EXIF orientations in which rows and columns change places
_TAIL = 1 << 16
_JPEG_END, _PNG_END = b"\xff\xd9", b"IEND\xaeB`\x82"
_DEEP = ("I", "I;16", "I;16B", "I;16L")
_GREY = ("1", "L", *_DEEP)


def read_header(path: Path, format: str) -> ImageHeader:
    """Read the header of a file and see that its end is there.

    Args:
        path: of the file.
        format: `jpeg` or `png`.

    Returns:
        The header.

    Raises:
        UnreadableError: as `medcl.readers.image.read_header`.
    """
    _check_end(path, format)
    with _opened(path, format) as picture:
        columns, rows = picture.size
        if _orientation(picture) in _TURNED:
            rows, columns = columns, rows
        return ImageHeader(
            format=format,
            rows=rows,
            columns=columns,
            n_channels=1 if _is_grey(picture) else 3,
            dtype="uint16" if picture.mode in _DEEP else "uint8",
            flags=("transparent pixels",) if _transparent(picture) else (),
        )


def read_image(path: Path, format: str, at_least: int = 0) -> Image:
    """Decode the picture of a file.

    Args:
        path: of the file.
        format: `jpeg` or `png`.
        at_least: as `medcl.readers.image.read_image`.

    Returns:
        The picture, uint8 or, of grey with 16 bits, uint16.

    Raises:
        UnreadableError: as `medcl.readers.image.read_image`.
    """
    with _opened(path, format) as picture:
        if at_least:
            # Only a JPEG knows what this means; it stays at least as large as is asked for.
            longer = at_least * max(picture.size) / min(picture.size)
            wanted = tuple(at_least if side == min(picture.size) else round(longer) for side in picture.size)
            picture.draft(None, (wanted[0], wanted[1]))
        picture.load()
        if picture.mode in _DEEP:
            deep = np.asarray(ImageOps.exif_transpose(picture))
            return Image(np.ascontiguousarray(deep.astype(np.uint16))[None], (0.0, 65535.0))
        grey = _is_grey(picture)
        shown = ImageOps.exif_transpose(picture)
        if _transparent(picture):
            shown = Picture.alpha_composite(Picture.new("RGBA", shown.size, (0, 0, 0, 255)), shown.convert("RGBA"))
        pixels = np.asarray(shown.convert("L" if grey else "RGB"))
    return Image(pixels[None] if grey else np.ascontiguousarray(pixels.transpose(2, 0, 1)), (0.0, 255.0))


@contextmanager
def _opened(path: Path, format: str) -> Iterator[Any]:
    """A file of this format; whatever Pillow raises becomes an UnreadableError without the path."""
    name = _NAMES.get(format)
    if name is None:
        raise UnreadableError(f"format {format!r} is none of {', '.join(_NAMES)}")
    with warnings.catch_warnings():
        # Of its limit Pillow warns; the check of the size is ours, before a pixel is decoded.
        warnings.simplefilter("ignore")
        try:
            with Picture.open(path, formats=(name,)) as picture:
                check_size(picture.height, picture.width)
                yield picture
        except UnreadableError:
            raise
        except Picture.DecompressionBombError:
            raise UnreadableError("a picture of more pixels than any that is real: make a smaller copy of it") from None
        except UnidentifiedImageError:
            raise UnreadableError(f"damaged header: not a {name} picture") from None
        except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
            raise UnreadableError(f"cannot be read: {error.strerror}") from None
        except (OSError, SyntaxError, ValueError, struct.error, EOFError, IndexError, KeyError, TypeError) as error:
            reason = "truncated file" if "truncated" in str(error) else "damaged file"
            raise UnreadableError(f"{reason}: its {name} picture cannot be decoded") from None


def _check_end(path: Path, format: str) -> None:
    """Whether the mark that ends a picture is there: a copy that was broken off lacks it."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(0, size - _TAIL))
            tail = file.read(_TAIL)
    except OSError as error:
        raise UnreadableError(f"cannot be read: {error.strerror}") from None
    if (_PNG_END if format == "png" else _JPEG_END) not in tail:
        raise UnreadableError(f"truncated file: the end of its {_NAMES.get(format, format)} picture is missing")


def _orientation(picture: Any) -> int:
    return int(picture.getexif().get(_ORIENTATION, 1))


def _transparent(picture: Any) -> bool:
    return picture.mode in ("LA", "PA", "La", "RGBA", "RGBa") or "transparency" in picture.info


def _is_grey(picture: Any) -> bool:
    """Whether a picture has one channel by its kind, or by all colours of its palette."""
    if picture.mode in ("P", "PA"):
        colours = np.array(picture.getpalette("RGB") or (), dtype=np.uint8).reshape(-1, 3)
        return bool((colours == colours[:, :1]).all())
    return picture.mode in (*_GREY, "LA", "La")
