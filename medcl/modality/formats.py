"""Which format a file is in, by its content, and the reader of that format."""

import importlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Literal

from medcl.errors import UnreadableError
from medcl.modality import content
from medcl.modality.content import Begins, named, pattern, starts, xml
from medcl.modality.signal.record import Signal, SignalHeader
from medcl.modality.signal.stated import Stated

if TYPE_CHECKING:
    from medcl.modality.image.record import ImageHeader
    from medcl.modality.volume.record import Nan, Volume, VolumeHeader


@dataclass(frozen=True)
class Format:
    """A format that medcl knows.

    Args:
        name: as the manifest has it.
        kind: of what it holds. `unread` is known by its content and not read: its reader says what to do.
        begins: tells it by its first bytes.
        reader: module of `medcl.modality` with `read_header` and `read_signal`, `read_volume` or `read_image`.
        suffixes: a file of such a name that is in no known format is reported.
        fragile: its reader rests on a foreign binary one that may end the whole process on a damaged file. That of mne
            (FIF) is Python and NumPy throughout.
        packed: the same holds of what unpacks its numbers, which its header is read without.
        takes: keyword arguments of its readers beside the path: `format`, `stated`, and of `read_header` also `verify`.
    """

    name: str
    kind: Literal["signal", "volume", "picture", "dicom", "unread"]
    begins: Begins
    reader: str
    suffixes: tuple[str, ...] = ()
    fragile: bool = False
    packed: bool = False
    takes: tuple[str, ...] = ()


_UNREAD = {
    "scp-ecg": content.is_scp,
    "ishne": pattern(rb"(ISHNE1\.0|ANN  1\.0)"),
    "nihon-kohden": pattern(rb"(EEG-1100|EEG-2100|EEG-1200|DAE-2100|QI-403A)"),
    "persyst": pattern(rb"\s*\[FileInfo\]"),
    "ctf": pattern(rb"MEG4[12]RS"),
    "micromed": starts(b"* MICROMED"),
    "neuroscan": starts(b"Version 3.0"),
    "xdf": starts(b"XDF:"),
    "bci2000": pattern(rb"(BCI2000V=|HeaderLen=)"),
    "minc": named(".mnc", pattern(rb"\x89HDF\r\n\x1a\n|CDF")),
    "afni": named(".head", pattern(rb".*type = string-attribute")),
    "par-rec": named(".par", pattern(rb".*DATA DESCRIPTION FILE")),
    "ecat": starts(b"MATRIX7"),
    "bmp": pattern(rb"BM....\0\0\0\0....[\x0c(l|]\0"),
    "webp": pattern(rb"RIFF....WEBP"),
    "gif": pattern(rb"GIF8[79]a"),
    "jpeg2000": pattern(rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51"),
    "heif": pattern(rb"....ftyp(heic|heix|mif1|avif)"),
}

FORMATS = (
    Format("edf", "signal", content.is_edf, "signal.formats.edf", (".edf",), takes=("stated",)),
    Format("bdf", "signal", starts(b"\xffBIOSEMI"), "signal.formats.edf", (".bdf",), takes=("stated",)),
    Format("dicom-waveform", "signal", content.is_dicom_waveform, "signal.formats.dicom"),
    Format("dicom", "dicom", content.is_dicom, "volume.formats.dicom", (".dcm",), packed=True),
    Format("nifti", "volume", content.is_nifti, "volume.formats.nifti", (".nii", ".nii.gz")),
    Format(
        "jpeg", "picture", starts(b"\xff\xd8\xff"), "image.record", (".jpg", ".jpeg"), packed=True, takes=("format",)
    ),
    Format("png", "picture", starts(b"\x89PNG\r\n\x1a\n"), "image.record", (".png",), packed=True, takes=("format",)),
    Format(
        "tiff",
        "picture",
        pattern(rb"II[*+]\0|MM\0[*+]"),
        "image.record",
        (".tif", ".tiff"),
        packed=True,
        takes=("format",),
    ),
    Format("mgh", "volume", content.is_mgh, "volume.formats.mgh", (".mgh", ".mgz")),
    Format("nrrd", "volume", starts(b"NRRD000"), "volume.formats.text_volume", (".nrrd", ".nhdr"), takes=("format",)),
    Format(
        "metaimage", "volume", content.is_metaimage, "volume.formats.text_volume", (".mha", ".mhd"), takes=("format",)
    ),
    Format("gdf", "signal", pattern(rb"GDF [0-9.]{1,4}"), "signal.formats.gdf", (".gdf",), takes=("stated",)),
    Format("fif", "signal", content.is_fif, "signal.formats.fif", (".fif", ".fif.gz")),
    Format(
        "brainvision",
        "signal",
        pattern(rb"(?i)(\xef\xbb\xbf)?Brain ?Vision( Core| V-Amp)? Data Exchange Header"),
        "signal.formats.brainvision",
        (".vhdr",),
        takes=("stated",),
    ),
    Format("wfdb", "signal", content.is_wfdb, "signal.formats.wfdb", (".hea",), takes=("stated", "verify")),
    Format("eeglab", "signal", content.is_eeglab, "signal.formats.eeglab", (".set",), fragile=True),
    Format("muse", "signal", xml("RestingECG"), "signal.formats.xml_ecg", takes=("format",)),
    Format("philips", "signal", xml("restingecgdata"), "signal.formats.xml_ecg", takes=("format",)),
    Format("aecg", "signal", xml("AnnotatedECG"), "signal.formats.xml_ecg", takes=("format",)),
    *(Format(name, "unread", begins, "unread") for name, begins in _UNREAD.items()),
    Format("mat", "signal", content.is_matlab, "signal.formats.array_signal", fragile=True, takes=("format", "stated")),
    Format("npy", "signal", starts(b"\x93NUMPY"), "signal.formats.array_signal", takes=("format", "stated")),
    Format("table", "signal", content.is_table, "signal.formats.table", takes=("stated",)),
)
"""Every format, in the order in which a file is held against them: adding one is a module and a line here."""

BY_NAME = {format.name: format for format in FORMATS}
SUFFIXES = {suffix: format.name for format in FORMATS for suffix in format.suffixes}
"""Suffix -> the format that a file of this name claims to be in."""
VOLUMES = ("dicom", *(format.name for format in FORMATS if format.kind == "volume"))
"""The formats of volumes. A DICOM volume is many files, which have a way of their own."""
PICTURES = tuple(format.name for format in FORMATS if format.kind == "picture")
"""The formats of pictures, beside those that are DICOM; what is neither of a volume nor of a picture is of a signal."""
FRAGILE = frozenset(format.name for format in FORMATS if format.fragile)
"""The formats whose files are read by binary code that may end the process: they are read in one of their own."""
DECODED_APART = FRAGILE | {format.name for format in FORMATS if format.packed} | {"dicom-image"}
"""The formats whose numbers are decoded in a process of their own, also where only one process is asked for."""


def suffix_of(path: PurePath | str) -> str:
    """The suffix that tells what a file claims to be, in lower case: `.nii.gz` is one; empty without any."""
    parts = [part.lower() for part in PurePath(path).suffixes[-2:]]
    return "".join(parts) if "".join(parts) in SUFFIXES else (parts[-1] if parts else "")


def without_suffix(path: str) -> str:
    """A path without the suffix that `suffix_of` tells."""
    return path[: len(path) - len(suffix_of(path))]


def identify(path: Path, stated: Stated | None = None) -> str | None:
    """Tell the format of a file by its first bytes.

    WFDB and EEGLAB files also need their suffix: WFDB programs find a record only as `NAME.hea`, and an EEGLAB file is
    a MATLAB file like any other until it is read whole. ANALYZE, whose header has no mark of its own, needs its .hdr,
    as MGH, which only begins with a number, does .mgh or .mgz. A pair of .hdr and .img is known by its .hdr. A table is
    a signal where it has a time column, or where the user states a sampling rate.

    Args:
        path: of a file.
        stated: of signals, by the user.

    Returns:
        The name of a format, or None: this is no recording, volume or picture that medcl knows.

    Raises:
        OSError: it cannot be opened.
    """
    with path.open("rb", buffering=0) as file:
        head = file.read(content.HEAD)
    for format in FORMATS:
        if format.begins(head, path):
            if format.name == "table" and not _module(format.name).is_signal(path, stated or Stated()):
                return None
            return format.name
    return None


def read_header(
    path: Path, format: str, stated: Stated | None = None, *, verify: bool = False
) -> "SignalHeader | VolumeHeader | ImageHeader":
    """Read what a recording, a volume or a picture says of itself.

    Args:
        path: of its header: x.hea, x.vhdr, x.edf, x.nii.gz.
        format: as `identify` tells it, not `dicom`: its volumes and pictures are read series by series.
        stated: what the user states of signals whose files leave it open.
        verify: hold all samples against the checksums of the format, where it has some (WFDB), not only those of small
            files.

    Returns:
        The header; the files that it names are there and as long as it says, where that can be told.

    Raises:
        UnreadableError: with what is wrong.
    """
    reader = _module(format, "signal", "volume", "picture", "unread")
    header: SignalHeader | VolumeHeader | ImageHeader = reader.read_header(path, **_options(format, stated, verify))
    return header


def read_signal(path: Path, format: str, stated: Stated | None = None) -> Signal:
    """Read a recording.

    Args:
        path: of its header.
        format: as `identify` tells it.
        stated: as it was given to `read_header`.

    Returns:
        The whole signal.

    Raises:
        UnreadableError: with what is wrong.
    """
    reader = _module(format, "signal", "unread")
    signal: Signal = reader.read_signal(path, **_options(format, stated))
    return signal


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
    volume: Volume = _module(format, "volume").read_volume(path, unit, nan, **_options(format, None))
    return volume


def _options(format: str, stated: Stated | None, verify: bool | None = None) -> dict[str, Any]:
    """The arguments that the reader of a format takes."""
    every = {"format": format, "stated": stated or Stated(), "verify": verify}
    return {name: every[name] for name in BY_NAME[format].takes if every[name] is not None}


def _module(format: str, *kinds: str) -> Any:
    """The reader of a format: each imports a library that takes a second to load, so only the one that is needed."""
    if format not in BY_NAME or (kinds and BY_NAME[format].kind not in kinds):
        known: Iterable[str] = (name for name, each in BY_NAME.items() if not kinds or each.kind in kinds)
        raise UnreadableError(f"format {format!r} is none of {', '.join(known)}")
    return importlib.import_module(f"medcl.modality.{BY_NAME[format].reader}")
