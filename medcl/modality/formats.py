"""Which format a file is in, by its content, and the reader of that format."""

import importlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, cast

from medcl.errors import UnreadableError
from medcl.modality import WINGS as EVERY_WING
from medcl.modality import content, room
from medcl.modality.content import Format, RecordHeader, WingScan
from medcl.modality.installed_formats import installed

if TYPE_CHECKING:
    from medcl.modality.image.record import Image
    from medcl.modality.signal.config import Stated
    from medcl.modality.signal.epochs import Events
    from medcl.modality.signal.record import Pieces, Signal
    from medcl.modality.volume.record import Nan, Volume

_WINGS: dict[str, Any] = {wing: room(wing, "formats") for wing in EVERY_WING}
WINGS = tuple(
    sorted((wing for wing, own in _WINGS.items() if own.RANK is not None), key=lambda wing: _WINGS[wing].RANK)
)
"""The wings that a scan finds by the content of files, in the order in which their formats are tested."""
_OF_WINGS: dict[str, tuple[Format, ...]] = installed({wing: _WINGS[wing].FORMATS for wing in WINGS})
FORMATS = tuple(sorted((form for forms in _OF_WINGS.values() for form in forms), key=lambda form: form.vague))
"""Every format, in the order in which a file is tested."""
BY_NAME = {form.name: form for form in FORMATS}
WING = {form.name: wing for wing, forms in _OF_WINGS.items() for form in forms}
"""Format -> the wing that its records belong to."""
SUFFIXES = {suffix: form.name for form in FORMATS for suffix in form.suffixes}
"""Suffix -> the format that a file of this name claims to be in."""
SERIES = tuple(form.name for form in FORMATS if form.series)
"""The formats of records that the files of DICOM series make up, in the order in which a series is tested."""
FRAGILE = frozenset(form.name for form in FORMATS if form.fragile)
"""The formats whose files are read by binary code that may end the process: they are read in one of their own."""
DECODED_APART = FRAGILE | {form.name for form in FORMATS if form.packed}
"""The formats whose numbers are decoded in a process of their own, also where only one process is asked for."""
_TESTS = tuple((form.begins, form) for form in FORMATS if form.begins is not None)


def suffix_of(path: PurePath | str) -> str:
    """The suffix that tells what a file claims to be, in lower case: `.nii.gz` is one; empty without any."""
    parts = [part.lower() for part in PurePath(path).suffixes[-2:]]
    return "".join(parts) if "".join(parts) in SUFFIXES else (parts[-1] if parts else "")


def without_suffix(path: str) -> str:
    """A path without the suffix that `suffix_of` tells."""
    return path[: len(path) - len(suffix_of(path))]


@cache
def scan_of(wing: str) -> WingScan:
    """What a wing offers to a scan, by the name of the wing."""
    return cast(WingScan, room(wing, "record"))


@cache
def wing_of(modality: str | None, format: str | None) -> str:
    """The wing that a record of a manifest belongs to; empty where neither column tells.

    Args:
        modality: of the record. That of an image and that of a volume may be the same: then the format tells.
        format: of the record.
    """
    named = [wing for wing in dict.fromkeys((*WINGS, *_WINGS)) if modality in scan_of(wing).MODALITIES]
    return named[0] if len(named) == 1 else WING.get(format or "", named[0] if named else "")


def series_reader(format: str) -> Any:
    """The module with `records` of a format that is one of `SERIES`."""
    return room(WING[format], f"formats.{BY_NAME[format].series}")


def identify(path: Path, stated: "Stated | None" = None) -> str | None:
    """Recognise the format of a file by its first bytes.

    WFDB and EEGLAB files also need their suffix: WFDB programs find a record only as `NAME.hea`, and an EEGLAB file is
    a MATLAB file like any other until it is read whole. ANALYZE, whose header has no mark of its own, needs its .hdr,
    as MGH, which only begins with a number, does .mgh or .mgz. A pair of .hdr and .img is known by its .hdr. A table is
    a signal where it has a time column, or where the user states a sampling rate.

    Args:
        path: of a file.
        stated: of signals, by the user.

    Returns:
        The name of a format, or None: this is no recording, volume or image that medcl knows.

    Raises:
        OSError: it cannot be opened.
    """
    with path.open("rb", buffering=0) as file:
        head = file.read(content.HEAD)
    for begins, form in _TESTS:
        if begins(head, path):
            if form.confirmed and not _reader(form.name).is_recording(path, stated or _nothing_stated()):
                return None
            return form.name
    return None


def read_header(path: Path, format: str, stated: "Stated | None" = None, *, verify: bool = False) -> RecordHeader:
    """Read what a recording, a volume or an image says of itself.

    Args:
        path: of its header: x.hea, x.vhdr, x.edf, x.nii.gz.
        format: as `identify` returns it, not `dicom`: its volumes and images are read series by series.
        stated: what the user states of signals whose files leave it open.
        verify: compare all samples with the checksums of the format, where it has some (WFDB), not only those of small
            files.

    Returns:
        The header of the wing; the files that it names are there and as long as it says, where that can be told.

    Raises:
        UnreadableError: with what is wrong.
    """
    options = {"stated": stated or _nothing_stated(), "verify": verify, "format": format}
    return cast(RecordHeader, _reader(format).read_header(path, **_taken(format, options)))


def read_headers(
    path: Path, format: str, stated: "Stated | None" = None, *, verify: bool = False
) -> Sequence[RecordHeader]:
    """The headers of all records of a file; arguments and errors as of `read_header`.

    A recording that is cut around its events (`Stated.events`) has one an epoch.
    """
    if not BY_NAME[format].several:
        header = read_header(path, format, stated, verify=verify)
        if stated is None or not stated.events or not hasattr(header, "event"):
            return [header]
        return cast(Sequence[RecordHeader], room(WING[format], "epochs").headers(path, format, header, stated))
    return cast(Sequence[RecordHeader], _reader(format).read_headers(path, format))


def read_signal(path: Path, format: str, stated: "Stated | None" = None) -> "Signal":
    """Read a recording.

    Args:
        path: of its header.
        format: as `identify` returns it.
        stated: as it was given to `read_header`.

    Returns:
        The signal.

    Raises:
        UnreadableError: with what is wrong.
    """
    options = {"stated": stated or _nothing_stated()}
    return cast("Signal", _reader(format, "signal").read_signal(path, **_taken(format, options)))


@contextmanager
def pieces(path: Path, format: str, stated: "Stated | None" = None) -> Iterator["Pieces | None"]:
    """Open a recording to be read a piece at a time; arguments and errors as of `read_signal`.

    Yields:
        The open recording; None where it can only be read as a whole.
    """
    if not BY_NAME[format].pieces:
        yield None
        return
    with _reader(format, "signal").pieces(path, **_taken(format, {"stated": stated or _nothing_stated()})) as opened:
        yield opened


def read_events(path: Path, format: str) -> "Events":
    """The events of a recording; `UnreadableError` where those of its format are not read, or it has none."""
    module = BY_NAME[format].events
    if not module:
        known = (name for name, one in BY_NAME.items() if one.events)
        raise UnreadableError(f"events of this format are not read, only those of {', '.join(known)}")
    return cast("Events", room(WING[format], f"formats.{module}").read_events(path))


def read_volume(path: Path, format: str, unit: str = "stored", nan: "Nan" = "refuse") -> "Volume":
    """Read a volume that is one file.

    Args:
        path: of it.
        format: as `identify` returns it, not `dicom`.
        unit: of its numbers, which these formats do not state: `HU` for CT.
        nan: what becomes of voxels that are not a number.

    Returns:
        The whole volume.

    Raises:
        UnreadableError: with what is wrong.
    """
    return cast("Volume", _reader(format, "volume").read_volume(path, unit, nan))


def read_image(path: Path, format: str, part: int = 0, at_least: int = 0) -> "Image":
    """Decode an image.

    Args:
        path: of the file.
        format: `jpeg`, `png`, `tiff` or `dicom-image`.
        part: number of the frame in the file, from 0.
        at_least: pixels of the shorter side that are needed: a larger JPEG may be decoded at a half, a quarter or an
            eighth of its size, which is quicker. 0 decodes every pixel.

    Returns:
        The image.

    Raises:
        UnreadableError: as `read_header`, or its pixels are damaged.
    """
    reader = _reader(format, "image")
    if part and "part" not in BY_NAME[format].takes:
        raise UnreadableError(f"no frame {part}: a file of this format is read as one image")
    options = {"format": format, "part": part, "at_least": at_least}
    return cast("Image", reader.read_image(path, **_taken(format, options)))


def _taken(format: str, options: dict[str, Any]) -> dict[str, Any]:
    return {name: options[name] for name in BY_NAME[format].takes if name in options}


def _nothing_stated() -> "Stated":
    from medcl.modality.signal.config import Stated

    return Stated()


@cache
def _reader(format: str, wing: str = "") -> Any:
    """The reader of a format: each imports a library that takes a second to load, so only the one that is needed."""
    form = BY_NAME.get(format)
    if form is not None and form.unread:
        raise UnreadableError(form.unread)
    if form is None or not form.reader or wing not in ("", WING[format]):
        known = (name for name, one in BY_NAME.items() if one.reader and wing in ("", WING[name]))
        raise UnreadableError(f"format {format!r} is none of {', '.join(known)}")
    # Those of other packages state the whole name of their module.
    if "." in form.reader:
        return importlib.import_module(form.reader)
    return room(WING[format], f"formats.{form.reader}")
