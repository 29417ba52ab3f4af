"""File formats: what one is, how the first bytes of a file tell it, and what readers and a scan say of records."""

import os
import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from medcl.errors import UnreadableError

if TYPE_CHECKING:
    import pyarrow as pa


Begins = Callable[[bytes, Path], bool]
"""The first bytes of a file and its path -> whether it is in a format."""


@dataclass(frozen=True)
class Format:
    """A file format of a wing.

    Args:
        name: as the manifest has it.
        begins: recognises it by its first bytes. None: the files of a DICOM series are in it, which only the series
            tells.
        reader: module of the wing's `formats` with `read_header` and `read_signal`, `read_volume` or `read_image`;
            empty where files are not read one by one. Of a format of another package `package.module`.
        suffixes: a file of such a name that is in no known format is reported.
        fragile: its reader rests on a foreign binary one that may end the whole process on a damaged file. That of mne
            (FIF) is Python and NumPy throughout.
        packed: the same holds of what unpacks its numbers, which its header is read without.
        takes: keyword arguments of its readers beside the path, of those that `modality.formats` passes on.
        vague: other formats begin alike, or nothing in particular: it is tested after those of all wings that are not.
        confirmed: files of other content begin alike: `is_recording` of its reader decides.
        several: a file holds several records: `read_headers` of its reader returns the header of each.
        series: module of the wing's `formats` with `records`, which makes records of a stack of DICOM slices.
        events: module of the wing's `formats` with `read_events`; empty where events of the format are not read.
        pieces: of recordings: its reader has `pieces`, which opens one to be read a piece at a time.
        unread: of a format that is recognised and not read: what to do with such a file.
    """

    name: str
    begins: Begins | None
    reader: str = ""
    suffixes: tuple[str, ...] = ()
    fragile: bool = False
    packed: bool = False
    takes: tuple[str, ...] = ()
    vague: bool = False
    confirmed: bool = False
    several: bool = False
    series: str = ""
    events: str = ""
    pieces: bool = False
    unread: str = ""


class RecordHeader(Protocol):
    """What a file says of itself; each wing's has more."""

    @property
    def ids(self) -> dict[str, str]:
        """Clear ids by level: `patient`, `study`, `series`. Never a name or a birth date by themselves."""

    @property
    def files(self) -> tuple[str, ...]:
        """Every file of the record, relative to the folder of the first; none where it is one file."""

    @property
    def flags(self) -> tuple[str, ...]:
        """What is unusual, in words."""


class WingScan(Protocol):
    """What a scan asks of a wing: the module `record` in the wing's folder, which is quick to import."""

    MODALITIES: tuple[str, ...]
    """What the manifest may call the modality of the wing's records."""
    DAMAGED: tuple[str, ...]
    """How the flags begin of records that are usable and not what was recorded: a strict scan refuses them."""
    OWN_STUDY: bool
    """Whether a record of which no study is known is a study of its own; else it has none."""

    def columns(self, header: Any) -> dict[str, Any]:
        """The columns of the manifest that a header fills. Its clear ids are not used."""

    def summary(self, records: "pa.Table") -> str | None:
        """Lines of text on records of this wing: rows of the manifest, usable ones and others.

        The most frequent comes first; None where there is nothing to say.
        """


class IncompleteError(UnreadableError):
    """A record that is known by its header but cannot be read.

    Args:
        message: why.
        files: of the record, relative to the folder of the header, the header first.
    """

    def __init__(self, message: str, files: tuple[str, ...]) -> None:
        super().__init__(message)
        self.files = files


HEAD = 1024
"""Bytes that tell the format, packed or not."""
_NIFTI = (b"n+1", b"ni1", b"n+2", b"ni2")
_FIF_START = bytes.fromhex("000000640000001f00000014")  # tag of a file id, its type and its 20 bytes
_FIRST_GROUPS = (b"\x02\x00", b"\x08\x00", b"\x00\x02", b"\x00\x08")  # of a DICOM file without a preamble
# MediaStorageSOPClassUID of the file meta information, or SOPClassUID where there is none: 9.1.1 to 9.6.1 are signals.
_WAVEFORM = re.compile(
    rb"(\x02\x00\x02\x00UI..|\x08\x00\x16\x00(UI..|.\x00\x00\x00))1\.2\.840\.10008\.5\.1\.4\.1\.1\.9\.", re.DOTALL
)
_WFDB_RECORD = re.compile(rb"[ \t]*[^\s/#]+(/\d+)?[ \t]+\d+([ \t]|$)")
_METAIMAGE = re.compile(rb"(Comment|ObjectType|NDims) *=")
_TAG = re.compile(rb"<(?:[\w.-]+:)?([\w.-]+)")


def pattern(text: bytes) -> Begins:
    """A format whose files begin with a regular expression."""
    compiled = re.compile(text, re.DOTALL)
    return lambda head, path: compiled.match(head) is not None


def starts(letters: bytes) -> Begins:
    """A format whose files begin with these bytes."""
    return lambda head, path: head.startswith(letters)


def named(suffix: str, begins: Begins) -> Begins:
    """A format whose files also need their suffix."""
    return lambda head, path: _ends(path, suffix) and begins(head, path)


def xml(root: str) -> Begins:
    """A format whose files are XML with a root element of this name."""
    return lambda head, path: head[:1] in b"<\xef\xff\xfe\n\r\t " and root_element(head) == root


def root_element(head: bytes) -> str:
    """The name of the first element of an XML file, without its namespace; empty if the bytes hold none."""
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        head = head[2:].replace(b"\0", b"")
    place = 3 if head.startswith(b"\xef\xbb\xbf") else 0
    while True:
        place += len(head[place:]) - len(head[place:].lstrip())
        ends = {b"<?": b"?>", b"<!--": b"-->", b"<!": b">"}
        end = next((end for start, end in ends.items() if head.startswith(start, place)), None)
        if end is None:
            found = _TAG.match(head, place)
            return found[1].decode("ascii", "replace") if found else ""
        # The declarations within a DOCTYPE have ends of their own.
        inside = head.find(b"[", place, max(place, head.find(b">", place))) if end == b">" else -1
        stop = head.find(end, place if inside < 0 else head.find(b"]", inside))
        if stop < 0 or (inside >= 0 and b"]" not in head[inside:]):
            return ""
        place = stop + len(end)


def is_dicom_waveform(head: bytes, path: Path) -> bool:
    """A DICOM object of signals, by the class that it states first."""
    return (head[128:132] == b"DICM" or head[:2] in _FIRST_GROUPS) and _WAVEFORM.search(head, 0, 512) is not None


def is_dicom(head: bytes, path: Path) -> bool:
    """Any other DICOM object."""
    if head[128:132] == b"DICM":
        return True
    if head[:2] not in _FIRST_GROUPS:
        return False
    # The library that knows for certain takes its time to load: only where the first bytes allow it.
    from medcl.modality.dicom import file as dicom_file

    return dicom_file.is_dicom(path)


def is_nifti(head: bytes, path: Path) -> bool:
    """The header of NIfTI-1 or NIfTI-2, packed with gzip or not, or of ANALYZE 7.5, which has no mark but its name."""
    head = unpacked(head)
    lengths = {struct.unpack(f"{order}i", head[:4])[0] for order in "<>"} if len(head) >= 4 else set()
    if (348 in lengths and head[344:347] in _NIFTI) or (540 in lengths and head[4:7] in _NIFTI):
        return True
    # Its length, and one to seven axes.
    analyze = 348 in lengths and any(
        1 <= struct.unpack(f"{order}h", head[40:42].ljust(2, b"\0"))[0] <= 7 for order in "<>"
    )
    return analyze and len(head) >= 348 and path.name.lower().removesuffix(".gz").endswith(".hdr")


def is_mgh(head: bytes, path: Path) -> bool:
    """A FreeSurfer volume, packed or not: it only begins with a number, so that it needs its suffix."""
    return _ends(path, ".mgh", ".mgz") and unpacked(head).startswith(b"\0\0\0\1")


def is_fif(head: bytes, path: Path) -> bool:
    """The first tag of a FIF file, packed with gzip or not."""
    return unpacked(head).startswith(_FIF_START)


@lru_cache(maxsize=1)
def unpacked(head: bytes) -> bytes:
    """The first bytes of what a file holds, if it is packed with gzip; else those given."""
    if head[:2] != b"\x1f\x8b":
        return head
    try:
        return zlib.decompressobj(wbits=31).decompress(head, HEAD)
    except zlib.error:
        return b""


def is_metaimage(head: bytes, path: Path) -> bool:
    """The first key of a MetaImage header, and the one that none lacks."""
    return _METAIMAGE.match(head) is not None and b"NDims" in head


def is_edf(head: bytes, path: Path) -> bool:
    """The version of EDF, and the length of its header as a number."""
    return head.startswith(b"0       ") and head[184:192].strip().isdigit()


def is_wfdb(head: bytes, path: Path) -> bool:
    """A file named .hea whose first line that is no comment begins like `NAME 12` or `NAME/3 12`.

    WFDB programs find a record only under this name.
    """
    if not _ends(path, ".hea"):
        return False
    lines = [line for line in head.splitlines() if line.strip() and not line.lstrip().startswith(b"#")]
    # A header may open with a comment longer than what was read: then the reader has to say.
    return bool(_WFDB_RECORD.match(lines[0])) if lines else b"#" in head


def is_matlab(head: bytes, path: Path) -> bool:
    """A MATLAB file of version 5 or 7.3."""
    return head.startswith((b"MATLAB 5.0 MAT-file", b"MATLAB 7.3 MAT-file"))


def is_eeglab(head: bytes, path: Path) -> bool:
    """A MATLAB file named .set: what is in it is known only when it is read."""
    return is_matlab(head, path) and _ends(path, ".set")


def is_scp(head: bytes, path: Path) -> bool:
    """SCP-ECG: its pointer section (number 0) begins behind six bytes, and most writers name the format in it."""
    return head[16:22] == b"SCPECG"


def is_table(head: bytes, path: Path) -> bool:
    """What may be a table: Parquet, or text in lines, named so; whether it is one of samples, its reader tells."""
    named = _ends(path, ".csv", ".tsv", ".parquet", ".pq")
    return named and (head.startswith(b"PAR1") or (b"\n" in head and b"\0" not in head))


def _ends(path: Path, *suffixes: str) -> bool:
    # Of every file that a scan finds: Path.suffix takes ten times as long.
    return os.fspath(path)[-8:].lower().endswith(suffixes)
