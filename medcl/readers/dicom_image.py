"""Pictures in DICOM objects: radiographs, mammograms, ultrasound, photographs; each frame is one picture.

Decided here: numbers are rescaled by slope and intercept, or by the table of the modality. MONOCHROME1 (low numbers are
bright) is turned round within the range of its bits, and its window with it. The first window of the header counts; of
a table of the values of interest (VOI LUT) or of a sigmoid only where they begin and end is taken, as a window. Colours
(RGB, YBR, palette) become RGB. Where nothing is stated, the window is the range of the bits.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.pixels import apply_color_lut, apply_modality_lut, get_decoder
from pydicom.uid import UID

from medcl.errors import UnreadableError
from medcl.readers.dicom_elements import first, number, quotable, tags_of, text
from medcl.readers.dicom_file import DECODERS, read_file_header, reading
from medcl.readers.image import Image, ImageHeader, check_size
from medcl.readers.scaling import scaled

MODALITIES = {"CR": "xray", "DX": "xray", "RG": "xray", "PX": "xray", "IO": "xray", "MG": "mg", "XA": "xa", "RF": "rf"}
MODALITIES |= {"US": "us", "IVUS": "us", "ES": "es", "GM": "gm", "SM": "sm", "XC": "photo", "OP": "op", "OPT": "opt"}
MODALITIES |= {"NM": "nm", "OT": "image", "SC": "image", "CT": "ct", "MR": "mr", "PT": "pt", "": "image"}
"""What DICOM calls the kind of a picture -> what the manifest does. Maps, doses and label maps are no pictures."""
PICTURES = frozenset(MODALITIES) - {"CT", "MR", "PT", ""}
"""Modalities whose pictures stand alone; what states none may be a slice."""
_KEYWORDS = [
    *("SOPClassUID", "Modality", "PatientID", "StudyInstanceUID", "SeriesInstanceUID", "BurnedInAnnotation"),
    *("NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation", "Rows", "Columns"),
    *("BitsAllocated", "BitsStored", "PixelRepresentation"),
]
_COLOURS = ("RGB", "YBR", "PALETTE")
_SHARE = 0.01
"""Of a table's range: what it maps below this, or above 1 - this, is shown black or white."""


def read_header(path: Path) -> ImageHeader:
    """Read the header of a DICOM picture.

    Args:
        path: of the file.

    Returns:
        The header; `ids` are clear.

    Raises:
        UnreadableError: as `read_file_header`, or it is no picture that `read_image` reads.
    """
    header = read_file_header(path, tags_of(_KEYWORDS))
    with reading("damaged header"):
        sources: Any = [header]
        photometric, stated = text(sources, "PhotometricInterpretation").upper(), text(sources, "Modality").upper()
        check_picture(stated, photometric, int(header.BitsAllocated), int(header.Rows), int(header.Columns))
        names = {"patient": "PatientID", "study": "StudyInstanceUID", "series": "SeriesInstanceUID"}
        ids = {level: text(sources, keyword) for level, keyword in names.items()}
        signed = {0: "uint", 1: "int"}.get(header.get("PixelRepresentation"), "float")
        return ImageHeader(
            format="dicom-image",
            rows=int(header.Rows),
            columns=int(header.Columns),
            n_channels=3 if photometric.startswith(_COLOURS) else 1,
            dtype=f"{signed}{header.BitsAllocated}",
            frames=int(header.get("NumberOfFrames") or 1),
            modality=MODALITIES[stated],
            ids={level: value for level, value in ids.items() if value},
            flags=("burned-in annotation",) if text(sources, "BurnedInAnnotation").upper() == "YES" else (),
        )


def check_picture(modality: str, photometric: str, bits: int, rows: int, columns: int) -> None:
    """Refuse what is no picture that `read_image` reads.

    Args:
        modality: as DICOM writes it.
        photometric: interpretation.
        bits: of a stored number.
        rows: of pixels.
        columns: of pixels.

    Raises:
        UnreadableError: another kind of object, as a dose or a label map, or another kind of pixels.
    """
    if modality not in MODALITIES:
        raise UnreadableError(f"modality {quotable(modality)}: neither a volume nor a picture")
    if not photometric.startswith(("MONOCHROME", *_COLOURS)):
        raise UnreadableError(f"pixels of {quotable(photometric)}: pictures are grey, RGB, YBR or of a palette")
    if bits not in (8, 16, 32) or (bits == 32 and not photometric.startswith("MONOCHROME")):
        raise UnreadableError(f"a picture of {bits} bits a pixel and channel")
    check_size(rows, columns)


def read_image(path: Path, part: int = 0) -> Image:
    """Decode one frame.

    Args:
        path: of the file.
        part: number of the frame, from 0.

    Returns:
        The picture: of colours uint8; of grey uint8, uint16 or int16, float32 where it is rescaled to fractions.

    Raises:
        UnreadableError: it is no picture, has no such frame, is damaged, or no decoder knows how it is packed.
    """
    with reading("damaged header"):
        dataset = pydicom.dcmread(path, force=True)
        frames = int(dataset.get("NumberOfFrames") or 1)
        if not dataset.get("Rows") or not dataset.get("Columns"):
            raise UnreadableError("no image: a DICOM object without rows and columns")
        photometric = text([dataset], "PhotometricInterpretation").upper()
        modality = text([dataset], "Modality").upper()
        check_picture(modality, photometric, int(dataset.BitsAllocated), int(dataset.Rows), int(dataset.Columns))
    if not 0 <= part < frames:
        raise UnreadableError(f"no frame {part}: the file holds {frames}")
    pixels = _decoded(dataset, part)
    with reading("damaged header"):
        if photometric.startswith("PALETTE"):
            return _of_colours(apply_color_lut(pixels, dataset), _palette_bits(dataset))
        if pixels.ndim == 3:
            return _of_colours(pixels, int(dataset.get("BitsStored") or dataset.BitsAllocated))
        return _of_grey(pixels, dataset, photometric)


def _decoded(dataset: pydicom.Dataset, part: int) -> NDArray[Any]:
    """(rows, columns), of colours (rows, columns, 3) as RGB."""
    uid = dataset.file_meta.get("TransferSyntaxUID", "") if hasattr(dataset, "file_meta") else ""
    with reading(f"pixel data (of {UID(uid).name}) that is damaged, or that no installed decoder knows"):
        plugin = DECODERS.get(uid, "")
        if plugin and plugin in get_decoder(uid).available_plugins:
            dataset.pixel_array_options(index=part, decoding_plugin=plugin)
        else:
            dataset.pixel_array_options(index=part)
        pixels: NDArray[Any] = dataset.pixel_array
    if pixels.shape[:2] != (dataset.Rows, dataset.Columns) or pixels.shape[2:] not in ((), (3,)):
        raise UnreadableError(f"damaged pixel data: decoded to {pixels.shape}, not the size that the header states")
    return pixels


def _of_colours(pixels: NDArray[Any], bits: int) -> Image:
    if pixels.dtype != np.uint8 or bits < 8:
        pixels = (pixels.astype(np.float32) * np.float32(255 / (2**bits - 1)) + 0.5).clip(0, 255).astype(np.uint8)
    return Image(np.ascontiguousarray(pixels.transpose(2, 0, 1)), (0.0, 255.0))


def _palette_bits(dataset: pydicom.Dataset) -> int:
    """Of the colours of a table, as its values use them: 8 bits are often written as 16."""
    return 8 if int(dataset.RedPaletteColorLookupTableDescriptor[2]) == 8 else 16


def _of_grey(stored: NDArray[Any], dataset: pydicom.Dataset, photometric: str) -> Image:
    if stored.dtype.kind == "f":
        values, low, high = stored, float(np.nanmin(stored)), float(np.nanmax(stored))
    elif dataset.get("ModalityLUTSequence"):
        values = apply_modality_lut(stored, dataset)
        low, high = 0.0, float(2 ** int(dataset.ModalityLUTSequence[0].LUTDescriptor[2]) - 1)
    else:
        bits = int(dataset.get("BitsStored") or dataset.BitsAllocated)
        values = stored
        low, high = (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1) if stored.dtype.kind == "i" else (0.0, 2.0**bits - 1)
    slope, inter = number([dataset], "RescaleSlope"), number([dataset], "RescaleIntercept")
    if dataset.get("ModalityLUTSequence") or not slope:
        slope, inter = 1.0, inter or 0.0
    inter = inter or 0.0
    window = _window(dataset) or (low * slope + inter, high * slope + inter)
    rescaled = _rescaled(values, slope, inter)
    if photometric == "MONOCHROME1":
        around = (low + high) * slope + 2 * inter
        rescaled, window = _rescaled(rescaled, -1.0, around), (around - window[1], around - window[0])
    return Image(np.ascontiguousarray(rescaled)[None], (min(window), max(window)))


def _rescaled(values: NDArray[Any], slope: float, inter: float) -> NDArray[Any]:
    if (slope, inter) == (1, 0) and values.dtype in (np.uint8, np.uint16, np.int16):
        return values
    return scaled(values.reshape(-1), slope, inter).reshape(values.shape)


def _window(dataset: pydicom.Dataset) -> tuple[float, float] | None:
    """The rescaled numbers that are shown black and white; None where the header does not say."""
    centre, width = number([dataset], "WindowCenter"), number([dataset], "WindowWidth")
    if centre is not None and width is not None and width > 0:
        if text([dataset], "VOILUTFunction").upper() in ("", "LINEAR"):
            # Part 3, C.11.2.1.2.1
            return centre - 0.5 - (max(width, 2) - 1) / 2, centre - 0.5 + (max(width, 2) - 1) / 2
        return centre - width / 2, centre + width / 2
    tables = dataset.get("VOILUTSequence")
    if not tables:
        return None
    begin = float(first([tables[0]], "LUTDescriptor")[1])
    table = _table(tables[0])
    span = table.max() - table.min()
    between = np.flatnonzero((table > table.min() + _SHARE * span) & (table < table.max() - _SHARE * span))
    return (begin + float(between[0]), begin + float(between[-1])) if len(between) > 1 else None


def _table(item: pydicom.Dataset) -> NDArray[np.float64]:
    data = item.LUTData
    if isinstance(data, bytes):
        data = np.frombuffer(data, dtype="<u2" if int(item.LUTDescriptor[2]) > 8 else "<u1")
    return np.asarray(data, dtype=np.float64)
