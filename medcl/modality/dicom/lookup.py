"""Lookup tables of DICOM: from stored numbers to colours (palettes), to other units, and to what is to be shown."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray

from medcl.errors import UnreadableError
from medcl.modality.dicom.header import RESCALE_TERMS, every, number, term, text

_COLOURS = ("Red", "Green", "Blue")
_MOST_ENTRIES = 1 << 16


@dataclass(frozen=True)
class Table:
    """A lookup table.

    Args:
        first: the stored number that the first entry belongs to; those below have it too.
        entries: (entries,) unsigned.
        bits: of an entry, as stated.
    """

    first: int
    entries: NDArray[Any]
    bits: int

    def __call__(self, numbers: NDArray[Any]) -> NDArray[Any]:
        """The entries of stored numbers."""
        entries: NDArray[Any] = self.entries[(numbers.astype(np.int64) - self.first).clip(0, len(self.entries) - 1)]
        return entries


def palette(header: Any, big_endian: bool) -> Table:
    """The colours of a palette, plain or in segments, as a table of (entries, 3) uint8.

    Its entries have 16 bits or 8, two in a word or each in a word of its own, whatever the number of bits that it
    states: the length of the table and its largest entry say which.

    Raises:
        UnreadableError: no palette, or a damaged one.
    """
    described = [_described(header, f"{colour}PaletteColorLookupTableDescriptor") for colour in _COLOURS]
    channels = []
    for colour, (count, _, bits) in zip(_COLOURS, described, strict=True):
        data = header.get(f"{colour}PaletteColorLookupTableData")
        if data is not None:
            channels.append(_entries(data, count, big_endian))
        else:
            segments = header.get(f"Segmented{colour}PaletteColorLookupTableData")
            channels.append(_expanded(segments, count, bits, big_endian))
    entries = np.stack(channels, axis=1)
    most = 65535 if entries.max() > 255 else 255
    shown = np.floor(entries * (255 / most) + 0.5).astype(np.uint8)
    return Table(_first(described[0][1], header), shown, 8)


def table_of(item: pydicom.Dataset, header: pydicom.Dataset, big_endian: bool) -> Table:
    """The table of an item of a Modality or VOI LUT sequence.

    Raises:
        UnreadableError: it is damaged.
    """
    count, first, bits = _described(item, "LUTDescriptor")
    data = item.get("LUTData")
    if data is None:
        raise UnreadableError("damaged header: no LUTData")
    return Table(_first(first, header), _entries(data, count, big_endian), bits)


def modality_table(sources: Sequence[Any], modality: str) -> tuple[Table, str] | None:
    """The Modality LUT that stands in the place of slope and intercept; part 3, C.11.1.

    The standard allows one or the other. Of a CT with both the slope counts, whose numbers are HU; else the table does,
    as for pydicom.

    Returns:
        The table and what its entries are, `HU` or `OD`; None where there is none.

    Raises:
        UnreadableError: it is damaged.
    """
    header = sources[-1]
    tables = header.get("ModalityLUTSequence")
    if not tables or (modality == "CT" and number(sources, "RescaleSlope") is not None):
        return None
    big_endian = header.original_encoding[1] is False
    return table_of(tables[0], header, big_endian), term(text(tables, "ModalityLUTType"), RESCALE_TERMS)


def _described(header: Any, keyword: str) -> tuple[int, int, int]:
    values = every(header.get(keyword))
    if len(values) != 3:
        raise UnreadableError(f"damaged header: {keyword} is not 3 numbers")
    count, first, bits = (int(value) for value in values)
    if not 1 <= bits <= 16:
        raise UnreadableError(f"damaged header: {keyword} states entries of {bits} bits")
    # 0 stands for 65536, which 16 bits cannot hold; a signed reading has large numbers negative.
    return count % _MOST_ENTRIES or _MOST_ENTRIES, first, bits


def _first(first: int, header: Any) -> int:
    signed = header.get("PixelRepresentation") == 1
    return first - _MOST_ENTRIES if signed and first >= _MOST_ENTRIES // 2 else first


def _entries(data: Any, count: int, big_endian: bool) -> NDArray[Any]:
    values = _words(data, big_endian)
    if isinstance(data, bytes) and len(values) < count:
        values = values.view(np.uint8)
    if len(values) < count:
        raise UnreadableError(f"damaged header: a lookup table of {len(values)} entries, it states {count}")
    return values[:count]


def _words(data: Any, big_endian: bool) -> NDArray[Any]:
    """Words of 16 bits in which, from low to high, two entries of 8 bits may lie."""
    if isinstance(data, bytes):
        return np.frombuffer(data.ljust(len(data) + len(data) % 2, b"\0"), ">u2" if big_endian else "<u2").astype("<u2")
    return np.array([int(value) % _MOST_ENTRIES for value in every(data)], dtype="<u2")


def _expanded(data: Any, count: int, bits: int, big_endian: bool) -> NDArray[Any]:
    """A table from its segments; part 3, C.7.9.2."""
    if data is None:
        raise UnreadableError("damaged header: a palette without colours")
    words = _words(data, big_endian)
    codes = [int(code) for code in (words.view(np.uint8) if bits <= 8 else words)]
    found: list[int] = []
    _expand(codes, 0, None, found, count, bits <= 8, indirect=True)
    if len(found) != count:
        raise UnreadableError(f"damaged header: a palette of {len(found)} entries, it states {count}")
    return np.array(found, dtype=np.uint16)


def _expand(
    codes: Sequence[int],
    at: int,
    segments: int | None,
    found: list[int],
    count: int,
    narrow: bool,
    indirect: bool,
) -> None:
    """Add the entries of segments to those that were found."""
    damaged = UnreadableError("damaged header: the segments of a palette are not as the standard has them")
    while at + 1 < len(codes) and len(found) < count and segments != 0:
        kind, length = codes[at : at + 2]
        at += 2
        if kind == 0 and at + length <= len(codes):
            found += codes[at : at + length]
            at += length
        elif kind == 1 and found and at < len(codes) and length:
            last, end = found[-1], codes[at]
            found += [int(np.floor(last + (end - last) * step / length + 0.5)) for step in range(1, length + 1)]
            at += 1
        elif kind == 2 and indirect and at + (4 if narrow else 2) <= len(codes):
            parts = codes[at : at + (4 if narrow else 2)]
            place = sum(part << (8 if narrow else 16) * index for index, part in enumerate(parts))
            _expand(codes, place if narrow else place // 2, length, found, count, narrow, indirect=False)
            at += len(parts)
        else:
            raise damaged
        segments = None if segments is None else segments - 1
