"""EDF, EDF+ and BDF: 16- and 24-bit integers in data records behind a header."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medcl.errors import UnreadableError
from medcl.modality.signal.config import Stated
from medcl.modality.signal.formats.channel_choice import Channel, Choice, choose, grouped, header_of, signal_of
from medcl.modality.signal.formats.edf_header import EdfHeader, parse
from medcl.modality.signal.record import Pieces, Signal, SignalHeader, modality_of

_ONSET = re.compile(rb"[+-]\d{1,12}(\.\d{0,12})?(?=[\x14\x15])")
_ONSET_BYTES = 32


def read_header(path: Path, stated: Stated | None = None) -> SignalHeader:
    """Read the header of an EDF or BDF file, whatever its name; the user may state the unit of channels that have none.

    Channels without a unit or calibration, of other sampling rates, markers (such as the status channel of BDF) and
    annotations are no part of the signal. The patient's code is taken as an id, never the name or the birth date that
    stand next to it; the free text of a plain EDF file is an id as a whole.

    Raises:
        UnreadableError: it is damaged, the file holds less than it says, or nothing of it can be used.
    """
    header = parse(path, (stated or Stated()).unit)
    numbers, channels = _channels(header)
    choice = choose(channels)
    form, n_samples = "bdf" if header.width == 3 else "edf", header.records * header.samples[numbers[choice.kept[0]]]
    flags = _flags(header, choice, breaks(path, header))
    return header_of(path, form, channels, choice, n_samples, "eeg", flags, _ids(header.patient))


def read_signal(path: Path, stated: Stated | None = None) -> Signal:
    """Read a recording, digital values as stored: int16, of BDF int32; errors as of `read_header`.

    Data records with a gap between them (EDF+D) begin new stretches.
    """
    header = parse(path, (stated or Stated()).unit)
    return _signal(path, header, breaks(path, header))


@contextmanager
def pieces(path: Path, stated: Stated | None = None) -> Iterator[Pieces]:
    """Open a recording to be read a piece at a time; errors as of `read_header`."""
    header = parse(path, (stated or Stated()).unit)
    numbers, channels = _channels(header)
    per_record = header.samples[numbers[choose(channels).kept[0]]]
    begins = breaks(path, header)
    starts = tuple(int(record) * per_record for record in begins)
    yield Pieces(starts, lambda first, last: _signal(path, header, begins[:1], (first, last)))


def _signal(path: Path, header: EdfHeader, begins: NDArray[np.int64], span: tuple[int, int] | None = None) -> Signal:
    numbers, channels = _channels(header)
    choice = choose(channels)
    modality = modality_of([channels[i].name for i in choice.kept], "eeg")
    table = _table(path, header)
    per_record = header.samples[numbers[choice.kept[0]]]
    first = 0
    if span is not None:
        first = span[0] // per_record
        table = table[first : -(-span[1] // per_record)]

    def group(chosen: Sequence[int]) -> Signal:
        signals = [numbers[i] for i in chosen]
        data = np.stack([_samples(table, header, signal) for signal in signals])
        starts = tuple(int(record) * header.samples[signals[0]] for record in begins)
        own = [channels[i] for i in chosen]
        return signal_of(data, own, modality, header.gain[signals], header.offset[signals], starts=starts)

    found = grouped(channels, choice, group, _flags(header, choice, begins))
    return found if span is None else found.part(span[0] - first * per_record, span[1] - first * per_record)


def _channels(header: EdfHeader) -> tuple[list[int], list[Channel]]:
    """The signals that are no annotations: their numbers in a data record, and what they are."""
    numbers = [number for number, channel in enumerate(header.channels) if channel is not None]
    return numbers, [channel for channel in header.channels if channel is not None]


def _table(path: Path, header: EdfHeader) -> NDArray[Any]:
    """The data records, mapped: (records, samples) of EDF, (records, samples, 3 bytes) of BDF."""
    samples = int(header.begins[-1])
    if header.width == 2:
        return np.memmap(path, "<i2", "r", offset=header.start, shape=(header.records, samples))
    return np.memmap(path, np.uint8, "r", offset=header.start, shape=(header.records, samples, 3))


def _samples(table: NDArray[Any], header: EdfHeader, signal: int) -> NDArray[Any]:
    own = np.array(table[:, header.begins[signal] : header.begins[signal + 1]])
    if header.width == 2:
        return own.reshape(-1)
    low, middle, high = own.reshape(-1, 3).astype(np.int32).T
    return low | (middle << 8) | (((high ^ 0x80) - 0x80) << 16)


def samples_of(path: Path, header: EdfHeader, signal: int) -> NDArray[Any]:
    """The digital values of one signal by its number, (time,)."""
    return _samples(_table(path, header), header, signal)


def breaks(path: Path, header: EdfHeader) -> NDArray[np.int64]:
    """The data records that begin a new stretch, the first always; a file with gaps has to say when each begins."""
    first = np.zeros(1, dtype=np.int64)
    if not header.discontinuous:
        return first
    notes = next((i for i, channel in enumerate(header.channels) if channel is None), None)
    if notes is None:
        raise UnreadableError("a recording with gaps (EDF+D) without annotations, which say when its records begin")
    at, frame = int(header.begins[notes]) * header.width, int(header.begins[-1]) * header.width
    length = min(_ONSET_BYTES, header.samples[notes] * header.width)
    onsets = np.empty(header.records)
    with path.open("rb", buffering=0) as file:
        for record in range(header.records):
            file.seek(header.start + record * frame + at)
            match = _ONSET.match(file.read(length))
            onsets[record] = np.nan if match is None else float(match[0])
    rate = max(header.samples) / header.duration
    # Onsets are rounded; a step that is not known is one across which nothing may be read.
    follows = np.abs(np.diff(onsets) - header.duration) <= max(0.5 / rate, 1e-3)
    return np.concatenate([first, np.flatnonzero(~follows) + 1])


def _flags(header: EdfHeader, choice: Choice, breaks: NDArray[np.int64]) -> tuple[str, ...]:
    gaps = (f"gaps in time: {len(breaks) - 1}",) if len(breaks) > 1 else ()
    return (*choice.flags, *header.flags, *gaps)


def _ids(field: str) -> dict[str, str]:
    """The patient field of EDF+ is `code sex birthdate name`; that of a plain EDF file is any text."""
    parts = field.split()
    follows_plus = len(parts) >= 4 and parts[1] in ("M", "F", "X") and re.fullmatch(r"X|\d\d-\w{3}-\d{4}", parts[2])
    patient = parts[0] if follows_plus else " ".join(parts)
    return {"patient": patient}
