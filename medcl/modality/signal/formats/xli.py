"""XLI, the compression of samples in ECGs of Philips: second differences in two planes of bytes, packed with LZW.

The format is described in the wiki of sierra-ecg-tools (C. Watford).
"""

import struct
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from medcl.errors import UnreadableError

_BITS = 10  # of an LZW code
_LAST = (1 << _BITS) - 2  # code
_BIAS = 64  # of a difference


def unpacked(content: bytes, most: int) -> list[NDArray[np.int64]]:
    """Unpack samples.

    Args:
        content: chunks of a head (bytes that follow, two bytes of no concern, first difference) and LZW codes.
        most: samples that a chunk may have.

    Returns:
        The samples of each chunk, which is a lead.

    Raises:
        UnreadableError: a chunk is cut, damaged or longer.
    """
    leads, place = [], 0
    while place < len(content):
        if place + 8 > len(content):
            raise UnreadableError("truncated samples: they end within the head of a lead")
        size, _, first = struct.unpack_from("<ihh", content, place)
        if not 0 < size <= len(content) - place - 8:
            raise UnreadableError("truncated samples: they end within a lead")
        chunk = content[place + 8 : place + 8 + size]
        leads.append(_integrated(_lzw(chunk, 2 * most + 2), first))
        place += 8 + size
    return leads


def _integrated(planes: bytes, first: int) -> NDArray[np.int64]:
    """Samples from their second differences, whose high bytes stand before all low ones."""
    count = (len(planes) + 1) // 2
    high, low = np.frombuffer(planes.ljust(2 * count, b"\0"), np.uint8).reshape(2, count).astype(np.int64)
    values = ((high << 8 | low) ^ 0x8000) - 0x8000
    samples, last = values[:2].tolist(), first
    for difference in values[2:].tolist():
        samples.append(2 * samples[-1] - samples[-2] - last)
        last = difference - _BIAS
    if max(map(abs, samples), default=0) > 1 << 15:
        raise UnreadableError("damaged samples: their differences lead out of 16 bits")
    return np.array(samples, dtype=np.int64)


def _lzw(chunk: bytes, most: int) -> bytes:
    table = [bytes([one]) for one in range(256)]
    previous, result, length = b"", [], 0
    for code in _codes(chunk):
        if code > _LAST:
            break
        if code < len(table):
            entry = table[code]
        elif previous and code == len(table):
            entry = previous + previous[:1]
        else:
            raise UnreadableError("damaged samples: a code that stands for nothing")
        if previous and len(table) <= _LAST:
            table.append(previous + entry[:1])
        previous = entry
        result.append(entry)
        length += len(entry)
        if length > most:
            raise UnreadableError("damaged samples: more of them than the header says")
    return b"".join(result)


def _codes(chunk: bytes) -> Iterator[int]:
    held = bits = 0
    for byte in chunk:
        held, bits = (held << 8 | byte) & 0xFFFFFF, bits + 8
        if bits >= _BITS:
            bits -= _BITS
            yield held >> bits & (1 << _BITS) - 1
