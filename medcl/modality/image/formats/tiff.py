"""Grey images of one page in TIFF files, through Pillow, as radiographs and digitised films are kept.

Decided here: grey of 8 and 16 bits is read, of any compression that libtiff knows. Where the file says that 0 is white,
numbers are turned round. Colours, several pages (whole slides, volumes), signed or floating numbers, and images that
the header turns by a quarter are refused.
"""

from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from medcl.errors import UnreadableError
from medcl.modality.image.formats.jpeg_png import opened
from medcl.modality.image.record import Image, ImageHeader
from medcl.modality.unpack import check_size

_WIDTH, _LENGTH, _BITS, _PHOTOMETRIC, _ORIENTATION, _SAMPLES, _FORMAT = 256, 257, 258, 262, 274, 277, 339
_STARTS, _COUNTS = (273, 324), (279, 325)  # of strips, or of tiles
_WHITE_IS_ZERO = 0
_GREY = (_WHITE_IS_ZERO, 1)
# Orientations in which rows and columns change places: Pillow reads uncompressed ones in rows of the wrong length.
_TURNED = (5, 6, 7, 8)
_MOST = 1 << 12  # bytes that a packed one stands for, at most: LZW writes 4096 as 12 bits
_INSTEAD = "save it as grey PNG, TIFF of one page or DICOM"


def read_header(path: Path) -> ImageHeader:
    """Read the header of a file and see that its pixels are all there; none is decoded.

    Raises:
        UnreadableError: as `medcl.modality.image.record.read_header`; colours, several pages or other numbers.
    """
    with opened(path, "tiff") as image:
        rows, columns, bits = _checked(image, path.stat().st_size)
    return ImageHeader(format="tiff", rows=rows, columns=columns, n_channels=1, dtype=f"uint{bits}")


def read_image(path: Path) -> Image:
    """Decode the image of a file, uint8 or uint16.

    Raises:
        UnreadableError: as `read_header`, or its pixels are damaged.
    """
    with opened(path, "tiff") as image:
        rows, columns, bits = _checked(image, path.stat().st_size)
        white_is_zero = image.tag_v2.get(_PHOTOMETRIC) == _WHITE_IS_ZERO
        image.load()  # upright
        pixels = np.asarray(image).astype(f"uint{bits}")
    if pixels.shape != (rows, columns):
        raise UnreadableError("damaged file: its TIFF image is of another size than its header says")
    most = 2**bits - 1
    # Pillow turns 8 bits round by itself.
    pixels = most - pixels if white_is_zero and bits == 16 else pixels
    return Image(np.ascontiguousarray(pixels)[None], (0.0, float(most)))


def _checked(image: Any, size: int) -> tuple[int, int, int]:
    """Rows, columns and bits of a pixel."""
    tags = image.tag_v2
    bits, kinds = tuple(tags.get(_BITS, (1,))), tuple(tags.get(_FORMAT, (1,)))
    if tags.get(_SAMPLES, 1) != 1 or tags.get(_PHOTOMETRIC) not in _GREY:
        raise UnreadableError(f"a TIFF image in colours: {_INSTEAD}")
    if bits not in ((8,), (16,)) or kinds != (1,):
        raise UnreadableError(f"a TIFF image whose pixels are not whole numbers of 8 or 16 bits: {_INSTEAD}")
    if image.n_frames != 1:
        raise UnreadableError(f"a TIFF file of {image.n_frames} pages: {_INSTEAD}; cut a whole slide into tiles")
    if tags.get(_ORIENTATION) in _TURNED:
        raise UnreadableError("a TIFF image that its header turns by a quarter: save it upright")
    rows, columns = int(tags[_LENGTH]), int(tags[_WIDTH])
    check_size(rows, columns)
    starts, counts = ([int(n) for tag in pair for n in tags.get(tag, ())] for pair in (_STARTS, _COUNTS))
    if len(starts) != len(counts) or any(a + b > size for a, b in zip(starts, counts, strict=True)):
        raise UnreadableError("truncated file: its TIFF image ends behind the end of the file")
    if sum(counts) * (1 if image.info.get("compression") == "raw" else _MOST) < prod((rows, columns, bits[0] // 8)):
        raise UnreadableError("truncated file: its TIFF image has fewer bytes than its size needs")
    return rows, columns, bits[0]
