"""GDF 1 and GDF 2: numbers of several types in data records, with a header of fixed columns."""

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medcl.errors import UnreadableError
from medcl.modality.foreign import foreign, linked
from medcl.modality.signal.channels import canonical_unit, numbered, without_person
from medcl.modality.signal.config import Stated
from medcl.modality.signal.epochs import Events
from medcl.modality.signal.formats.channel_choice import (
    Channel,
    Choice,
    calibration_problem,
    choose,
    grouped,
    header_of,
    physical,
)
from medcl.modality.signal.formats.mne_events import of_raw
from medcl.modality.signal.record import Pieces, Signal, SignalHeader

_FIXED = 256  # bytes of the header, and as many again for each channel
_TYPES = {1: "i1", 2: "u1", 3: "<i2", 4: "<u2", 5: "<i4", 6: "<u4", 7: "<i8", 8: "<u8", 16: "<f4", 17: "<f8"}
_VOLT = 4256  # code of volt in ISO/IEEE 11073-10101; its last five bits are a power of ten
_POWERS = {0: "V", 18: "mV", 19: "uV", 20: "nV"}
_CELSIUS = 6048


@dataclass(frozen=True)
class _Layout:
    """A header, and where its channels are in a data record."""

    header: SignalHeader
    channels: list[Channel]
    choice: Choice
    record: np.dtype[np.void]  # with a field for each channel
    records: int
    start: int  # of the first one, in bytes
    gain: NDArray[np.float64]  # (channels,) physical units a digital one
    offset: NDArray[np.float64]  # (channels,) physical value of digital zero


def read_header(path: Path, stated: Stated | None = None) -> SignalHeader:
    """Read the header of a GDF file, whatever its name.

    Channels of another rate than most, without a unit, and triggers are set aside, with a flag. The patient's code is
    taken as an id, never the name next to it.

    Raises:
        UnreadableError: it is damaged, shorter than it says, or a rate, length, unit or calibration is missing.
    """
    return _layout(path, stated).header


def read_signal(path: Path, stated: Stated | None = None) -> Signal:
    """Read a recording; errors as of `read_header`.

    Returns:
        Physical values, float32: voltages in uV (those of an ECG in mV), others as the file states them.
    """
    return _signal(path, _layout(path, stated))


@contextmanager
def pieces(path: Path, stated: Stated | None = None) -> Iterator[Pieces]:
    """Open a recording to be read a piece at a time; errors as of `read_header`."""
    layout = _layout(path, stated)
    yield Pieces((0,), lambda first, last: _signal(path, layout, (first, last)))


def _signal(path: Path, layout: _Layout, span: tuple[int, int] | None = None) -> Signal:
    every = np.memmap(path, dtype=layout.record, mode="r", offset=layout.start, shape=(layout.records,))
    per_record = layout.record[layout.choice.kept[0]].shape[0]
    first, stop = (0, layout.records) if span is None else (span[0] // per_record, -(-span[1] // per_record))
    records = every[first:stop]

    def make(positions: Sequence[int]) -> Signal:
        values = [records[f"{i}"].reshape(-1) * layout.gain[i] + layout.offset[i] for i in positions]
        return physical(np.stack(values), [layout.channels[i] for i in positions], layout.header.modality)

    found = grouped(layout.channels, layout.choice, make, layout.header.flags)
    return found if span is None else found.part(span[0] - first * per_record, span[1] - first * per_record)


def read_events(path: Path) -> Events:
    """Read the events through mne: the codes of their table (769 is a cue of a movement of the left hand)."""
    import mne

    with linked(path, ".gdf") as source, foreign("mne", "GDF"):
        return Events(of_raw(mne.io.read_raw_gdf(source, preload=False, verbose="ERROR")))


def _layout(path: Path, stated: Stated | None) -> _Layout:
    try:
        return _read(path, stated or Stated())
    except (struct.error, IndexError, ValueError, OverflowError):
        raise UnreadableError("damaged header: it ends early, or a number that it must state is none") from None


def _read(path: Path, stated: Stated) -> _Layout:
    size = path.stat().st_size
    with path.open("rb") as file:
        fixed = file.read(_FIXED)
        newer = float(fixed[4:8]) >= 1.9
        (count,) = struct.unpack_from("<H" if newer else "<I", fixed, 252)
        length = struct.unpack_from("<H", fixed, 184)[0] * 256 if newer else struct.unpack_from("<q", fixed, 184)[0]
        if not _FIXED * (count + 1) <= length <= size:
            raise UnreadableError(f"damaged or truncated header: {size} bytes are too few for {count} channels")
        about = file.read(_FIXED * count)
    (found,), duration = struct.unpack_from("<q", fixed, 236), struct.unpack_from("<II", fixed, 244)
    if 0 in duration:
        raise UnreadableError("unknown sampling rate: the header states data records of no duration")
    column = _Columns(about, count)
    patient = fixed[8:74].decode("latin-1").replace("\0", " ")
    names = [text.decode("latin-1").split("\0")[0].strip() for text in column.texts(0, 16)]
    if newer:
        units = [_unit_of(code) for code in column.numbers(102, "<u2")]
        digital = column.numbers(120, "<f8"), column.numbers(128, "<f8")
    else:
        units = [canonical_unit(text.decode("latin-1").split("\0")[0]) for text in column.texts(96, 8)]
        digital = column.numbers(120, "<i8").astype(np.float64), column.numbers(128, "<i8").astype(np.float64)
    span = column.numbers(104, "<f8"), column.numbers(112, "<f8")
    samples, types = column.numbers(216, "<i4"), column.numbers(220, "<i4")
    if (samples < 0).any() or samples.sum(dtype=np.int64) > size:
        raise UnreadableError("damaged header: data records that are larger than the file")
    if unknown := sorted(set(types.tolist()) - set(_TYPES)):
        raise UnreadableError(f"samples of type {unknown[0]}, which GDF does not define")
    fields = enumerate(zip(types.tolist(), samples.tolist(), strict=True))
    record = np.dtype([(f"{i}", _TYPES[kind], (number,)) for i, (kind, number) in fields])
    whole = (size - length) // record.itemsize if record.itemsize else 0
    if whole < max(found, 1):
        raise UnreadableError(f"truncated file: {whole} whole data records after the header, which says {found}")
    # Of a recording that was not ended, the header says -1.
    records = whole if found < 0 else found
    rates = (samples * (duration[1] / duration[0])).tolist()
    with np.errstate(all="ignore"):
        gains = np.subtract(span[1], span[0]) / np.subtract(digital[1], digital[0])
        zeros = span[0] - digital[0] * gains
    every = [
        Channel(name, unit or stated.unit, rate, calibration_problem(unit or stated.unit, gain))
        for name, unit, rate, gain in zip(numbered(without_person(names, patient)), units, rates, gains, strict=True)
    ]
    choice = choose(every)
    ids, n_samples = _ids(fixed[8 : 74 if newer else 88].decode("latin-1")), records * int(samples[choice.kept[0]])
    header = header_of(path, "gdf", every, choice, n_samples, "eeg", choice.flags, ids)
    return _Layout(header, every, choice, record, records, length, gains, zeros)


@dataclass(frozen=True)
class _Columns:
    """The header of the channels: each field of all channels, then the next field."""

    content: bytes
    count: int

    def numbers(self, place: int, kind: str) -> NDArray[np.number]:
        return np.frombuffer(self.content, kind, self.count, place * self.count)

    def texts(self, place: int, width: int) -> list[bytes]:
        start = place * self.count
        return [self.content[start + i * width : start + (i + 1) * width] for i in range(self.count)]


def _unit_of(code: int) -> str:
    if code & ~31 == _VOLT:
        return _POWERS.get(int(code) & 31, "")
    return "degC" if code == _CELSIUS else ""


def _ids(field: str) -> dict[str, str]:
    """The patient field begins with a code; the name stands behind it."""
    patient = (field.split("\0")[0].split(" ") or [""])[0]
    return {"patient": patient} if patient.strip("Xx_ ") else {}
