"""What compressed pixel data say of themselves, in the first bytes of a frame: their size, bits and kind."""

from dataclasses import dataclass

from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
)

_JP2 = b"\0\0\0\x0cjP  "
# Start of a frame of JPEG -> the syntaxes that hold it, the one that decodes it where the file states another first.
_JPEG = {
    0xC0: (JPEGBaseline8Bit,),
    0xC1: (JPEGExtended12Bit,),
    0xC2: (JPEGBaseline8Bit,),
    0xC3: (JPEGLosslessSV1, JPEGLossless),
    0xF7: (JPEGLSLossless, JPEGLSNearLossless),
}
_JPEG_2000, _HTJ2K = (JPEG2000, JPEG2000Lossless), (HTJ2K, HTJ2KLossless, HTJ2KLosslessRPCL)
_HIGH_THROUGHPUT = 0x4000  # of the capabilities of a JPEG 2000
# gdcm, which pydicom would take first, ends the whole process on some damaged images; where another can, it decodes.
_PLUGINS = {**dict.fromkeys(_JPEG_2000, "pylibjpeg"), **dict.fromkeys(_HTJ2K, "pylibjpeg")}
_PLUGINS |= dict.fromkeys(_JPEG[0xF7], "pyjpegls") | {JPEGBaseline8Bit: "pillow", JPEGExtended12Bit: "gdcm"}
_PLUGINS |= dict.fromkeys(_JPEG[0xC3], "gdcm")
_LOSSY = (JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless, JPEG2000, HTJ2K)


@dataclass(frozen=True)
class Codestream:
    """The head of a JPEG, JPEG-LS, JPEG 2000 or HTJ2K frame.

    Args:
        syntaxes: of DICOM that hold such frames.
        rows: of pixels.
        columns: of pixels.
        samples: of a pixel.
        precision: bits of a sample, the most of any.
    """

    syntaxes: tuple[UID, ...]
    rows: int
    columns: int
    samples: int
    precision: int

    def syntax(self, stated: str) -> UID:
        """The transfer syntax that a frame is decoded as: the one stated, unless that holds other frames."""
        if self.syntaxes == (JPEGExtended12Bit,) and self.precision <= 8:
            return JPEGBaseline8Bit  # whose decoder reads these too
        return UID(stated) if stated in self.syntaxes else self.syntaxes[0]

    def has_decoder(self, allocated: int) -> bool:
        """Whether it can be decoded."""
        if self.syntaxes == (JPEGExtended12Bit,) and self.precision > 8:
            return self.samples == 1 and allocated == 16
        return self.precision <= (8 if self.syntaxes[0] in (JPEGBaseline8Bit, JPEGExtended12Bit) else 32)

    def plugin(self, stated: str) -> str:
        """The plugin of pydicom that decodes it."""
        return _PLUGINS[self.syntax(stated)]

    def is_lossy(self, stated: str) -> bool:
        """Whether decoded numbers may lie beside those that were compressed."""
        return self.syntax(stated) in _LOSSY


def codestream_of(data: bytes) -> Codestream | None:
    """Read the head of a frame.

    Args:
        data: of the frame, from its start; its first kilobytes are enough unless it begins with a large profile.

    Returns:
        What it says, or None: it is none of these, or its size is not in these bytes.
    """
    try:
        if data.startswith(_JP2):
            data = data[_codestream_box(data) :]
        if data.startswith(b"\xff\x4f\xff\x51"):
            return _jpeg_2000(data)
        return _jpeg(data) if data.startswith(b"\xff\xd8") else None
    except (IndexError, KeyError):
        return None


def _codestream_box(data: bytes) -> int:
    at = 12
    while data[at + 4 : at + 8] != b"jp2c":
        length = int.from_bytes(data[at : at + 4], "big")
        if length < 8 or at + length > len(data):
            raise IndexError
        at += length
    return at + 8


def _jpeg_2000(data: bytes) -> Codestream:
    capabilities = int.from_bytes(data[6:8], "big")
    right, lower, left, upper = (int.from_bytes(data[at : at + 4], "big") for at in (8, 12, 16, 20))
    samples = int.from_bytes(data[40:42], "big")
    precision = max(((data[42 + 3 * sample] & 0x7F) + 1 for sample in range(min(samples, 8))), default=0)
    syntaxes = _HTJ2K if capabilities & _HIGH_THROUGHPUT else _JPEG_2000
    return Codestream(syntaxes, lower - upper, right - left, samples, precision)


def _jpeg(data: bytes) -> Codestream:
    at = 2
    while True:
        if data[at] != 0xFF:
            raise KeyError
        kind = data[at + 1]
        if kind == 0xFF:  # fill
            at += 1
        elif 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC) or kind == 0xF7:
            precision, rows, columns = data[at + 4], data[at + 5 : at + 7], data[at + 7 : at + 9]
            return Codestream(
                _JPEG[kind], int.from_bytes(rows, "big"), int.from_bytes(columns, "big"), data[at + 9], precision
            )
        else:
            at += 2 + max(int.from_bytes(data[at + 2 : at + 4], "big"), 2)
