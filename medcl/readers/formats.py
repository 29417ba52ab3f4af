"""Which format a file is in, by its content, and the reader of that format."""

import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from medcl.errors import UnreadableError
from medcl.readers.signal import Signal, SignalHeader
from medcl.readers.unread import UNREAD, unread

if TYPE_CHECKING:
    from medcl.readers.image import ImageHeader
    from medcl.readers.volume import Nan, Volume, VolumeHeader

SUFFIXES = {
    ".hea": "wfdb",
    ".edf": "edf",
    ".bdf": "bdf",
    ".gdf": "gdf",
    ".fif": "fif",
    ".vhdr": "brainvision",
    ".set": "eeglab",
    ".nii": "nifti",
    ".nii.gz": "nifti",
    ".mgh": "mgh",
    ".mgz": "mgh",
    ".dcm": "dicom",
    ".nrrd": "nrrd",
    ".nhdr": "nrrd",
    ".mha": "metaimage",
    ".mhd": "metaimage",
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".png": "png",
}
"""Suffix -> the format that a file of this name claims to be in."""
VOLUMES = ("nifti", "dicom", "nrrd", "metaimage", "mgh")
"""The formats of volumes. A DICOM volume is many files, which have a way of their own."""
PICTURES = ("jpeg", "png")
"""The formats of pictures, beside those that are DICOM; what is neither of a volume nor of a picture is of a signal."""
_HEAD = 1024  # bytes that tell the format, packed or not
_FIF_START = bytes.fromhex("000000640000001f00000014")  # tag of a file id, its type and its 20 bytes
_NIFTI = (b"n+1", b"ni1", b"n+2", b"ni2")
_METAIMAGE = re.compile(rb"(Comment|ObjectType|NDims) *=")
_FIRST_GROUPS = (b"\x02\x00", b"\x08\x00", b"\x00\x02", b"\x00\x08")  # of a DICOM file without a preamble
_WFDB_RECORD = re.compile(rb"[ \t]*[-\w]+(/\d+)?[ \t]+\d+([ \t]|$)")


def suffix_of(path: PurePath | str) -> str:
    """The suffix that tells what a file claims to be, in lower case: `.nii.gz` is one; empty without any."""
    parts = [part.lower() for part in PurePath(path).suffixes[-2:]]
    return "".join(parts) if "".join(parts) in SUFFIXES else (parts[-1] if parts else "")


def without_suffix(path: str) -> str:
    """A path without the suffix that `suffix_of` tells."""
    return path[: len(path) - len(suffix_of(path))]


def identify(path: Path) -> str | None:
    """Tell the format of a file by its first bytes.

    WFDB and EEGLAB files also need their suffix: WFDB programs find a record only as `NAME.hea`, and an EEGLAB file is
    a MATLAB file like any other until it is read whole. ANALYZE, whose header
    has no mark of its own, needs its .hdr, as MGH, which only begins with a number, does .mgh or .mgz. A pair of .hdr
    and .img is known by its .hdr.

    Args:
        path: of a file.

    Returns:
        One of the values of `SUFFIXES`, or of `unread.UNREAD`, which the readers refuse with what to do; None is no
        recording, volume or picture.

    Raises:
        OSError: it cannot be opened.
    """
    with path.open("rb", buffering=0) as file:
        head = file.read(_HEAD)
    if head[128:132] == b"DICM":
        return "dicom"
    suffix = suffix_of(path)
    unpacked = _unpacked(head)
    if _is_nifti(unpacked) or (_is_analyze(unpacked) and suffix_of(path.name.removesuffix(".gz")) == ".hdr"):
        return "nifti"
    if SUFFIXES.get(suffix) == "mgh" and unpacked.startswith(b"\0\0\0\1"):
        return "mgh"
    if head.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if head.startswith(b"NRRD000"):
        return "nrrd"
    if _METAIMAGE.match(head) and b"NDims" in head:
        return "metaimage"
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
    if suffix == ".hea" and _starts_a_record(head):
        return "wfdb"
    if suffix == ".set" and head.startswith((b"MATLAB 5.0 MAT-file", b"MATLAB 7.3 MAT-file")):
        return "eeglab"
    if head[:2] in _FIRST_GROUPS:
        # The library that knows for certain takes its time to load: only where the first bytes allow it.
        from medcl.readers.dicom_file import is_dicom

        if is_dicom(path):
            return "dicom"
    return unread(unpacked, suffix)


def read_header(path: Path, format: str) -> "SignalHeader | VolumeHeader | ImageHeader":
    """Read what a recording, a volume or a picture says of itself.

    Args:
        path: of its header: x.hea, x.vhdr, x.edf, x.nii.gz.
        format: as `identify` tells it, not `dicom`: its volumes and pictures are read series by series.

    Returns:
        The header; the files that it names are there and as long as it says, where that can be told.

    Raises:
        UnreadableError: with what is wrong.
    """
    if format in UNREAD:
        raise UnreadableError(UNREAD[format])
    if format in PICTURES:
        import medcl.readers.image as image

        return image.read_header(path, format)
    return _volume_reader(format)[0](path) if format in VOLUMES else _reader(format)[0](path)


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


def read_volume(path: Path, format: str, unit: str = "stored", nan: "Nan" = "refuse") -> "Volume":
    """Read a volume that is one file.

    Args:
        path: of it.
        format: as `identify` tells it, not `dicom`.
        unit: of its numbers, which these formats do not state: `HU` for CT.
        nan: what becomes of voxels that are not a number.

    Returns:
        The whole volume.

    Raises:
        UnreadableError: with what is wrong.
    """
    return _volume_reader(format)[1](path, unit, nan)


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


def _volume_reader(format: str) -> "tuple[Callable[[Path], VolumeHeader], Callable[[Path, str, Nan], Volume]]":
    if format == "nifti":
        import medcl.readers.nifti as nifti

        return nifti.read_header, nifti.read_volume
    if format == "nrrd":
        import medcl.readers.nrrd as nrrd

        return nrrd.read_header, nrrd.read_volume
    if format == "metaimage":
        import medcl.readers.metaimage as metaimage

        return metaimage.read_header, metaimage.read_volume
    if format == "mgh":
        import medcl.readers.mgh as mgh

        return mgh.read_header, mgh.read_volume
    raise UnreadableError(f"format {format!r}: a volume in one file is nifti, nrrd, metaimage or mgh")


def _unpacked(head: bytes) -> bytes:
    """The first bytes of a file, of one that is packed with gzip those that are packed."""
    if head[:2] == b"\x1f\x8b":
        try:
            return zlib.decompressobj(wbits=31).decompress(head, _HEAD)
        except zlib.error:
            return b""
    return head


def _lengths(head: bytes) -> set[int]:
    return {struct.unpack(f"{order}i", head[:4])[0] for order in "<>"} if len(head) >= 4 else set()


def _is_nifti(head: bytes) -> bool:
    """Whether a file begins with the header of NIfTI-1 or NIfTI-2."""
    lengths = _lengths(head)
    return (348 in lengths and head[344:347] in _NIFTI) or (540 in lengths and head[4:7] in _NIFTI)


def _is_analyze(head: bytes) -> bool:
    """Whether a file begins as a header of ANALYZE 7.5 does: its length, and one to seven axes."""
    if len(head) < 348 or 348 not in _lengths(head):
        return False
    return any(1 <= struct.unpack(f"{order}h", head[40:42])[0] <= 7 for order in "<>")


def _starts_a_record(head: bytes) -> bool:
    """Whether the first line that is no comment begins like `NAME 12` or `NAME/3 12`."""
    lines = [line for line in head.splitlines() if line.strip() and not line.lstrip().startswith(b"#")]
    # A header may open with a comment longer than what was read: then the reader has to say.
    return bool(_WFDB_RECORD.match(lines[0])) if lines else b"#" in head
