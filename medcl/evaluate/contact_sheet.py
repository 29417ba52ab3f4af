"""What was found as one picture, or as a page."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medcl.errors import UsageError
from medcl.evaluate import grounding, page
from medcl.evaluate.search import Archive, Found
from medcl.evaluate.wording import number

COLUMNS, TILE, LINE, GAP = 5, 192, 14, 8  # the last three in pixels


def write_sheet(archive: Archive, found: Sequence[Found], query: str, path: Path) -> None:
    """Write a contact sheet.

    Args:
        archive: in which it was found.
        found: the nearest first.
        query: what was looked for.
        path: `.png`, which shows pictures; or `.html`, which shows reports as well.

    Raises:
        UsageError: another ending, or records that cannot be shown.
    """
    if path.suffix.lower() not in (".png", ".html"):
        raise UsageError(f"-o {path}: a contact sheet is a .png or an .html file")
    shown = archive.pictures(found) if path.suffix.lower() == ".png" or found[0].kind == "image" else []
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() == ".png":
        path.write_bytes(sheet(found, shown))
        return
    pictures = [grounding.data_uri(grounding.png(one)) for one in shown] or [""] * len(found)
    page.write(
        path, page.render("sheet.html", {}, query=query, found=list(zip(found, pictures, strict=True)), number=number)
    )


def sheet(found: Sequence[Found], pictures: Sequence[NDArray[np.uint8]]) -> bytes:
    """Pictures side by side, under each its rank, similarity and record id, as a PNG file."""
    from PIL import Image, ImageDraw

    columns = min(COLUMNS, len(found))
    rows = -(-len(found) // columns)
    width, height = TILE + GAP, TILE + 2 * LINE + GAP
    whole = Image.new("RGB", (columns * width + GAP, rows * height + GAP), "white")
    draw = ImageDraw.Draw(whole)
    for place, (one, picture) in enumerate(zip(found, pictures, strict=True)):
        left, top = GAP + place % columns * width, GAP + place // columns * height
        tile = Image.open(io.BytesIO(grounding.png(picture, TILE)))
        whole.paste(tile, (left + (TILE - tile.width) // 2, top + (TILE - tile.height) // 2))
        draw.text((left, top + TILE), f"{one.rank}  {number(one.similarity, digits=3)}", fill="black")
        draw.text((left, top + TILE + LINE), _fitting(one.record_id), fill="black")
    file = io.BytesIO()
    whole.save(file, "PNG", optimize=True)
    return file.getvalue()


def _fitting(text: str) -> str:
    """The end of a text that is too long for a tile: record ids differ at their ends."""
    letters = TILE // 6  # the built-in font's letters are 6 pixels wide
    return text if len(text) <= letters else "\N{HORIZONTAL ELLIPSIS}" + text[-letters + 1 :]
