"""Damage to a sound file, which is the same each time for a name and a number."""

import gzip
import random
import re
import struct
import zlib
from collections.abc import Callable

Bytes = Callable[[bytes, random.Random], bytes]

HEAD = 2048
"""Bytes at the beginning of a file that half of all damage goes to: that is where headers are."""
TEXTS = (b"0", b"-1", b"1", b"99999999", b"2147483648", b"1e308", b"1e-308", b"nan", b"inf", b"", b"x")
INTEGERS = (0, 1, -1, 2, 127, 255, 32767, -32768, 65535, 2**31 - 1, -(2**31), 2**32 - 1, 2**63 - 1)
FLOATS = (0.0, -0.0, -1.0, 1e-300, 1e300, 1e38, float("nan"), float("inf"), float("-inf"))
_NUMBER = re.compile(rb"(?<![\w.])[-+]?\d+(\.\d+)?([eE][-+]?\d+)?")
_NIFTI = {"h": (40, 42, 44, 46, 48, 50, 70, 72, 252, 254), "f": (76, 80, 84, 88, 108, 112, 116, 256, 268, 280, 300)}
_EDF = ((184, 8), (192, 44), (236, 8), (244, 8), (252, 4))  # place and width of the numbers of its header
_GDF = {"q": (184, 236), "I": (244, 248, 252)}
# Rows, columns, frames, bits, samples, spacing, place, scale, window, palette, waveforms.
_DICOM = (
    (0x0028, (0x02, 0x04, 0x06, 0x08, 0x10, 0x11, 0x30, 0x100, 0x101, 0x102, 0x103, 0x1050, 0x1051, 0x1052, 0x1053)),
    (0x0020, (0x10, 0x11, 0x13, 0x32, 0x37)),
    (0x0018, (0x50, 0x88)),
    (0x003A, (0x05, 0x10, 0x1A, 0x210, 0x211, 0x213, 0x215, 0x21A)),
    (0x5400, (0x1004, 0x1006, 0x1010)),
    (0x7FE0, (0x10,)),
    (0x0002, (0x00, 0x02, 0x10)),
    (0x0008, (0x05, 0x08, 0x16, 0x60)),
)
_TAGS = tuple(struct.pack("<HH", group, element) for group, elements in _DICOM for element in elements)


def damaged(content: bytes, rng: random.Random) -> bytes:
    """One to three kinds of damage to the bytes of a file; to what it packs, where it is packed with gzip."""
    if content[:2] == b"\x1f\x8b" and rng.random() < 0.7:
        return gzip.compress(damaged(gzip.decompress(content), rng), 1, mtime=0)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        ways = (*_WAYS, *_fields(content))
        content = rng.choice(ways)(content, rng)
    return content


def _fields(content: bytes) -> tuple[Bytes, ...]:
    """Damage to known fields of the format that a file is in; repeated, so that they are met often."""
    if content[344:347] in (b"n+1", b"ni1"):
        return (lambda whole, rng: _numbers(whole, rng, _NIFTI),) * 8
    if content[:8].strip() == b"0" or content[:7] == b"\xffBIOSEMI"[:7]:
        return (_edf_field,) * 8
    if content[:4] == b"GDF ":
        return (lambda whole, rng: _numbers(whole, rng, _GDF),) * 6
    if content[128:132] == b"DICM":
        return (_dicom_element,) * 10
    if content[:4] == b"\x89PNG":
        return (_png_chunk,) * 6
    return ()


def _place(content: bytes, rng: random.Random) -> int:
    return rng.randrange(max(1, min(len(content), HEAD) if rng.random() < 0.5 else len(content)))


def _run(content: bytes, rng: random.Random) -> tuple[int, int]:
    """Where a run of bytes begins and ends: short ones more often."""
    start = _place(content, rng)
    return start, min(len(content), start + int(2 ** rng.uniform(0, 10)))


def _flip(content: bytes, rng: random.Random) -> bytes:
    whole = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 8)) if whole else 0):
        whole[_place(content, rng)] ^= 1 << rng.randrange(8)
    return bytes(whole)


def _overwrite(content: bytes, rng: random.Random) -> bytes:
    start, stop = _run(content, rng)
    return content[:start] + rng.randbytes(stop - start) + content[stop:]


def _fill(content: bytes, rng: random.Random) -> bytes:
    start, stop = _run(content, rng)
    return content[:start] + rng.choice((b"\0", b"\xff", b" ", b"9")) * (stop - start) + content[stop:]


def _repeat(content: bytes, rng: random.Random) -> bytes:
    start, stop = _run(content, rng)
    return content[:stop] + content[start:stop] * rng.choice((1, 1, 3, 100)) + content[stop:]


def _remove(content: bytes, rng: random.Random) -> bytes:
    start, stop = _run(content, rng)
    return content[:start] + content[stop:]


def _swap(content: bytes, rng: random.Random) -> bytes:
    (a, b), (c, d) = sorted((_run(content, rng), _run(content, rng)))
    return content if b > c else content[:a] + content[c:d] + content[b:c] + content[a:b] + content[d:]


def _cut(content: bytes, rng: random.Random) -> bytes:
    return content[: _place(content, rng)]


def _append(content: bytes, rng: random.Random) -> bytes:
    return content + rng.choice((rng.randbytes(rng.randrange(1, 3000)), content, b"\0" * 512))


def _text_number(content: bytes, rng: random.Random) -> bytes:
    """A number in text becomes an extreme one, of the same width or not."""
    found = [one.span() for one in _NUMBER.finditer(content, 0, 1 << 16)]
    if not found:
        return _binary_number(content, rng)
    start, stop = rng.choice(found)
    text = rng.choice(TEXTS)
    return content[:start] + (text.ljust(stop - start) if rng.random() < 0.5 else text) + content[stop:]


def _binary_number(content: bytes, rng: random.Random) -> bytes:
    return _written(content, _place(content, rng) // 2 * 2, rng.choice("hHiIqfd"), rng.choice("<>"), rng)


def _written(content: bytes, place: int, code: str, order: str, rng: random.Random) -> bytes:
    if code in "fd":
        value = rng.choice(FLOATS)
        packed = struct.pack(order + code, max(-3e38, min(3e38, value)) if code == "f" and value == value else value)
    else:
        width = struct.calcsize(code)
        packed = (rng.choice(INTEGERS) % 2 ** (8 * width)).to_bytes(width, "little" if order == "<" else "big")
    return content[:place] + packed + content[place + len(packed) :]


def _numbers(content: bytes, rng: random.Random, places: dict[str, tuple[int, ...]]) -> bytes:
    code = rng.choice(list(places))
    return _written(content, rng.choice(places[code]), code, "<", rng)


def _edf_field(content: bytes, rng: random.Random) -> bytes:
    """A number of the header, or one of those of a signal (its limits, its samples a record)."""
    signals = int(content[252:256]) if content[252:256].strip().isdigit() else 0
    # Behind labels, transducers and units: four limits, then the prefilter, then the samples a record.
    places = [(256 + signals * at + 8 * rng.randrange(max(1, signals)), 8) for at in (104, 112, 120, 128, 216)]
    place, width = rng.choice((*_EDF, *places) if signals else _EDF)
    text = rng.choice(TEXTS)[:width].ljust(width)
    return content[:place] + text + content[place + width :]


def _dicom_element(content: bytes, rng: random.Random) -> bytes:
    """The value, the kind or the length of an element that decides how pixels or samples are read."""
    found = [place for tag in _TAGS if (place := content.find(tag, 132)) >= 0]
    if not found:
        return _binary_number(content, rng)
    place = rng.choice(found)
    way = rng.random()
    if way < 0.1:
        kind = rng.choice((b"US", b"UL", b"DS", b"IS", b"SQ", b"UN", b"OW", b"UI", b"XX"))
        return content[: place + 4] + kind + content[place + 6 :]
    if way < 0.2:
        return _written(content, place + 6, "H", "<", rng)
    length = int.from_bytes(content[place + 6 : place + 8], "little")
    if content[place + 4 : place + 6] in (b"DS", b"IS"):
        value = rng.choice(TEXTS)[:length].ljust(length)
        return content[: place + 8] + value + content[place + 8 + length :]
    return _written(content, place + 8, "H" if length == 2 else rng.choice("HId"), "<", rng)


def _png_chunk(content: bytes, rng: random.Random) -> bytes:
    """A number of the header of a PNG, or bytes of a chunk, with the checksum of what it then is."""
    chunks, place = [], 8
    while place + 12 <= len(content):
        length = int.from_bytes(content[place : place + 4], "big")
        chunks.append((place, length))
        place += 12 + length
    if not chunks:
        return _flip(content, rng)
    place, length = rng.choice((chunks[0], rng.choice(chunks)))
    body = content[place + 4 : place + 8 + length]
    body = body[:4] + (_binary_number(body[4:], rng) if rng.random() < 0.7 else _overwrite(body[4:], rng))[:length]
    ends = place + 12 + length
    return content[: place + 4] + body + zlib.crc32(body).to_bytes(4, "big") + content[ends:]


_WAYS: tuple[Bytes, ...] = (
    *(_flip, _flip, _overwrite, _fill, _repeat, _remove, _swap, _cut, _append),
    *(_text_number, _text_number, _text_number, _binary_number, _binary_number),
)
