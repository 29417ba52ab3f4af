"""The samples of WFDB signal files, in each of their storage formats (signal(5) of the WFDB Applications Guide)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medcl.errors import UnreadableError
from medcl.modality.signal.formats.wfdb_header import SignalLine


@dataclass(frozen=True)
class Storage:
    """A storage format.

    Args:
        bits: of a sample.
        group: bytes and samples that are packed together; None where it is compressed (FLAC).
        invalid: sample that means "no value".
    """

    bits: int
    group: tuple[int, int] | None
    invalid: int | None

    @property
    def dtype(self) -> type[np.int16 | np.int32]:
        """That holds every sample."""
        return np.int16 if self.bits <= 16 else np.int32


FORMATS: dict[str, Storage] = {
    "8": Storage(32, (1, 1), None),
    "16": Storage(16, (2, 1), -(2**15)),
    "24": Storage(24, (3, 1), -(2**23)),
    "32": Storage(32, (4, 1), -(2**31)),
    "61": Storage(16, (2, 1), -(2**15)),
    "80": Storage(8, (1, 1), -(2**7)),
    "160": Storage(16, (2, 1), -(2**15)),
    "212": Storage(12, (3, 2), -(2**11)),
    "310": Storage(10, (4, 3), -(2**9)),
    "311": Storage(10, (4, 3), -(2**9)),
    "508": Storage(8, None, -(2**7)),
    "516": Storage(16, None, -(2**15)),
    "524": Storage(24, None, -(2**23)),
}
_FLAC_HEADER = 42  # bytes up to the end of the STREAMINFO block
_FLAC_BEST = 8192  # samples that a byte of FLAC can stand for: a block of 65,535 equal ones takes some 10 bytes
_CHUNK = 1 << 20
_ROWS = 1 << 14


def frames_in(path: Path, lines: Sequence[SignalLine], size: int) -> int:
    """How many frames a signal file of `size` bytes holds, by this or, compressed, by its own header."""
    width = sum(line.per_frame for line in lines)
    group = FORMATS[lines[0].format].group
    if group is not None:
        rest = max(0, size - lines[0].byte_offset)
        # The last group need not be whole: a sample needs as many bytes as its bits reach into.
        behind = rest % group[0]
        samples = rest // group[0] * group[1] + behind * group[1] // group[0]
        return samples // width
    with path.open("rb") as file:
        head = file.read(_FLAC_HEADER)
    if len(head) < _FLAC_HEADER or not head.startswith(b"fLaC"):
        raise UnreadableError("damaged signal file: it is no FLAC stream, as its storage format says")
    total = int.from_bytes(head[18:26], "big") & (2**36 - 1)
    return min(total, size * _FLAC_BEST) // lines[0].per_frame


def bytes_of(lines: Sequence[SignalLine], frames: int) -> int | None:
    """The size of a signal file that holds so many frames; None where it is compressed."""
    group = FORMATS[lines[0].format].group
    width = sum(line.per_frame for line in lines)
    return None if group is None else lines[0].byte_offset + -(-frames * width * group[0] // group[1])


def in_pieces(lines: Sequence[SignalLine]) -> bool:
    """Whether frames can be read without those before them, and no signal is moved against the others."""
    return all(FORMATS[line.format].group is not None and line.format != "8" and not line.skew for line in lines)


def stored(path: Path, lines: Sequence[SignalLine], frames: int, first: int = 0) -> list[NDArray[Any]]:
    """Read a signal file, from the frame `first` on; an UnreadableError where it is damaged.

    Returns:
        Of each signal (frames x samples a frame,) as stored: skew is not taken out.
    """
    table = _table(path, lines, frames, first)
    ends = np.cumsum([line.per_frame for line in lines])
    signals = [table[:, end - line.per_frame : end].reshape(-1) for line, end in zip(lines, ends, strict=True)]
    if lines[0].format != "8":
        return signals
    # Format 8 holds the steps from one sample to the next.
    return [
        (line.initial + np.cumsum(steps, dtype=np.int64)).astype(np.int32)
        for line, steps in zip(lines, signals, strict=True)
    ]


def sums(path: Path, lines: Sequence[SignalLine], frames: int) -> list[int]:
    """Sums of the samples of each signal as stored, as the checksums of headers are."""
    if lines[0].format == "8":
        return [int(samples.sum(dtype=np.int64)) for samples in stored(path, lines, frames)]
    columns = np.zeros(sum(line.per_frame for line in lines), dtype=np.int64)
    at_once = _ROWS if in_pieces(lines) else max(1, frames)
    for start in range(0, frames, at_once):
        # A product with ones takes a fifth of the time of a sum of integers, and is exact below 2**53.
        part = _table(path, lines, min(at_once, frames - start), start).astype(np.float64)
        columns += (np.ones(len(part)) @ part).astype(np.int64)
    begins = np.cumsum([0, *(line.per_frame for line in lines[:-1])])
    found: list[int] = np.add.reduceat(columns, begins).tolist()
    return found


def aligned(samples: NDArray[Any], line: SignalLine) -> NDArray[Any]:
    """Take out the skew of a signal.

    As many samples stay; the last, which would lie behind the end, are invalid, or 0 without such a value.
    """
    skew = min(line.skew * line.per_frame, len(samples))
    return np.pad(samples[skew:], (0, skew), constant_values=FORMATS[line.format].invalid or 0) if skew else samples


def _table(path: Path, lines: Sequence[SignalLine], frames: int, first: int = 0) -> NDArray[Any]:
    """(frames, samples of a frame) as the file has them, from the frame `first` on."""
    storage, width = FORMATS[lines[0].format], sum(line.per_frame for line in lines)
    if storage.group is None:
        return _flac(path, lines, frames).reshape(frames, width)
    # Samples are packed in groups: what stands in the first one before the first frame is read, too.
    groups, before = divmod(first * width, storage.group[1])
    size = -(-(before + frames * width) // storage.group[1]) * storage.group[0]
    with path.open("rb") as file:
        file.seek(lines[0].byte_offset + groups * storage.group[0])
        raw = np.frombuffer(file.read(size), dtype=np.uint8)
    raw = raw if len(raw) == size else np.pad(raw, (0, size - len(raw)))
    return _unpacked(raw, lines[0].format)[before : before + frames * width].reshape(frames, width)


def _unpacked(raw: NDArray[np.uint8], form: str) -> NDArray[Any]:
    """Samples in the order of the file, from whole groups of bytes."""
    if form in ("16", "61", "32"):
        return raw.view({"16": "<i2", "61": ">i2", "32": "<i4"}[form]).astype(FORMATS[form].dtype, copy=False)
    if form == "8":
        return raw.view(np.int8)
    if form == "80":
        return raw.astype(np.int16) - 2**7
    if form == "160":
        return (raw.view("<u2").astype(np.int32) - 2**15).astype(np.int16)
    if form == "24":
        parts = raw.reshape(-1, 3).astype(np.int32)
        return parts[:, 0] | parts[:, 1] << 8 | (parts[:, 2] ^ 0x80) - 0x80 << 16
    if form == "212":
        a, b, c = raw.reshape(-1, 3).astype(np.int16).T
        pairs = np.stack([a | (b & 0xF) << 8, c | (b >> 4) << 8], axis=1).reshape(-1)
        return (pairs ^ 0x800) - 0x800
    words = raw.view("<u4")
    if form == "311":
        triples = [words, words >> 10, words >> 20]
    else:
        triples = [words >> 1, words >> 17, (words >> 11 & 0x1F) | (words >> 27) << 5]
    tens = np.stack([(one & 0x3FF).astype(np.int16) for one in triples], axis=1).reshape(-1)
    return (tens ^ 0x200) - 0x200


def _flac(path: Path, lines: Sequence[SignalLine], frames: int) -> NDArray[Any]:
    import soundfile

    per_frame, bits = lines[0].per_frame, FORMATS[lines[0].format].bits
    if len({line.per_frame for line in lines}) > 1:
        raise UnreadableError("damaged WFDB header: signals of several sampling rates in one FLAC file")
    try:
        with soundfile.SoundFile(path) as file:
            found = {"PCM_S8": 8, "PCM_16": 16, "PCM_24": 24}.get(file.subtype, 99)
            if file.channels != len(lines) or found > bits:
                raise UnreadableError("damaged WFDB header: the FLAC file holds other signals than it says")
            file.seek(lines[0].byte_offset)
            # soundfile knows no 8 and 24 bits: it hands them over shifted to the top of 16 and 32.
            dtype, shift = ("int32", 8) if found == 24 else ("int16", 8 * (found == 8))
            data = np.empty((frames * per_frame, len(lines)), dtype=dtype)
            done = 0
            # libsndfile fails on very large blocks.
            while done < len(data):
                read = len(file.read(out=data[done : done + _CHUNK]))
                if not read:
                    raise UnreadableError("truncated signal file: its FLAC stream ends before its header says")
                done += read
    except (RuntimeError, soundfile.SoundFileError) as error:
        raise UnreadableError("damaged signal file: its FLAC stream cannot be decoded") from error
    data >>= shift
    return data.reshape(frames, per_frame, len(lines)).transpose(0, 2, 1).reshape(-1)
