"""Images in memory as PNG files, which lose no pixel."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow

from medcl.modality.objects import Given

TAKES = "arrays (rows, columns) of uint8 or uint16 or (rows, columns, 3) of uint8, PIL images"
_OTHER = ("CMYK", "YCbCr", "LAB", "HSV")  # modes that PNG does not have; they become what a JPEG of them is read as


def write(x: Any, place: Path, given: Given) -> bool:
    """Write an image.

    Args:
        x: PIL image, of which the orientation that its EXIF states is kept; or (rows, columns) uint8 or uint16, 0 being
            black, or (rows, columns, 3) uint8.
        place: folder.
        given: nothing of it is about images.

    Returns:
        Whether it is one.
    """
    if isinstance(x, np.ndarray):
        grey = x.ndim == 2 and x.dtype in (np.uint8, np.uint16)
        if not grey and not (x.ndim == 3 and x.shape[2] == 3 and x.dtype == np.uint8):
            return False
        x = Pillow.fromarray(x)
    if not isinstance(x, Pillow.Image) or x.mode == "F":
        return False
    shown = x.convert("RGB") if x.mode in _OTHER else x
    shown.save(place / "image.png", exif=x.getexif().tobytes())
    return True
