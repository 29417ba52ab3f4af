"""Images as PNG files, several as one, and PNG files in a page."""

import base64
import io
from collections.abc import Sequence
from textwrap import wrap
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL import Image


LONGEST = 320  # pixels of the longer side

CIVIDIS = ((0, 34, 78), (59, 73, 108), (124, 123, 120), (187, 174, 107), (254, 232, 56))
"""From low to high: blue, grey, yellow. Lightness grows evenly, so that it reads the same to the colour-blind and in
print (Nuñez, Anderton and Renslow, 2018)."""
OPACITY = 0.5
FLAT = 1e-6
"""Difference of a map's highest value from its mean up to which it is the same everywhere."""
BAR = 10
"""Height of a bar of colours, in pixels."""


def grey(image: NDArray[np.float32]) -> NDArray[np.uint8]:
    """An image (C, rows, columns) from 0 to 1 as (rows, columns, 3) bytes; of other than three channels, the first."""
    shown = image if len(image) == 3 else np.repeat(image[:1], 3, axis=0)
    return np.rint(255 * np.clip(shown, 0, 1)).astype(np.uint8).transpose(1, 2, 0)


def png(
    image: NDArray[np.uint8], longest: int = LONGEST, spacing: tuple[float, float] = (1.0, 1.0), *, smooth: bool = True
) -> bytes:
    """An image as a PNG file.

    Args:
        image: (rows, columns) of grey, or (rows, columns, 3).
        longest: pixels of its longer side; the other follows from shape and spacing.
        spacing: length of a pixel down and across, in any unit.
        smooth: blend between pixels; otherwise each stays a box.
    """
    from PIL import Image

    drawn = Image.fromarray(image)
    height, width = drawn.height * spacing[0], drawn.width * spacing[1]
    scale = longest / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    way = Image.Resampling.BILINEAR if smooth else Image.Resampling.NEAREST
    return encoded(drawn.resize(size, way))


def encoded(image: "Image.Image") -> bytes:
    """An image of Pillow as a PNG file."""
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return file.getvalue()


def data_uri(file: bytes) -> str:
    """A PNG file as it stands in a page."""
    return "data:image/png;base64," + base64.b64encode(file).decode()


COLUMNS, TILE, LINE, GAP = 5, 192, 14, 8  # the last three in pixels


def contact_sheet(images: Sequence[bytes], captions: Sequence[Sequence[str]], heading: Sequence[str] = ()) -> bytes:
    """Images side by side, each with its lines of text below, as a PNG file.

    Args:
        images: PNG files; those larger than `TILE` pixels are reduced.
        captions: lines of text for each, one number of lines for all.
        heading: lines above them all; a long one goes on below.
    """
    from PIL import Image, ImageDraw

    columns, lines = max(1, min(COLUMNS, len(images))), max((len(one) for one in captions), default=0)
    rows = -(-len(images) // columns)
    width, height = TILE + GAP, TILE + lines * LINE + GAP
    above = [part for text in heading for part in wrap(text, max(columns, 2) * width // 6)]
    top_of_all = len(above) * LINE + GAP * bool(above)
    across = max(columns, 2 if above else 1) * width + GAP
    whole = Image.new("RGB", (across, top_of_all + rows * height + GAP), "white")
    draw = ImageDraw.Draw(whole)
    for number, text in enumerate(above):
        draw.text((GAP, GAP + number * LINE), text, fill="black")
    for place, (image, caption) in enumerate(zip(images, captions, strict=True)):
        left, top = GAP + place % columns * width, GAP + top_of_all + place // columns * height
        tile = Image.open(io.BytesIO(image))
        tile.thumbnail((TILE, TILE))
        whole.paste(tile, (left + (TILE - tile.width) // 2, top + (TILE - tile.height) // 2))
        for number, text in enumerate(caption):
            draw.text((left, top + TILE + number * LINE), _fitting(text), fill="black")
    return encoded(whole)


def _fitting(text: str) -> str:
    """The end of a text that is too long for a tile: record ids differ at their ends."""
    letters = TILE // 6  # the built-in font's letters are 6 pixels wide
    return text if len(text) <= letters else "\N{HORIZONTAL ELLIPSIS}" + text[-letters + 1 :]


def overlay(image: NDArray[np.float32], similarity: NDArray[np.float32]) -> NDArray[np.uint8]:
    """A map (rows, columns) over an image (C, rows, columns) from 0 to 1, where it is above its mean.

    The image is seen as it is where the map is at its mean or below, and where the map is the same everywhere; from
    there the tint goes from dark blue to yellow at the highest value, and covers more.
    """
    least, high = scale_of(similarity)
    place = np.clip((similarity - least) / (high - least), 0, 1) if high > least + FLAT else np.zeros_like(similarity)
    stops = np.linspace(0, 1, len(CIVIDIS))
    colours = np.stack([np.interp(place, stops, channel) for channel in np.array(CIVIDIS, dtype=np.float64).T], axis=2)
    covered = (OPACITY * np.sqrt(place))[:, :, None]
    drawn: NDArray[np.uint8] = np.rint((1 - covered) * grey(image) + covered * colours).astype(np.uint8)
    return drawn


def scale_of(similarity: NDArray[np.float32]) -> tuple[float, float]:
    """Where the tint of a map begins, at its mean, and its highest value."""
    return float(similarity.mean()), float(similarity.max())


def with_colour_bar(image: bytes, low: float, high: float) -> bytes:
    """A PNG file with the colours of `overlay` below it, and the numbers at both ends."""
    from PIL import Image, ImageDraw

    shown = Image.open(io.BytesIO(image)).convert("RGB")
    whole = Image.new("RGB", (shown.width, shown.height + BAR + LINE + GAP), "white")
    whole.paste(shown, (0, 0))
    stops, along = np.linspace(0, 1, len(CIVIDIS)), np.linspace(0, 1, shown.width)
    colours = np.stack([np.interp(along, stops, channel) for channel in np.array(CIVIDIS, dtype=np.float64).T], axis=1)
    bar = np.broadcast_to(np.rint(colours).astype(np.uint8), (BAR, shown.width, 3))
    whole.paste(Image.fromarray(np.ascontiguousarray(bar)), (0, shown.height + GAP // 2))
    draw, top = ImageDraw.Draw(whole), shown.height + GAP // 2 + BAR
    first, last = f"{low:.2f} (mean)", f"{high:.2f}"
    draw.text((0, top), first, fill="black")
    draw.text((shown.width - draw.textlength(last), top), last, fill="black")
    return encoded(whole)
