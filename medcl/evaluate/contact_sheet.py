"""What was found as one picture, or as a page."""

from collections.abc import Sequence
from pathlib import Path

from medcl import files
from medcl.errors import UsageError
from medcl.evaluate.search import Archive, Found
from medcl.show import page
from medcl.show.contact_sheet import TILE, contact_sheet
from medcl.show.pictures import data_uri, png
from medcl.show.wording import number


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
    if path.suffix.lower() == ".png":
        captions = [(f"{one.rank}  {number(one.similarity, digits=3)}", one.record_id) for one in found]
        files.write(path, contact_sheet([png(one, TILE) for one in shown], captions), private=True)
        return
    pictures = [data_uri(png(one)) for one in shown] or [""] * len(found)
    page.write(
        path,
        page.render(
            "evaluate/sheet.html", {}, query=query, found=list(zip(found, pictures, strict=True)), number=number
        ),
    )
