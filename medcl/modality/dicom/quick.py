"""A quick way through the header of an ordinary DICOM file; what is not ordinary is left to pydicom.

pydicom makes an object of every element that it passes; for a hundred thousand slices that is most of the time.
"""

import struct
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from pydicom.datadict import dictionary_VM, dictionary_VR, keyword_for_tag
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

_START = 132  # bytes: the preamble and the letters DICM
_BLOCK = 1 << 16
_LONGEST = 1 << 22  # bytes of header
_UNDEFINED = 0xFFFFFFFF
_LONG = {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}
_tag, _short, _long = struct.Struct("<HH").unpack_from, struct.Struct("<H").unpack_from, struct.Struct("<I").unpack_from
_BINARY = {b"US": "<H", b"FD": "<d"}
_TEXT = {b"CS", b"DA", b"DS", b"DT", b"IS", b"LO", b"UI"}
_PIXELS = 0x7FE00008  # the first element that may hold an image
_META_END = 0x00030000
_TRANSFER_SYNTAX, _STORED_CLASS = 0x00020010, 0x00020002
# Compressed images have an explicit header, but for the deflated and the big-endian syntax.
_EXPLICIT_FAMILIES = ("1.2.840.10008.1.2.4.", "1.2.840.10008.1.2.5")


class _UnusualError(Exception):
    """pydicom has to read this file."""


class QuickHeader:
    """Elements by keyword, as a pydicom data set has them; numbers written as text stay text.

    Args:
        values: keyword -> value, a list where there are several.
        file_meta: the same of the file's own group.
        implicit: whether elements go without their kind.
    """

    def __init__(self, values: dict[str, Any], file_meta: dict[str, str], implicit: bool) -> None:
        self.values = values
        self.file_meta = file_meta
        self.original_encoding = (implicit, True)

    def get(self, keyword: str, default: Any = None) -> Any:
        """The value of an element."""
        return self.values.get(keyword, default)

    def __contains__(self, tag: object) -> bool:
        # Private elements make a file unusual.
        return tag in self.values

    def __getattr__(self, keyword: str) -> Any:
        try:
            return self.__dict__["values"][keyword]
        except KeyError:
            raise AttributeError(keyword) from None


class _Wanted:
    """What each tag is called, and how its value is written."""

    def __init__(self, tags: Sequence[int]) -> None:
        public = [tag for tag in tags if not tag >> 16 & 1]
        self.known = {
            tag: (keyword_for_tag(tag), dictionary_VR(tag).encode(), dictionary_VM(tag) == "1") for tag in public
        }
        # A private element or a sequence counts only if it is there.
        self.unusual = {tag for tag in tags if tag >> 16 & 1 and tag & 0xFFFF >= 0x1000}
        self.unusual |= {tag for tag, (_, kind, _) in self.known.items() if kind == b"SQ"}


_WANTED: dict[tuple[int, ...], _Wanted] = {}


def read_quickly(file: BinaryIO, tags: Sequence[int]) -> QuickHeader | None:
    """Read elements of a header that is written as nearly all are: little-endian, with a preamble, in ASCII.

    Args:
        file: at its start; afterwards it stands before the pixels, or where the file ends.
        tags: of the elements.

    Returns:
        The header, the same as pydicom reads, or None: pydicom has to, for one of the elements is a sequence or
        private, or not as the standard has it.
    """
    key = tuple(tags)
    if key not in _WANTED:
        _WANTED[key] = _Wanted(tags)
    wanted = _WANTED[key]
    data = file.read(_BLOCK)
    while True:
        try:
            header, end = _parse(data, wanted)
        except (_UnusualError, UnicodeDecodeError):
            return None
        except (IndexError, struct.error):
            more = file.read(len(data)) if len(data) < _LONGEST else b""
            if not more:
                return None
            data += more
        else:
            file.seek(end)
            return header


def _parse(data: bytes, wanted: _Wanted) -> tuple[QuickHeader, int]:
    """The header, and where its pixels begin; IndexError or struct.error where more bytes are needed."""
    if data[_START - 4 : _START] != b"DICM":
        raise _UnusualError
    meta, at = _meta(data, _START)
    syntax = meta.get("TransferSyntaxUID", "")
    implicit = syntax == ImplicitVRLittleEndian
    if not (implicit or syntax == ExplicitVRLittleEndian or syntax.startswith(_EXPLICIT_FAMILIES)):
        raise _UnusualError
    values: dict[str, Any] = {}
    known, unusual = wanted.known, wanted.unusual
    last = 0
    for tag, kind, start, end in _elements(data, at, implicit):
        if tag >= _PIXELS:
            # All kinds of pixels have a long length: 8 bytes of an implicit element, 12 of an explicit one.
            return QuickHeader(values, meta, implicit), start - (8 if implicit else 12)
        if tag <= last or tag in unusual:
            raise _UnusualError
        last = tag
        if tag in known:
            keyword, stated, single = known[tag]
            if not implicit and kind != stated:
                raise _UnusualError
            values[keyword] = _value(data[start:end], stated, single)
    raise IndexError


def _meta(data: bytes, at: int) -> tuple[dict[str, str], int]:
    """The file's own group, and where it ends."""
    meta: dict[str, str] = {}
    for tag, _, start, end in _elements(data, at, implicit=False, until=_META_END):
        if tag in (_TRANSFER_SYNTAX, _STORED_CLASS):
            name = "TransferSyntaxUID" if tag == _TRANSFER_SYNTAX else "MediaStorageSOPClassUID"
            meta[name] = data[start:end].decode("ascii").rstrip(" \0")
        at = end
    return meta, at


def read_meta(data: bytes) -> tuple[dict[str, str], int]:
    """The file's own group, at the start of a file with or without a preamble.

    Returns:
        Transfer syntax and class by keyword, and where the group ends; nothing and 0 where there is no such group.
    """
    at = _START if data[_START - 4 : _START] == b"DICM" else 0
    try:
        return _meta(data, at) if data[at : at + 2] == b"\2\0" else ({}, 0)
    except (_UnusualError, UnicodeDecodeError, IndexError, struct.error):
        return {}, 0


def _elements(data: bytes, at: int, implicit: bool, until: int = 1 << 32) -> Iterator[tuple[int, bytes, int, int]]:
    """Tag, kind, and where the value begins and ends, of each element; sequences are one."""
    while True:
        group, element = _tag(data, at)
        tag, kind = group << 16 | element, b""
        if tag >= until:
            return
        if implicit:
            (length,) = _long(data, at + 4)
            start = at + 8
        else:
            kind = data[at + 4 : at + 6]
            if kind in _LONG:
                (length,) = _long(data, at + 8)
                start = at + 12
            elif kind.isalpha() and kind.isupper():
                (length,) = _short(data, at + 6)
                start = at + 8
            else:
                raise _UnusualError
        if tag >= _PIXELS:
            if not implicit and kind not in _LONG:
                raise _UnusualError
            yield tag, kind, start, start
            return
        if length == _UNDEFINED:
            # Its end has to be looked for element by element.
            if implicit or kind != b"SQ":
                raise _UnusualError
            end = _end_of_sequence(data, start)
        else:
            end = start + length
            if end > len(data):
                raise IndexError
        yield tag, kind, start, end
        at = end


def _end_of_sequence(data: bytes, at: int) -> int:
    """Where a sequence of undefined length ends."""
    while True:
        group, element, length = struct.unpack_from("<HHI", data, at)
        at += 8
        if (group, element) == (0xFFFE, 0xE0DD):
            return at
        if (group, element) != (0xFFFE, 0xE000):
            raise _UnusualError
        at = _end_of_item(data, at) if length == _UNDEFINED else at + length


def _end_of_item(data: bytes, at: int) -> int:
    while _tag(data, at) != (0xFFFE, 0xE00D):
        _, _, _, at = next(_elements(data, at, implicit=False))
    return at + 8


def _value(raw: bytes, kind: bytes, single: bool) -> Any:
    if not raw:
        return None
    if kind in _BINARY:
        if len(raw) != struct.calcsize(_BINARY[kind]):
            raise _UnusualError
        return struct.unpack(_BINARY[kind], raw)[0]
    if kind not in _TEXT:
        raise _UnusualError
    text = raw.decode("ascii")
    if "\\" in text:
        if single:
            raise _UnusualError
        return [part.strip(" \0") for part in text.split("\\")]
    return text.rstrip(" \0")
