"""Many pictures as one."""

import io
from collections.abc import Sequence

from medcl.show.pictures import encoded

COLUMNS, TILE, LINE, GAP = 5, 192, 14, 8  # the last three in pixels


def contact_sheet(pictures: Sequence[bytes], captions: Sequence[Sequence[str]]) -> bytes:
    """Pictures side by side, each with its lines of text below, as a PNG file.

    Args:
        pictures: PNG files; those larger than `TILE` pixels are reduced.
        captions: lines of text for each, one number of lines for all.

    Returns:
        The file.
    """
    from PIL import Image, ImageDraw

    columns, lines = max(1, min(COLUMNS, len(pictures))), max((len(one) for one in captions), default=0)
    rows = -(-len(pictures) // columns)
    width, height = TILE + GAP, TILE + lines * LINE + GAP
    whole = Image.new("RGB", (columns * width + GAP, rows * height + GAP), "white")
    draw = ImageDraw.Draw(whole)
    for place, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
        left, top = GAP + place % columns * width, GAP + place // columns * height
        tile = Image.open(io.BytesIO(picture))
        tile.thumbnail((TILE, TILE))
        whole.paste(tile, (left + (TILE - tile.width) // 2, top + (TILE - tile.height) // 2))
        for number, text in enumerate(caption):
            draw.text((left, top + TILE + number * LINE), _fitting(text), fill="black")
    return encoded(whole)


def _fitting(text: str) -> str:
    """The end of a text that is too long for a tile: record ids differ at their ends."""
    letters = TILE // 6  # the built-in font's letters are 6 pixels wide
    return text if len(text) <= letters else "\N{HORIZONTAL ELLIPSIS}" + text[-letters + 1 :]
