"""Images in JPEG and PNG files, through Pillow.

Decided here: images are turned as their EXIF orientation says. Transparent pixels lie on black. CMYK becomes RGB, a
palette the colours that it stands for (grey where all of them are). 1 bit becomes 0 and 255. Grey of 16 bits stays as
it is; colours of 16 bits become 8, as Pillow reads them. Of an animation the first image is read.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PillowImage
from PIL import UnidentifiedImageError

from medcl.errors import UnreadableError, system_reason
from medcl.modality.image.formats.end import image_end
from medcl.modality.image.record import Image, ImageHeader
from medcl.modality.unpack import check_size

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

    Args:
        path: of the file.
        format: `jpeg` or `png`.

    Returns:
        The header.

    Raises:
        UnreadableError: as `medcl.modality.image.record.read_header`.
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
    """Decode the image of a file.

    Args:
        path: of the file.
        format: `jpeg` or `png`.
        at_least: as `medcl.modality.image.record.read_image`.

    Returns:
        The image, uint8 or, of grey with 16 bits, uint16.

    Raises:
        UnreadableError: as `medcl.modality.image.record.read_image`.
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
    """A file of this format, as Pillow opens it; whatever Pillow raises becomes an UnreadableError without the path.

    Args:
        path: of the file.
        format: `jpeg`, `png` or `tiff`.

    Raises:
        UnreadableError: it is damaged, too large, or not in this format.
    """
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
