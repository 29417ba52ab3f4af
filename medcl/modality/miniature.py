"""What a record looks like, small."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True)
class Miniature:
    """What a record looks like, small, before it is written as a PNG file; or the words of a report.

    Args:
        pixels: (rows, columns) or (rows, columns, 3) uint8, which is scaled to the width asked for; None for a text.
        spacing: length of a pixel down and across, in any unit.
        drawn: in the place of `pixels` what was drawn at the width asked for, few colours.
        enlarged: draws what a reader sees who asks for more than the miniature; it may have no more to show.
        text: plain, de-identified.
        missing: why there is nothing to show.
        label: what of the record is shown, such as `axial slice 12 (0 to 39)`.
        ends: sides of the patient that are at the left and at the right of the image, such as `R` and `L`.
        width: of what is shown, in mm; 0 where it is not known.
    """

    pixels: NDArray[np.uint8] | None = None
    spacing: tuple[float, float] = (1.0, 1.0)
    drawn: "Image.Image | None" = None
    enlarged: "Callable[[], Image.Image | None] | None" = None
    text: str = ""
    missing: str = ""
    label: str = ""
    ends: tuple[str, str] = ("", "")
    width: float = 0.0
