"""What a DICOM header says: its elements, the terms of the standard, and the pixels that it claims.

Elements are looked up in several data sets: a frame's own, the shared ones, the object's. Claims are numbers that are
held against one another before anything is read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import pydicom
from pydicom.datadict import tag_for_keyword

from medcl.errors import UnreadableError
from medcl.modality.unpack import check_size

# Where manufacturers keep the b-value: the tag, and the element that names the owner of its block.
_PRIVATE_B_VALUES = {
    0x0019100C: (0x00190010, "SIEMENS MR HEADER"),
    0x00431039: (0x00430010, "GEMS_PARM_01"),
    0x20011003: (0x20010010, "Philips Imaging DD 001"),
}
PRIVATE_TAGS = {tag: owner for tag, (_, owner) in _PRIVATE_B_VALUES.items()}
"""Private elements that are read, and the manufacturers' blocks that they belong to."""
_GE_OFFSET = 100_000  # GE adds multiples of it to the b-value


def tags_of(keywords: Sequence[str]) -> list[int]:
    """The tags of keywords, and those of the private elements that `b_value` looks at."""
    tags = [tag for tag in map(tag_for_keyword, keywords) if tag is not None]
    return tags + [tag for pair in _PRIVATE_B_VALUES.items() for tag in (pair[0], pair[1][0])]


def first(sources: Sequence[pydicom.Dataset], *keywords: str) -> Any:
    """The value of the first keyword that one of the data sets states, the nearest first; None where none does.

    Raises:
        UnreadableError: it is not written as its kind of values is.
    """
    for keyword in keywords:
        for source in sources:
            try:
                value = source.get(keyword)
            except Exception:
                # pydicom reads a value when it is asked for; its error would quote it.
                raise _badly_written(keyword) from None
            if value is not None and value != "":
                return value
    return None


def every(value: Any) -> list[Any]:
    """A value of one or more as a list."""
    return [] if value is None else [value] if isinstance(value, (str, bytes, int, float)) else list(value)


def text(sources: Sequence[pydicom.Dataset], keyword: str) -> str:
    """A value as text, empty where it is not stated."""
    value = first(sources, keyword)
    return "" if value is None else str(value).strip()


def numbers(sources: Sequence[pydicom.Dataset], keyword: str, count: int) -> tuple[float, ...] | None:
    """Exactly `count` numbers, or None where they are not stated.

    Raises:
        UnreadableError: another count of them, or one that is not finite.
    """
    values = tuple(_float(value, keyword) for value in every(first(sources, keyword)))
    if values and (len(values) != count or not all(map(isfinite, values))):
        raise UnreadableError(f"damaged header: {keyword} is not {count} numbers")
    return values or None


def number(sources: Sequence[pydicom.Dataset], *keywords: str) -> float | None:
    """The first of the values as a number.

    Raises:
        UnreadableError: it is none.
    """
    values = every(first(sources, *keywords))
    value = _float(values[0], keywords[0]) if values else None
    return value if value is not None and isfinite(value) else None


def whole(sources: Sequence[pydicom.Dataset], *keywords: str) -> int | None:
    """The first of the values as a whole number."""
    value = number(sources, *keywords)
    return None if value is None else int(value)


def frame_sources(header: Any, part: int) -> list[Any]:
    """Where the values of one frame stand, the nearest first: its own groups, those of all frames, the header."""
    shared = [item for group in header.get("SharedFunctionalGroupsSequence") or [] for item in _items(group)]
    frames = header.get("PerFrameFunctionalGroupsSequence") or []
    return [*(_items(frames[part]) if part < len(frames) else []), *shared, header]


def _items(group: pydicom.Dataset) -> list[pydicom.Dataset]:
    """The data sets of a functional group: each element of it is a sequence of one."""
    return [element.value[0] for element in group if element.VR == "SQ" and element.value]


def _float(value: Any, keyword: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise _badly_written(keyword) from None


def _badly_written(keyword: str) -> UnreadableError:
    return UnreadableError(f"damaged header: {keyword} is not written as DICOM has it; a number has a decimal point")


def b_value(sources: Sequence[pydicom.Dataset]) -> float | None:
    """Of the standard's element, else of the manufacturer's, s/mm2."""
    stated = number(sources, "DiffusionBValue")
    header = sources[-1]
    for tag, (block, owner) in _PRIVATE_B_VALUES.items():
        if stated is None and tag in header and block in header and str(header[block].value).strip() == owner:
            value = every(header[tag].value)
            # Bytes are those of an element whose kind the file does not state: digits, but for Philips.
            if value and not (isinstance(value[0], bytes) and tag == 0x20011003):
                digits = value[0].split(b"\\")[0] if isinstance(value[0], bytes) else value[0]
                stated = float(digits) % _GE_OFFSET if tag == 0x00431039 else float(digits)
    return stated


_MODALITIES = """
ANN AR ASMT AU BDUS BI BMD CD CF CFM CP CR CS CT CTPROTOCOL DD DF DG DM DMS DOC DS DX EC ECG EEG EMG EOG EPS ES FA FID
FS GM HC HD IO IVOCT IVUS KER KO LEN LP LS M3D MA MG MR MS NM OAM OCT OP OPM OPR OPT OPTBSV OPTENF OPV OSS OT PA PLAN
POS PR PT PX REG RESP RF RG RTDOSE RTIMAGE RTINTENT RTPLAN RTRAD RTRECORD RTSEGANN RTSTRUCT RWV SC SEG SM SMR SR SRF ST
STAIN TEXTUREMAP TG US VA VF VIDD XA XAPROTOCOL XC
"""
MODALITY_TERMS = frozenset(_MODALITIES.split())
"""Defined terms of Modality (0008,0060), part 3, C.7.3.1.1.1, with the retired ones."""
MODALITIES = {"CR": "xray", "DX": "xray", "RG": "xray", "PX": "xray", "IO": "xray", "MG": "mg", "XA": "xa", "RF": "rf"}
MODALITIES |= {"US": "us", "IVUS": "us", "ES": "es", "GM": "gm", "SM": "sm", "XC": "photo", "OP": "op", "OPT": "opt"}
MODALITIES |= {"NM": "nm", "OT": "image", "SC": "image", "CT": "ct", "MR": "mr", "PT": "pt", "": "image"}
"""Modality in DICOM's words -> in the manifest's. Parametric maps, doses and label maps are no images."""
OF_SINGLE_IMAGES = frozenset(MODALITIES) - {"CT", "MR", "PT", ""}
"""Modalities whose images stand alone; an object that states no modality may be a slice."""
PHOTOMETRIC_TERMS = frozenset(
    {"MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB", "HSV", "ARGB", "CMYK", "YBR_FULL", "YBR_FULL_422"}
    | {"YBR_PARTIAL_422", "YBR_PARTIAL_420", "YBR_ICT", "YBR_RCT", "XYB"}
)
"""Defined terms of Photometric Interpretation (0028,0004)."""
RESCALE_TERMS = frozenset(["OD", "HU", "US", "MGML", "Z_EFF", "ED", "EDW", "HU_MOD", "PCT"])
"""Defined terms of Rescale Type (0028,1054)."""
CONTRAST_TERMS = frozenset(
    {"P", "PHASE", "R", "REAL", "I", "IMAGINARY", "W", "WATER", "F", "FAT", "IP", "IN_PHASE", "OP", "OUT_PHASE"}
    | {"OPP_PHASE", "PHASE MAP", "VELOCITY", "ADC", "FA"}
)
"""Values of Image Type that tell contrasts apart which one series may hold side by side: parts of the signal, Dixon."""
IMAGE_TYPE_TERMS = CONTRAST_TERMS | {"ORIGINAL", "DERIVED", "PRIMARY", "SECONDARY", "AXIAL", "LOCALIZER", "MOSAIC"}
"""Values of Image Type (0008,0008) that decide something; a manufacturer may write anything else there."""
_QUOTABLE = MODALITY_TERMS | PHOTOMETRIC_TERMS | RESCALE_TERMS
UNKNOWN = "unknown"


def term(value: str, terms: frozenset[str]) -> str:
    """A value in upper case if it is one of the terms; empty if it is; else `unknown`.

    A length that is damaged makes one element swallow the next, such as the patient's name, and some write a name where
    a term is asked for.
    """
    value = value.strip().upper()
    return value if not value or value in terms else UNKNOWN


def quotable(value: str) -> str:
    """A modality, photometric interpretation or rescale type as an error may show it."""
    return term(value, _QUOTABLE) or UNKNOWN


_MOST_FRAMES = 1 << 20
_MANY_FRAMES, _SMALL = 4096, 256  # each frame is a record of its own, which takes more memory than such an image
_MOST_SAMPLES = 4
_SAMPLES = {"MONOCHROME1": 1, "MONOCHROME2": 1, "PALETTE COLOR": 1, "RGB": 3, "YBR_FULL": 3, "YBR_FULL_422": 3}
_SAMPLES |= {"YBR_ICT": 3, "YBR_RCT": 3}
_KINDS = {"u": "uint", "i": "int", "f": "float"}


@dataclass(frozen=True)
class Claims:
    """The pixels that a header describes.

    Args:
        rows: of a frame.
        columns: of a frame.
        samples: of a pixel: 1, or 3 of colours.
        frames: in the file.
        photometric: interpretation, a term of the standard, `unknown` or empty.
        allocated: bits of a stored number.
        stored: bits of it that are used.
        high: number of the highest of these, from 0.
        kind: `u` unsigned, `i` signed, `f` floating point.
        planar: whether the samples of a frame lie one plane behind the other.
    """

    rows: int
    columns: int
    samples: int
    frames: int
    photometric: str
    allocated: int
    stored: int
    high: int
    kind: str
    planar: bool

    @property
    def dtype(self) -> str:
        """Of the stored numbers, such as `int16`."""
        return f"{_KINDS[self.kind]}{max(self.allocated, 8)}"

    @property
    def bits(self) -> int:
        """Of all pixels, uncompressed."""
        bits = self.rows * self.columns * self.samples * self.allocated * self.frames
        return bits * 2 // 3 if self.photometric == "YBR_FULL_422" else bits

    @property
    def length(self) -> int:
        """Bytes of all pixels, uncompressed."""
        return (self.bits + 7) // 8


def claims_of(header: Any, is_float: bool) -> Claims:
    """The pixels that a header (of pydicom, or a `QuickHeader`) describes.

    `is_float`: whether they are the float or double float pixel data of a parametric map. The numbers agree with one
    another; whether the file holds such pixels is checked elsewhere.

    Raises:
        UnreadableError: one is missing, impossible, or contradicts another.
    """
    rows, columns = _whole(header, "Rows", 1, 65535), _whole(header, "Columns", 1, 65535)
    check_size(rows, columns)
    samples = _whole(header, "SamplesPerPixel", 1, _MOST_SAMPLES, 1)
    if samples not in (1, 3):
        raise UnreadableError(f"an image of {samples} samples a pixel: images are grey or of three colours")
    frames = _whole(header, "NumberOfFrames", 1, _MOST_FRAMES, 1)
    if frames > _MANY_FRAMES and rows * columns < _SMALL:
        raise UnreadableError(f"damaged header: {frames} frames of {rows} x {columns} pixels, which are no images")
    photometric = term(str(header.get("PhotometricInterpretation") or ""), PHOTOMETRIC_TERMS)
    allocated = _whole(header, "BitsAllocated", 1, 64)
    if allocated not in ((32, 64) if is_float else (1, 8, 16, 32, 64)):
        raise UnreadableError(f"an image of {allocated} bits a pixel and channel")
    if _SAMPLES.get(photometric, samples) != samples:
        raise UnreadableError(f"damaged header: {samples} samples a pixel, their interpretation is {photometric}")
    if is_float:
        return Claims(rows, columns, samples, frames, photometric, allocated, allocated, allocated - 1, "f", False)
    stored = _whole(header, "BitsStored", 1, allocated, allocated)
    high = _whole(header, "HighBit", stored - 1, allocated - 1, stored - 1)
    signed = _whole(header, "PixelRepresentation", 0, 1)
    planar = _whole(header, "PlanarConfiguration", 0, 1, 0)
    if signed and samples == 3:
        raise UnreadableError("damaged header: signed colours")
    return Claims(
        rows, columns, samples, frames, photometric, allocated, stored, high, "ui"[signed], samples > 1 and planar == 1
    )


def _whole(header: Any, keyword: str, least: int, most: int, default: int | None = None) -> int:
    value = header.get(keyword)
    if value is None or value == "":
        if default is None:
            raise UnreadableError(f"damaged header: no {keyword}")
        return default
    try:
        number = int(value)
    except (TypeError, ValueError):
        raise UnreadableError(f"damaged header: {keyword} is not one whole number") from None
    if number == 0 and keyword == "NumberOfFrames":
        return 1  # so do some writers say that it does not apply
    if not least <= number <= most:
        raise UnreadableError(f"damaged header: {keyword} is {number}, it must be within {least} and {most}")
    return number
