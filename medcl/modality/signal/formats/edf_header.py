"""The headers of EDF, EDF+ and BDF: text in fixed columns, as recorders write it."""

import contextlib
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medcl.errors import UnreadableError, quoted
from medcl.modality.signal.channels import canonical_unit, numbered, without_person
from medcl.modality.signal.formats.channel_choice import (
    Channel,
    calibration_problem,
)
from medcl.modality.signal.record import CUT

FIXED = 256  # bytes of the header, and as many again for each signal
_COLUMNS = (
    *(("label", 16), ("transducer", 80), ("unit", 8), ("physical_low", 8), ("physical_high", 8)),
    *(("digital_low", 8), ("digital_high", 8), ("filters", 80), ("samples", 8), ("reserved", 32)),
)
_LONGEST = 1e6  # seconds of a data record


@dataclass(frozen=True)
class EdfHeader:
    """What a file states, and what its size allows.

    Args:
        width: bytes of a sample: 2 of EDF, 3 of BDF.
        start: first byte of the data.
        records: whole data records of the file.
        duration: seconds of a data record.
        samples: (signals,) in a data record, annotations too.
        channels: of the signals; None stands for annotations.
        gain: (signals,) digital values a unit.
        offset: (signals,) digital value of zero.
        discontinuous: whether it is an EDF+D or BDF+D, whose data records need not follow one another.
        patient: field of the patient's identification.
        flags: what is unusual, in words.
    """

    width: int
    start: int
    records: int
    duration: float
    samples: tuple[int, ...]
    channels: tuple[Channel | None, ...]
    gain: NDArray[np.float64]
    offset: NDArray[np.float64]
    discontinuous: bool
    patient: str
    flags: tuple[str, ...]

    @property
    def begins(self) -> NDArray[np.int64]:
        """(signals + 1,) first sample of each signal in a data record."""
        return np.asarray(np.cumsum([0, *self.samples]), dtype=np.int64)


def parse(path: Path, unit: str = "") -> EdfHeader:
    """Read a header; `unit` is that of signals that state none.

    Decimal commas, bytes of zero in the place of spaces, and a header length that is not that of its signals are
    understood; what is not, or a file that holds less than it says, is an UnreadableError.
    """
    with path.open("rb") as file:
        fixed = file.read(FIXED)
        count = _whole(fixed[252:256], "the number of signals")
        size = file.seek(0, 2)
        # A number of four characters may be 1e99: nothing is read before the file is known to hold it.
        if size < FIXED * (count + 1):
            raise UnreadableError("truncated file: it ends within its header")
        file.seek(FIXED)
        table = file.read(FIXED * count)
    is_bdf = fixed.startswith(b"\xff")
    reserved = _text(fixed[192:236])
    fields = _fields(table, count)
    labels = [_text(one) for one in fields["label"]]
    notes = [label in ("EDF Annotations", "BDF Annotations") for label in labels]
    if all(notes):
        raise UnreadableError("no signal: the file holds annotations alone" if notes else "no signal: it states none")
    duration = number(fixed[244:252], "the duration of a data record")
    if not 0 < duration <= _LONGEST:
        raise UnreadableError("unknown sampling rate: the header states data records of no duration")
    samples = tuple(_whole(one, "the number of samples in a data record") for one in fields["samples"])
    promised = _whole(fixed[236:244], "the number of data records", lowest=-1)
    width = 3 if is_bdf else 2
    start, records, flags = _extent(fixed[184:192], promised, size, FIXED * (count + 1), sum(samples) * width)
    ranges = np.array([[_limit(one) for one in fields[name]] for name, _ in _COLUMNS[3:7]])
    physical, digital = ranges[1] - ranges[0], ranges[3] - ranges[2]
    with np.errstate(all="ignore"):
        gain = digital / physical
        offset = ranges[3] - ranges[1] * gain
    patient = _text(fixed[8:88])
    shown = without_person(labels, patient)
    names = iter(numbered([one or "unnamed" for one, note in zip(shown, notes, strict=True) if not note]))
    said = [_text(one) for one in fields["unit"]]
    units = [one if one == safe else "" for one, safe in zip(said, without_person(said, patient), strict=True)]
    channels = [
        None if note else _channel(next(names), units[i], unit, samples[i] / duration, physical[i], digital[i])
        for i, note in enumerate(notes)
    ]
    discontinuous = reserved.startswith(("EDF+D", "BDF+D"))
    return EdfHeader(
        width, start, records, duration, samples, tuple(channels), gain, offset, discontinuous, patient, flags
    )


def number(content: bytes, what: str) -> float:
    """A number of a header, with a point or a comma; an UnreadableError where it is none."""
    text = _text(content).replace(",", ".")
    if not re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d{1,3})?", text):
        raise UnreadableError(f"damaged header: {what} is {quoted(text)}")
    return float(text)


def _whole(content: bytes, what: str, lowest: int = 0) -> int:
    value = number(content, what)
    if not value.is_integer() or value < lowest:
        raise UnreadableError(f"damaged header: {what} is {quoted(_text(content))}")
    return int(value)


def _limit(content: bytes) -> float:
    """A limit of a range; what is no number makes its channel one without calibration."""
    try:
        return number(content, "")
    except UnreadableError:
        return float("nan")


def _text(content: bytes) -> str:
    content = content.split(b"\0")[0] if content.strip(b"\0 ") else b""
    try:
        return content.decode("utf-8").strip()
    except UnicodeDecodeError:
        return content.decode("latin-1").strip()


def _fields(table: bytes, count: int) -> dict[str, list[bytes]]:
    fields, at = {}, 0
    for name, width in _COLUMNS:
        fields[name] = [table[at + i * width : at + (i + 1) * width] for i in range(count)]
        at += count * width
    return fields


def _channel(name: str, stated: str, unit: str, rate: float, physical: float, digital: float) -> Channel:
    own = canonical_unit(stated) or unit
    problem = calibration_problem(own, physical / digital if digital else 0.0) if rate else "no samples"
    return Channel(name, own, rate, problem)


def _extent(length: bytes, promised: int, size: int, expected: int, frame: int) -> tuple[int, int, tuple[str, ...]]:
    """Where the data begin, how many whole data records there are, and what is unusual about them."""
    if not frame:
        raise UnreadableError("zero length: the header states no samples in a data record")
    if promised == 0:
        raise UnreadableError("zero length: the header states no data records")
    starts = [expected]
    with contextlib.suppress(UnreadableError):
        starts.insert(0, _whole(length, "the length of the header"))
    # The length of the header counts where the file agrees with it; else the number of signals does.
    agree = [start for start in starts if start >= expected and size - start == promised * frame]
    start = agree[0] if agree else expected
    flags = [] if starts[0] == start and len(starts) == 2 else ["header of another length than it states"]
    found, rest = divmod(size - start, frame)
    if promised > found + 1 or found < 1 or (promised == found + 1 and not rest):
        says = "no number" if promised == -1 else str(promised)
        raise UnreadableError(f"truncated file: {found} whole data records after the header, which says {says}")
    if promised == found + 1 or (promised == -1 and rest):
        flags.append(f"{CUT}: it is left out")
    elif promised not in (-1, found):
        # Recorders that were cut off never wrote the number at the end; other bytes behind the data are no records.
        flags.append(f"more data records than the header says: {'not read' if rest else 'read'}")
        found = promised if rest else found
    elif rest:
        flags.append("bytes behind the data records: not read")
    return start, found, tuple(flags)
