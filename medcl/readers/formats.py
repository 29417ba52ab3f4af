"""Which format a file is in, by its content, and the reader of that format."""

import re
from collections.abc import Callable
from pathlib import Path

from medcl.errors import UnreadableError
from medcl.readers.signal import Signal, SignalHeader

SUFFIXES = {
    ".hea": "wfdb",
    ".edf": "edf",
    ".bdf": "bdf",
    ".gdf": "gdf",
    ".fif": "fif",
    ".vhdr": "brainvision",
    ".set": "eeglab",
}
"""Suffix -> the format that a file of this name claims to be in."""
_HEAD = 512  # bytes that tell the format
_FIF_START = bytes.fromhex("000000640000001f00000014")  # tag of a file id, its type and its 20 bytes
_WFDB_RECORD = re.compile(rb"[ \t]*[-\w]+(/\d+)?[ \t]+\d+([ \t]|$)")


def identify(path: Path) -> str | None:
    """Tell the format of a file by its first bytes.

    WFDB and EEGLAB files also need their suffix: WFDB programs find a record only as `NAME.hea`, and an EEGLAB file is
    a MATLAB file like any other until it is read whole.

    Args:
        path: of a file.

    Returns:
        One of the values of `SUFFIXES`, or None: this is no recording that medcl reads.

    Raises:
        OSError: it cannot be opened.
    """
    with path.open("rb", buffering=0) as file:
        head = file.read(_HEAD)
    if head.startswith(b"0       ") and head[184:192].strip().isdigit():
        return "edf"
    if head.startswith(b"\xffBIOSEMI"):
        return "bdf"
    if head.startswith(b"GDF ") and head[4:8].strip().replace(b".", b"").isdigit():
        return "gdf"
    if head.startswith(_FIF_START):
        return "fif"
    if re.match(rb"(\xef\xbb\xbf)?Brain ?Vision Data Exchange Header", head, re.IGNORECASE):
        return "brainvision"
    suffix = path.suffix.lower()
    if suffix == ".hea" and _starts_a_record(head):
        return "wfdb"
    if suffix == ".set" and head.startswith((b"MATLAB 5.0 MAT-file", b"MATLAB 7.3 MAT-file")):
        return "eeglab"
    return None


def read_header(path: Path, format: str) -> SignalHeader:
    """Read what a recording says of itself.

    Args:
        path: of its header: x.hea, x.vhdr, x.edf.
        format: as `identify` tells it.

    Returns:
        The header; the files that it names are there and as long as it says, where that can be told.

    Raises:
        UnreadableError: with what is wrong.
    """
    return _reader(format)[0](path)


def read_signal(path: Path, format: str) -> Signal:
    """Read a recording.

    Args:
        path: of its header.
        format: as `identify` tells it.

    Returns:
        The whole signal.

    Raises:
        UnreadableError: with what is wrong.
    """
    return _reader(format)[1](path)


def _reader(format: str) -> tuple[Callable[[Path], SignalHeader], Callable[[Path], Signal]]:
    # Each reader imports a library that takes a second to load: only the one that is needed.
    if format == "wfdb":
        import medcl.readers.wfdb as wfdb

        return wfdb.read_header, wfdb.read_signal
    if format in ("edf", "bdf"):
        import medcl.readers.edf as edf

        return edf.read_header, edf.read_signal
    if format in SUFFIXES.values():
        import medcl.readers.eeg as eeg

        return lambda path: eeg.read_header(path, format), lambda path: eeg.read_signal(path, format)
    raise UnreadableError(f"format {format!r} is none of {', '.join(SUFFIXES.values())}")


def _starts_a_record(head: bytes) -> bool:
    """Whether the first line that is no comment begins like `NAME 12` or `NAME/3 12`."""
    lines = [line for line in head.splitlines() if line.strip() and not line.lstrip().startswith(b"#")]
    # A header may open with a comment longer than what was read: then the reader has to say.
    return bool(_WFDB_RECORD.match(lines[0])) if lines else b"#" in head
