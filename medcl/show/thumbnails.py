"""What a record looks like, small: a slice, a picture, a strip of a recording, the words of a report.

Nothing is drawn that names a person: no header and no path. What is burned into the pixels of a picture stays. A report
is shown as the manifest holds it, de-identified.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medcl.archive.manifest import Manifest
from medcl.engine.parallel import run_chunks
from medcl.engine.quiet import quiet
from medcl.errors import reason
from medcl.modality.formats import DECODED_APART
from medcl.show.images import data_uri, encoded, png

WIDTH, STRIP = 128, 300  # pixels of the longer side of a picture, of the width of a strip
LETTERS = 600
"""Of a report, at most."""
_LEVELS = 64


@dataclass(frozen=True)
class Thumbnail:
    """A record as it is shown.

    Args:
        kind: `signal`, `volume`, `image` or `report`.
        png: a PNG file; empty for a report.
        text: of a report, plain, to be escaped where it is put into a page; its beginning.
        missing: why the record cannot be shown, empty where it can: the picture then says no more than that.
    """

    kind: str
    png: bytes = b""
    text: str = ""
    missing: str = ""

    @property
    def uri(self) -> str:
        """The picture as it stands in a page; empty for a report."""
        return data_uri(self.png) if self.png else ""


def thumbnail(manifest: Manifest, row: int, piece: int | None = None, axis: int = 2, width: int = 0) -> Thumbnail:
    """Draw one record; see `thumbnails`."""
    return thumbnails(manifest, [(row, piece)], axis, width)[0]


def thumbnails(
    manifest: Manifest, wanted: Sequence[tuple[int, int | None]], axis: int = 2, width: int = 0
) -> list[Thumbnail]:
    """Draw records; each is read once, however many of its slices are wanted.

    Args:
        manifest: of the records, whose files are read as they lie in the archive.
        wanted: (row, piece) of each: of a volume the number of a slice, the middle one by default; of a recording the
            second at which the strip begins.
        axis: of RAS+, across which slices lie.
        width: pixels of the longer side; default: `WIDTH`, of a recording `STRIP`.

    Returns:
        One each, in the order wanted. A file that has gone or cannot be read becomes a grey placeholder that says why.
    """
    made: list[Thumbnail | None] = [None] * len(wanted)
    names = ("record_id", "modality", "format", "path", "files", "part", "flags", "report")
    rows = sorted({row for row, _ in wanted})
    few = manifest.select(np.array(rows, dtype=np.int64))
    columns = {name: few.column(name) for name in names if few.has(name)}
    stated = manifest.stated
    for number, (row, kind) in enumerate(zip(rows, few.kinds, strict=True)):
        record = {name: values[number] for name, values in columns.items()} | {"stated": stated}
        places = [place for place, (one, _) in enumerate(wanted) if one == row]
        pieces = [wanted[place][1] for place in places]
        drawing = _Drawing(manifest.root, str(kind), record, tuple(pieces), axis, width)
        # A reader that may end its process does so elsewhere.
        apart = record.get("format") in DECODED_APART
        (drawn,) = run_chunks(_drawn, [drawing], jobs=1, chunk=1, instead=_died, apart=apart)
        for place, one in zip(places, drawn, strict=True):
            made[place] = one
    return [one for one in made if one is not None]


@dataclass(frozen=True)
class _Drawing:
    """What is drawn of one record: its pieces, see `thumbnails`."""

    root: Path
    kind: str
    record: dict[str, Any]
    pieces: tuple[int | None, ...]
    axis: int
    width: int


def _died(drawing: _Drawing) -> list[Thumbnail]:
    """What stands for a record whose reading ended the process."""
    why = "damaged file: reading it ends the reader"
    return [placeholder(drawing.kind, why, drawing.width or WIDTH)] * len(drawing.pieces)


def _drawn(drawings: Sequence[_Drawing]) -> list[Thumbnail]:
    """The pieces of one record."""
    (drawing,) = drawings
    root, kind, record, pieces = drawing.root, drawing.kind, drawing.record, drawing.pieces
    axis, width = drawing.axis, drawing.width
    if kind == "report":
        return [_report(record)] * len(pieces)
    try:
        with quiet():
            if kind == "signal":
                return _strips(root, record, pieces, width or STRIP)
            if kind == "image":
                return [_picture(root, record, width or WIDTH)] * len(pieces)
            return _slices(root, record, pieces, axis, width or WIDTH)
    except Exception as error:
        return [placeholder(kind, reason(error), width or WIDTH)] * len(pieces)


def placeholder(kind: str, why: str, width: int = WIDTH) -> Thumbnail:
    """A grey picture with a cross, and why."""
    from PIL import Image, ImageDraw

    blank = Image.new("L", (width, width * 3 // 4), 200)
    draw = ImageDraw.Draw(blank)
    draw.line([(0, 0), (blank.width, blank.height)], fill=170)
    draw.line([(0, blank.height), (blank.width, 0)], fill=170)
    draw.text((blank.width // 2, blank.height // 2), "not readable", fill=60, anchor="mm")
    return Thumbnail(kind, encoded(blank), missing=why)


def _report(record: dict[str, Any]) -> Thumbnail:
    text = " ".join(str(record.get("report") or "").split())
    if not text:
        return Thumbnail("report", missing="the manifest holds no text of this report")
    short = text if len(text) <= LETTERS else text[: LETTERS - 1].rstrip() + "\N{HORIZONTAL ELLIPSIS}"
    return Thumbnail("report", text=short)


def _slices(root: Path, record: dict[str, Any], pieces: Sequence[int | None], axis: int, width: int) -> list[Thumbnail]:
    from medcl.modality.volume.original import read_original
    from medcl.modality.volume.picture import slice_picture, window_of

    path, files = str(record["path"]), record.get("files") or (Path(str(record["path"])).name,)
    part = max(0, int(record.get("part", 0)))
    where = root, path, tuple(files), part, str(record["format"]), str(record["modality"])
    volume, _ = read_original(*where, nan="minimum")
    window = window_of(volume, str(record["modality"]))
    made = []
    for piece in pieces:
        try:
            grey, spacing = slice_picture(volume, piece, axis, window)
        except IndexError as error:
            made.append(placeholder("volume", str(error), width))
        else:
            made.append(Thumbnail("volume", _small(grey, width, spacing)))
    return made


def _picture(root: Path, record: dict[str, Any], width: int) -> Thumbnail:
    from medcl.modality.formats import read_image

    image = read_image(root / str(record["path"]), str(record["format"]), max(0, int(record["part"])), at_least=width)
    low, high = image.window if image.window[1] > image.window[0] else (0.0, 1.0)
    # As many pixels as are shown, before numbers of 16 bits are scaled.
    step = max(1, max(image.data.shape[1:]) // (4 * width))
    shown = image.data[:, ::step, ::step].astype(np.float32)
    scaled = np.clip((np.nan_to_num(shown, nan=low) - low) * (255 / (high - low)), 0, 255).astype(np.uint8)
    return Thumbnail("image", _small(scaled[0] if len(scaled) == 1 else scaled.transpose(1, 2, 0), width))


def _strips(root: Path, record: dict[str, Any], pieces: Sequence[int | None], width: int) -> list[Thumbnail]:
    from medcl.modality.formats import read_signal
    from medcl.modality.signal import ecg_paper as ecg
    from medcl.modality.signal import montage as eeg

    signal = read_signal(root / str(record["path"]), str(record["format"]), record["stated"])
    draw = eeg.strip if record["modality"] == "eeg" else ecg.strip
    return [Thumbnail("signal", draw(signal, float(piece or 0), width)) for piece in pieces]


def _small(picture: NDArray[np.uint8], longest: int, spacing: tuple[float, float] = (1.0, 1.0)) -> bytes:
    """A picture of few greys: half the bytes, and no difference to the eye at this size."""
    step = 256 // _LEVELS
    return png(picture // step * step, longest, spacing)
