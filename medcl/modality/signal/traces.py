"""Lines of a recording, drawn at four times their size and reduced, so that they are smooth."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL import Image, ImageDraw

FINER = 4
Colour = tuple[int, int, int]


def polyline(
    draw: "ImageDraw.ImageDraw", x: NDArray[np.float64], y: NDArray[np.float64], colour: int | Colour, width: int
) -> None:
    """Draw a line through points, with a gap where one is no number."""
    missing = np.flatnonzero(~np.isfinite(y))
    for part in np.split(np.arange(len(y)), missing):
        part = part[np.isfinite(y[part])]
        if len(part) > 1:
            draw.line(np.column_stack([x[part], y[part]]).ravel().tolist(), fill=colour, width=width, joint="curve")


def over(paper: "Image.Image", lines: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]], ink: Colour) -> None:
    """Draw lines on paper.

    Args:
        paper: drawn on in place.
        lines: (x, y) of each in pixels of the paper, NaN where there is a gap.
        ink: red, green, blue.
    """
    from PIL import Image, ImageDraw

    mask = Image.new("L", (paper.width * FINER, paper.height * FINER))
    draw = ImageDraw.Draw(mask)
    for x, y in lines:
        polyline(draw, x * FINER, y * FINER, 255, round(1.25 * FINER))
    paper.paste(ink, mask=mask.reduce(FINER))


def thinned(values: NDArray[np.float64], columns: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A long line as the lowest and highest value of each of some columns, so that no spike is lost.

    Args:
        values: (samples,); NaN where there is none.
        columns: about as many as pixels are to be drawn on.

    Returns:
        (p,) places in samples, (p,) values; the line itself where it is short.
    """
    n = len(values)
    if n <= 4 * columns:
        return np.arange(n, dtype=np.float64), values
    block = -(-n // columns)
    padded = np.pad(values, (0, -n % block), constant_values=np.nan).reshape(-1, block)
    filled_low, filled_high = np.where(np.isnan(padded), np.inf, padded), np.where(np.isnan(padded), -np.inf, padded)
    first, second = filled_low.argmin(1), filled_high.argmax(1)
    places = np.sort(np.column_stack([first, second]), axis=1) + block * np.arange(len(padded))[:, None]
    chosen = places.ravel()
    return chosen.astype(np.float64), padded.ravel()[chosen]
