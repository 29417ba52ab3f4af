"""Pictures as PNG files, and PNG files in a page."""

import base64
import io
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL import Image

LONGEST = 320  # pixels of the longer side


def grey(picture: NDArray[np.float32]) -> NDArray[np.uint8]:
    """A picture (C, rows, columns) from 0 to 1 as (rows, columns, 3) bytes; of other than three channels, the first."""
    shown = picture if len(picture) == 3 else np.repeat(picture[:1], 3, axis=0)
    return np.rint(255 * np.clip(shown, 0, 1)).astype(np.uint8).transpose(1, 2, 0)


def png(
    picture: NDArray[np.uint8],
    longest: int = LONGEST,
    spacing: tuple[float, float] = (1.0, 1.0),
    *,
    smooth: bool = True,
) -> bytes:
    """A picture as a PNG file.

    Args:
        picture: (rows, columns) of grey, or (rows, columns, 3).
        longest: pixels of its longer side; the other follows from shape and spacing.
        spacing: length of a pixel down and across, in any unit.
        smooth: blend between pixels; otherwise each stays a box.

    Returns:
        The file.
    """
    from PIL import Image

    image = Image.fromarray(picture)
    height, width = image.height * spacing[0], image.width * spacing[1]
    scale = longest / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    way = Image.Resampling.BILINEAR if smooth else Image.Resampling.NEAREST
    return encoded(image.resize(size, way))


def encoded(image: "Image.Image") -> bytes:
    """A picture of Pillow as a PNG file."""
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return file.getvalue()


def data_uri(file: bytes) -> str:
    """A PNG file as it stands in a page."""
    return "data:image/png;base64," + base64.b64encode(file).decode()
