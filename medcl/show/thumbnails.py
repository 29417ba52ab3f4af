"""What a record looks like, small: a slice, an image, a strip of a recording, the words of a report; many on a sheet.

Nothing is drawn that names a person: no header and no path. What is burned into the pixels of an image stays. A report
is shown as the manifest holds it, de-identified.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medcl import files
from medcl.archive.file_state import scanned
from medcl.archive.manifest import Manifest
from medcl.data.decode import sources
from medcl.engine.parallel import quiet, run_chunks
from medcl.errors import UsageError, reason
from medcl.modality import wing
from medcl.modality.formats import DECODED_APART
from medcl.modality.miniature import Miniature
from medcl.modality.rows import Source
from medcl.show.images import contact_sheet, data_uri, encoded, png

WIDTH = 128  # pixels of the longer side of an image
_LEVELS = 64


@dataclass(frozen=True)
class Thumbnail:
    """A record as it is shown.

    Args:
        kind: `signal`, `volume`, `image` or `report`.
        png: a PNG file; empty for a report.
        large: a PNG file that shows more of it, such as all leads of an ECG; empty where there is no more.
        text: of a report, plain, to be escaped where it is put into a page; its beginning.
        missing: why the record cannot be shown, empty where it can: the image then says no more than that.
        label: what of the record is shown, such as `axial slice 12 (0 to 39)`.
        ends: sides of the patient at the left and at the right of the image, such as `R` and `L`.
        width: of what is shown, in mm; 0 where it is not known.
    """

    kind: str
    png: bytes = b""
    large: bytes = b""
    text: str = ""
    missing: str = ""
    label: str = ""
    ends: tuple[str, str] = ("", "")
    width: float = 0.0

    @property
    def scale(self) -> tuple[int, float]:
        """A round length in mm of a quarter to a half of the image, and its share of the width; zeros where unknown."""
        if self.width <= 0:
            return 0, 0.0
        length = max((one for one in (1, 2, 5, 10, 20, 50, 100, 200) if one <= self.width / 2), default=0)
        return length, length / self.width

    @property
    def uri(self) -> str:
        """The image as it stands in a page; empty for a report."""
        return data_uri(self.png) if self.png else ""

    @property
    def large_uri(self) -> str:
        """The large image as it stands in a page; empty where there is none."""
        return data_uri(self.large) if self.large else ""


def thumbnail(manifest: Manifest, row: int, piece: int | None = None, axis: int = 2, width: int = 0) -> Thumbnail:
    """Draw one record; see `thumbnails`."""
    return thumbnails(manifest, [(row, piece)], axis, width)[0]


def thumbnails(
    manifest: Manifest,
    wanted: Sequence[tuple[int, int | None]],
    axis: int = 2,
    width: int = 0,
    *,
    enlarged: bool = False,
) -> list[Thumbnail]:
    """Draw records; each is read once, however many of its slices are wanted.

    Args:
        manifest: of the records, whose files are read as they lie in the archive.
        wanted: (row, piece) of each: of a volume the number of a slice, the middle one by default; of a recording the
            second at which the strip begins.
        axis: of RAS+, across which slices lie.
        width: pixels of the longer side; 0 is `WIDTH`, or the wing's own.
        enlarged: draw the large images as well.

    Returns:
        One each, in the order wanted. A file that cannot be read becomes a grey placeholder that says why.
    """
    made: list[Thumbnail | None] = [None] * len(wanted)
    rows = sorted({row for row, _ in wanted})
    few = manifest.select(np.array(rows, dtype=np.int64))
    states = scanned(few)
    for number, (row, kind) in enumerate(zip(rows, few.kinds, strict=True)):
        (source,) = sources(few.select([number]), wing(kind), states[number : number + 1])
        places = [place for place, (one, _) in enumerate(wanted) if one == row]
        drawing = _Drawing(str(kind), source, tuple(wanted[place][1] for place in places), axis, width, enlarged)
        # A reader that may end its process does so elsewhere.
        apart = source.format in DECODED_APART
        (drawn,) = run_chunks(_drawn, [drawing], jobs=1, chunk=1, instead=_died, apart=apart)
        for place, one in zip(places, drawn, strict=True):
            made[place] = one
    return [one for one in made if one is not None]


@dataclass(frozen=True)
class _Drawing:
    """What is drawn of one record: its pieces, see `thumbnails`."""

    kind: str
    source: Source
    pieces: tuple[int | None, ...]
    axis: int
    width: int
    enlarged: bool


def _died(drawing: _Drawing) -> list[Thumbnail]:
    """What stands for a record whose reading ended the process."""
    why = "damaged file: reading it ends the reader"
    return [placeholder(drawing.kind, why, drawing.width or WIDTH)] * len(drawing.pieces)


def _drawn(drawings: Sequence[_Drawing]) -> list[Thumbnail]:
    """The pieces of one record."""
    (drawing,) = drawings
    kind, width = drawing.kind, drawing.width
    try:
        with quiet():
            found = wing(kind).thumbnails(drawing.source, drawing.pieces, drawing.axis, width)
    except Exception as error:
        return [placeholder(kind, reason(error), width or WIDTH)] * len(drawing.pieces)
    return [_encoded(kind, one, width or WIDTH, drawing.enlarged) for one in found]


def _encoded(kind: str, small: Miniature, width: int, enlarged: bool) -> Thumbnail:
    if small.drawn is not None:
        more = small.enlarged() if enlarged and small.enlarged else None
        return Thumbnail(kind, encoded(small.drawn), encoded(more) if more else b"")
    if small.pixels is not None:
        # Few greys: half the bytes, and no difference to the eye at this size.
        step = 256 // _LEVELS
        image = png(small.pixels // step * step, width, small.spacing)
        return Thumbnail(kind, image, label=small.label, ends=small.ends, width=small.width)
    if small.missing and wing(kind).reads_files:
        return placeholder(kind, small.missing, width)
    return Thumbnail(kind, text=small.text, missing=small.missing)


def placeholder(kind: str, why: str, width: int = WIDTH) -> Thumbnail:
    """A grey image with a cross, and why."""
    from PIL import Image, ImageDraw

    blank = Image.new("L", (width, width * 3 // 4), 200)
    draw = ImageDraw.Draw(blank)
    draw.line([(0, 0), (blank.width, blank.height)], fill=170)
    draw.line([(0, blank.height), (blank.width, 0)], fill=170)
    draw.text((blank.width // 2, blank.height // 2), "not readable", fill=60, anchor="mm")
    return Thumbnail(kind, encoded(blank), missing=why)


def write_contact_sheet(
    manifest: Manifest,
    record_ids: Sequence[str | None],
    captions: Sequence[Sequence[str]],
    path: Path,
    heading: Sequence[str] = (),
) -> None:
    """Draw records side by side.

    Args:
        manifest: of the records; a missing file becomes a grey tile.
        record_ids: which, None for what is of several records.
        captions: lines below each.
        path: `.png`.
        heading: lines above them all.

    Raises:
        UsageError: another ending, a record that the manifest does not have, or that no image can be made of.
    """
    if path.suffix.lower() != ".png":
        raise UsageError(f"-o {path}: a contact sheet is a .png file")
    if not record_ids:
        raise UsageError(f"-o {path}: there is no record to show")
    if any(one is None for one in record_ids):
        raise UsageError(f"-o {path}: an embedding of several records has no image: embed with --level record")
    place = {one: row for row, one in enumerate(manifest.column("record_id"))}
    unknown = [one for one in record_ids if one not in place]
    if unknown:
        raise UsageError(f"-o {path}: the manifest has no record {unknown[0]}: give the one that was embedded")
    shown = thumbnails(manifest, [(place[one], None) for one in record_ids])
    if any(not one.png for one in shown):
        raise UsageError(f"-o {path}: a contact sheet shows images, volumes and recordings, not reports")
    files.write(path, contact_sheet([one.png for one in shown], captions, heading), private=True)
