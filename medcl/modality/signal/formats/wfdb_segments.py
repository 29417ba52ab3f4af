"""WFDB records of several segments, each a record of its own, joined in time."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medcl.errors import UnreadableError
from medcl.modality.content import IncompleteError
from medcl.modality.signal.formats.channel_choice import (
    Channel,
    Choice,
    calibration_problem,
    choose,
    grouped,
    header_of,
    signal_of,
)
from medcl.modality.signal.formats.wfdb import (
    QUICK,
    check_files,
    flags_of,
    physical,
    read_stored,
    wrong_checksums,
)
from medcl.modality.signal.formats.wfdb_header import NOTHING, SignalLine, WfdbHeader, parse
from medcl.modality.signal.formats.wfdb_samples import aligned
from medcl.modality.signal.record import WRONG_CHECKSUM, Signal, SignalHeader

_FREE, _MOST = 1 << 26, 1000
"""Bytes that a joined record may always take; and how many times the bytes of its signal files beyond that. A record of
a few bytes can state a gap of years, which would fill the memory; monitors that run for weeks stay far below."""


@dataclass(frozen=True)
class _Part:
    """A segment: its header file, what it states, its first frame in the record and its length."""

    path: Path
    lines: tuple[SignalLine, ...]
    start: int
    frames: int


@dataclass(frozen=True)
class Joined:
    """A record of segments.

    Args:
        header: of the whole.
        channels: of all segments.
        choice: which of them are the signal.
        per_frame: samples a frame, of each channel.
        parts: the segments that hold something.
        frames: of the whole.
    """

    header: SignalHeader
    channels: tuple[Channel, ...]
    choice: Choice
    per_frame: tuple[int, ...]
    parts: tuple[_Part, ...]
    frames: int

    def signal(self) -> Signal:
        """The segments one behind the other: float32, NaN where nothing or not this signal was recorded."""
        rows = {
            i: np.full(self.frames * self.per_frame[i], np.nan, dtype=np.float32)
            for i in (*self.choice.kept, *self.choice.aside)
        }
        place = {channel.name: i for i, channel in enumerate(self.channels)}
        flags: list[str] = [flag for flag in self.header.flags if not flag.startswith(WRONG_CHECKSUM)]
        wrong: list[str] = []
        for part in self.parts:
            samples = read_stored(part.path, part.lines, part.frames)
            wrong += wrong_checksums(part.path, part.lines, part.frames)
            for number, stored in samples.items():
                i = place[part.lines[number].name]
                if i in rows:
                    own = physical(aligned(stored, part.lines[number]), part.lines[number])
                    rows[i][part.start * self.per_frame[i] :][: len(own)] = own

        def group(chosen: Sequence[int]) -> Signal:
            data: NDArray[Any] = np.stack([rows.pop(i) for i in chosen])
            return signal_of(data, [self.channels[i] for i in chosen], self.header.modality)

        flags += flags_of((), list(dict.fromkeys(wrong)))
        return grouped(self.channels, self.choice, group, flags)


def read_segments(path: Path, header: WfdbHeader, unit: str = "", verify: bool = False) -> Joined:
    """Read the headers of all segments; of a record of variable layout, the first names all signals.

    `unit` is that of signals that state none, in the place of mV; `verify` as of `wfdb.read_header`.

    Raises:
        UnreadableError: it states more than its files can hold, or nothing of it can be used.
        IncompleteError: a segment is missing, or is not what the record says.
    """
    names = [name for name, _ in header.segments if name != NOTHING]
    if len(set(names)) < len(names):
        raise UnreadableError("damaged WFDB header: it has one segment twice")
    files = [path.name, *(f"{name}.hea" for name in names if os.path.isfile(path.with_name(f"{name}.hea")))]
    variable = bool(header.segments) and not header.segments[0][1]
    units: dict[str, tuple[str, int, str]] = {}
    layout: tuple[str, ...] = ()
    parts: list[_Part] = []
    start = size = 0
    problem = ""
    for number, (name, length) in enumerate(header.segments, 1):
        if name == NOTHING:
            start += length
            continue
        try:
            part = _segment(path, name, number, header, unit)
            own = tuple(line.name for line in part.signals)
            layout = layout or own
            if variable and number == 1:
                if len({line.name.split(" #")[0] for line in part.signals}) < len(own):
                    raise UnreadableError("several signals of one name in a variable layout: which is which is unknown")
                units |= {line.name: (line.unit, line.per_frame, "no samples") for line in part.signals}
                continue
            if not set(own) <= set(layout) if variable else own != layout:
                raise UnreadableError(f"damaged WFDB header: segment {number} has other signals than its record")
            one = path.with_name(f"{name}.hea")
            frames, its_files, bytes_of_it = check_files(one, part.signals, part.frames)
            files += its_files[1:]
            if frames != length:
                raise UnreadableError(f"damaged WFDB header: segment {number} is not as long as its record says")
            _merge(units, part.signals, number)
            parts.append(_Part(one, part.signals, start, frames))
            size += bytes_of_it
        except IncompleteError as error:
            files += error.files[1:]
            problem = problem or str(error)
        except UnreadableError as error:
            problem = problem or str(error)
        if problem:
            break
        start += length
    every = tuple(dict.fromkeys(files))
    if not problem and (header.frames or 0) > start:
        problem = f"damaged WFDB header: it states {header.frames} frames, its segments have {start}"
    width = sum(per_frame for _, per_frame, _ in units.values())
    if not problem and 4 * width * start > max(_FREE, _MOST * size):
        problem = f"damaged WFDB header: it states {start} frames, of which its files of {size} bytes hold next to none"
    if problem:
        raise IncompleteError(problem, every)
    channels = tuple(
        Channel(name, own_unit, header.rate * per_frame, what) for name, (own_unit, per_frame, what) in units.items()
    )
    choice = choose(channels)
    per_frame = tuple(per_frame for _, per_frame, _ in units.values())
    flags = list(choice.flags)
    if verify or size <= QUICK:
        looked = [wrong_checksums(part.path, part.lines, part.frames) for part in parts]
        flags += flags_of((), list(dict.fromkeys(name for wrong in looked for name in wrong)))
    flags += flags_of([line for part in parts for line in part.lines], ())
    n_samples, segments = start * per_frame[choice.kept[0]], tuple(f"{name}.hea" for name in names)
    flags = list(dict.fromkeys(flags))
    stated = header_of(path, "wfdb", channels, choice, n_samples, "ecg", flags, files=every, segments=segments)
    return Joined(stated, channels, choice, per_frame, tuple(parts), start)


def _segment(path: Path, name: str, number: int, header: WfdbHeader, unit: str) -> WfdbHeader:
    """The header of a segment, which has the rate of its record and no segments of its own."""
    one = path.with_name(f"{name}.hea")
    if not os.path.isfile(one):
        # The name is text of the header, and quoted only where it is the record's own with a number behind it.
        own = name.startswith(path.stem) and name[len(path.stem) :].strip("_-").isdigit()
        raise UnreadableError(f"missing segment: {one.name if own else f'number {number}'}")
    part = parse(one, unit)
    if part.segments:
        raise UnreadableError(f"damaged WFDB header: segment {number} has segments of its own")
    if part.rate != header.rate:
        raise UnreadableError("several sampling rates: the segments differ from their record")
    return part


def _merge(units: dict[str, tuple[str, int, str]], lines: Sequence[SignalLine], number: int) -> None:
    """Take the signals of a segment into those of the record."""
    for line in lines:
        if line.file == NOTHING:
            units.setdefault(line.name, (line.unit, line.per_frame, "no samples"))
            continue
        known_unit, per_frame, what = units.get(line.name, ("", 0, "no samples"))
        recorded = what != "no samples"
        if recorded and known_unit != line.unit:
            raise UnreadableError(f"several units: {line.name} changes its unit in segment {number}")
        if per_frame not in (0, line.per_frame):
            raise UnreadableError(f"several sampling rates: {line.name} changes its rate in segment {number}")
        damage = calibration_problem(line.unit, 1 / line.gain)
        units[line.name] = (line.unit, line.per_frame, (what if recorded else "") or damage)
