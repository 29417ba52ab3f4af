"""The pixels of a DICOM file as numbers: unpacked, in the machine's byte order, and only the bits that are used."""

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.encaps import encapsulate
from pydicom.pixels import get_decoder
from pydicom.uid import (
    JPEGExtended12Bit,
    RLELossless,
)

from medcl.errors import UnreadableError
from medcl.modality.dicom.codestream import Codestream
from medcl.modality.dicom.file import opened, reading, require_image
from medcl.modality.dicom.fragments import (
    UNCOMPRESSED,
    PixelPlace,
    Span,
    check_frame,
    check_native,
    find_pixels,
    frame_spans,
    name_of,
    read_spans,
)
from medcl.modality.dicom.header import Claims, claims_of

_LOCK = threading.Lock()


def decode_with_gdcm(data: bytes, claims: Claims) -> NDArray[Any]:
    """Decode a frame of extended JPEG with 12 bits.

    Returns:
        (rows, columns), 16 bits.

    Raises:
        ValueError: it is damaged.
    """
    import gdcm

    fragment, fragments = gdcm.Fragment(), gdcm.SequenceOfFragments.New()
    fragment.SetByteStringValue(data)
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((claims.columns, claims.rows, 1))
    image.SetDataElement(element)
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(gdcm.PhotometricInterpretation.MONOCHROME2))
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGExtendedProcess2_4))
    image.SetPixelFormat(gdcm.PixelFormat(1, 16, 12, 11, int(claims.kind == "i")))
    with quiet_gdcm():
        # Bytes come as text, each that is not ASCII escaped.
        values = image.GetBuffer().encode("utf-8", "surrogateescape")
    return np.frombuffer(values, f"<{claims.kind}2").reshape(claims.rows, claims.columns)


@contextmanager
def quiet_gdcm() -> Iterator[None]:
    """Keep the messages that GDCM writes to standard error, past Python, off the terminal."""
    with _LOCK:
        try:
            kept = os.dup(2)
        except OSError:  # there is no standard error
            yield
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            os.close(nowhere)


def read_frames(path: Path, part: int | None = None) -> tuple[pydicom.Dataset, Claims, NDArray[Any]]:
    """Decode all frames of a file, or the one numbered `part`.

    Bits above the highest one that is used, and below the lowest, are no part of a pixel (part 5, 8.1.1): overlays may
    lie there, or anything else. Only what a lossy compression put beside the range of the bits is set to its end.

    Returns:
        The header, what it says of the pixels, and (frames, rows, columns) as stored, of colours (frames, rows,
        columns, 3) in red, green and blue.

    Raises:
        UnreadableError: it is no image or has no such frame; the pixels are damaged, not those of the header, or
            compressed in a way that no installed decoder knows.
    """
    with opened(path) as (header, file, size):
        assert isinstance(header, pydicom.Dataset)
        require_image(header)
        place = find_pixels(file, header, size)
        claims = claims_of(header, place.is_float)
        if part is not None and not 0 <= part < claims.frames:
            raise UnreadableError(f"no frame {part}: the file holds {claims.frames}")
        wanted = range(claims.frames) if part is None else (part,)
        if not place.in_fragments:
            check_native(file, place, claims)
            return header, claims, _coloured(_native(file, place, claims, wanted), claims, claims.photometric)
        spans = frame_spans(file, place.start, size, claims, header)
        return header, claims, np.concatenate([_frame(file, spans[number], claims, place) for number in wanted])


def _native(file: BinaryIO, place: PixelPlace, claims: Claims, wanted: Sequence[int]) -> NDArray[Any]:
    """Plain pixels, (frames, rows, columns) or (frames, rows, columns, samples)."""
    each = claims.bits // claims.frames
    first, count = wanted[0] * each, len(wanted) * each
    # From a byte on, and where bytes are written in words of two, from a word on.
    start = first // 8 // 2 * 2
    file.seek(place.start + start)
    data = file.read(-(-(first + count) // 8) - start + 1)[: place.length - start]
    return _plain(data, claims, place, len(wanted), first - 8 * start, count)


def _plain(data: bytes, claims: Claims, place: PixelPlace, frames: int, first: int, count: int) -> NDArray[Any]:
    """Numbers from bytes: `count` bits of them, behind the first `first`."""
    numbers: NDArray[Any]
    if claims.allocated <= 8 and place.big_endian and place.in_words:
        data = np.frombuffer(data.ljust(len(data) + len(data) % 2, b"\0"), ">u2").astype("<u2").tobytes()
    if claims.allocated == 1:
        numbers = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")[first : first + count]
    else:
        order = ">" if place.big_endian else "<"
        dtype = np.dtype(f"{order}{claims.kind}{claims.allocated // 8}")
        numbers = np.frombuffer(data, dtype, count // claims.allocated, first // 8)
        numbers = numbers.astype(dtype.newbyteorder("="))
        numbers = numbers if claims.kind == "f" else _used(numbers, claims, shifted=True)
    if claims.photometric == "YBR_FULL_422":
        # Two pixels share their colour: Y1 Y2 CB CR.
        numbers = numbers.reshape(-1, 4)[:, [0, 2, 3, 1, 2, 3]]
    size = claims.rows, claims.columns
    if claims.samples == 1:
        return numbers.reshape(frames, *size)
    if claims.planar:
        return numbers.reshape(frames, claims.samples, *size).transpose(0, 2, 3, 1)
    return numbers.reshape(frames, *size, claims.samples)


def _frame(file: BinaryIO, spans: Sequence[Span], claims: Claims, place: PixelPlace) -> NDArray[Any]:
    """A frame in fragments, (1, rows, columns) or (1, rows, columns, 3)."""
    stream = check_frame(file, spans, claims, place.syntax)
    data = read_spans(file, spans)
    if place.syntax == UNCOMPRESSED:
        numbers = _plain(data, claims, place, 1, 0, claims.bits // claims.frames)
        return _coloured(numbers, claims, claims.photometric)
    damaged = f"pixel data (of {name_of(place.syntax)}) that is damaged, or that no installed decoder knows"
    with reading(damaged):
        numbers, photometric = _decompressed(data, stream, claims, place.syntax)
    if numbers.shape[:2] != (claims.rows, claims.columns):
        raise UnreadableError(f"damaged pixel data: decoded to {numbers.shape}, not the size that the header states")
    lossy = stream is not None and stream.is_lossy(place.syntax)
    numbers = _used(numbers, claims, shifted=stream is None, lossy=lossy).astype(claims.dtype, copy=False)
    return _coloured(numbers[None], claims, photometric)


def _decompressed(data: bytes, stream: Codestream | None, claims: Claims, stated: str) -> tuple[NDArray[Any], str]:
    """One frame as its decoder gives it, and the interpretation of its colours."""
    if stream is not None and stream.syntax(stated) == JPEGExtended12Bit and stream.precision > 8:
        return decode_with_gdcm(data, claims), claims.photometric
    syntax = RLELossless if stream is None else stream.syntax(stated)
    options: Any = {
        "rows": claims.rows,
        "columns": claims.columns,
        "samples_per_pixel": claims.samples,
        "number_of_frames": 1,
        "photometric_interpretation": claims.photometric,
        "bits_allocated": claims.allocated,
        "bits_stored": claims.stored if stream is None else max(claims.stored, min(stream.precision, claims.allocated)),
        "pixel_representation": int(claims.kind == "i"),
        "planar_configuration": int(claims.planar),
        "pixel_keyword": "PixelData",
        "correct_unused_bits": False,
    }
    plugin = "pydicom" if stream is None else stream.plugin(stated)
    if plugin == "pillow":
        options |= {"bits_allocated": 8, "bits_stored": 8}
    with quiet_gdcm() if plugin == "gdcm" else nullcontext():
        frames = get_decoder(syntax).iter_array(encapsulate([data]), raw=True, decoding_plugin=plugin, **options)
        numbers, about = next(iter(frames))
    return numbers, str(about["photometric_interpretation"])


def _used(numbers: NDArray[Any], claims: Claims, shifted: bool, lossy: bool = False) -> NDArray[Any]:
    """The bits that a pixel has, as a number with its sign.

    Args:
        numbers: integers, signed where the pixels are.
        claims: number of bits that are used, and which.
        shifted: whether they may begin above the lowest bit; those of a JPEG begin there.
        lossy: whether a decoder may have left the range of the bits.
    """
    least = claims.high + 1 - claims.stored if shifted else 0
    unused = 8 * numbers.dtype.itemsize - claims.stored - least
    if unused < 0 or (unused == 0 and least == 0):
        return numbers
    if not shifted:
        values, low = 1 << claims.stored, -(1 << claims.stored - 1) if claims.kind == "i" else 0
        high = low + values - 1
        if low <= numbers.min() and numbers.max() <= high:
            return numbers
        if claims.high + 1 != claims.stored:
            raise UnreadableError(f"damaged header: HighBit {claims.high} does not fit {claims.stored} compressed bits")
        if lossy and len(np.unique(numbers >> claims.stored)) > 1:
            return numbers.clip(low, high)
    numbers = numbers << np.array(unused, numbers.dtype)
    numbers >>= np.array(unused + least, numbers.dtype)
    return numbers


def _coloured(numbers: NDArray[Any], claims: Claims, photometric: str) -> NDArray[Any]:
    """Colours as red, green and blue; part 3, C.7.6.3.1.2."""
    if claims.samples == 1 or photometric not in ("YBR_FULL", "YBR_FULL_422"):
        return numbers
    most = (1 << claims.stored) - 1
    values: NDArray[Any] = numbers.astype(np.float32 if claims.stored <= 16 else np.float64)
    values[..., 1:] = values[..., 1:] - (1 << claims.stored - 1)
    turn = [[1, 1, 1], [0, -0.114 * 1.772 / 0.587, 1.772], [1.402, -0.299 * 1.402 / 0.587, 0]]
    turned: NDArray[Any] = np.floor(values @ np.asarray(turn, values.dtype) + values.dtype.type(0.5))
    return turned.clip(0, most).astype(numbers.dtype)
