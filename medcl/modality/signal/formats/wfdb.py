"""WFDB records: a text header `x.hea` with its signal files, or with segments that are records themselves."""

import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medcl.errors import UnreadableError
from medcl.modality.content import IncompleteError
from medcl.modality.signal.channels import listed
from medcl.modality.signal.config import Stated
from medcl.modality.signal.formats.channel_choice import (
    Channel,
    calibration_problem,
    choose,
    grouped,
    header_of,
    signal_of,
)
from medcl.modality.signal.formats.wfdb_header import NOTHING, SignalLine, WfdbHeader, parse
from medcl.modality.signal.formats.wfdb_samples import FORMATS, aligned, bytes_of, frames_in, in_pieces, stored, sums
from medcl.modality.signal.record import WRONG_CHECKSUM, Pieces, Signal, SignalHeader, modality_of

QUICK = 1 << 17
"""Bytes of signal files whose checksums a scan looks at; larger ones are held against theirs when they are decoded."""


def read_header(path: Path, stated: Stated | None = None, verify: bool = False) -> SignalHeader:
    """Read the header of a record; one of several segments (`x/3`) is read with the headers of its segments.

    Where it is silent the defaults of the format hold: 250 Hz, 200 values a unit, and mV, unless the user states a
    unit. Several samples a frame make a higher sampling rate. Checksums of large files are looked at with `verify`.

    Raises:
        UnreadableError: it cannot be understood, or no signal of it can be used.
        IncompleteError: a signal file is missing or too short.
    """
    header = parse(path, (stated or Stated()).unit)
    if header.segments:
        from medcl.modality.signal.formats.wfdb_segments import read_segments

        return read_segments(path, header, (stated or Stated()).unit, verify).header
    frames, files, size = check_files(path, header.signals, header.frames)
    channels = channels_of(header)
    choice = choose(channels)
    wrong = wrong_checksums(path, header.signals, frames) if verify or size <= QUICK else []
    flags, n_samples = flags_of(header.signals, wrong), frames * header.signals[choice.kept[0]].per_frame
    return header_of(path, "wfdb", channels, choice, n_samples, "ecg", (*choice.flags, *flags), files=files)


def read_signal(path: Path, stated: Stated | None = None) -> Signal:
    """Read a record; errors as of `read_header`. A checksum that is not that of the samples is a flag.

    Returns:
        Digital values, int16 where the storage format has at most 16 bits, else int32. Physical values (float32, NaN
        in gaps) where segments are joined, whose gains may differ, or where signals mark missing samples differently.
    """
    header = parse(path, (stated or Stated()).unit)
    if header.segments:
        from medcl.modality.signal.formats.wfdb_segments import read_segments

        return read_segments(path, header, (stated or Stated()).unit).signal()
    return _signal(path, header)


@contextmanager
def pieces(path: Path, stated: Stated | None = None) -> Iterator[Pieces | None]:
    """Open a record to be read a piece at a time; None where it has segments or skew, or is compressed.

    Checksums are not compared.
    """
    header = parse(path, (stated or Stated()).unit)
    able = not header.segments and in_pieces(header.signals)
    yield Pieces((0,), lambda first, last: _signal(path, header, (first, last))) if able else None


def _signal(path: Path, header: WfdbHeader, span: tuple[int, int] | None = None) -> Signal:
    frames, _, _ = check_files(path, header.signals, header.frames)
    channels = channels_of(header)
    choice = choose(channels)
    modality = modality_of([channels[i].name for i in choice.kept], "ecg")
    per_frame = header.signals[choice.kept[0]].per_frame
    first, last = (0, frames) if span is None else (span[0] // per_frame, -(-span[1] // per_frame))
    samples = read_stored(path, header.signals, last - first, first)
    wrong = wrong_checksums(path, header.signals, frames) if span is None else []
    flags = (*choice.flags, *flags_of(header.signals, wrong))

    def group(chosen: Sequence[int]) -> Signal:
        lines = [header.signals[i] for i in chosen]
        rows = [aligned(samples[i], header.signals[i]) for i in chosen]
        own = [channels[i] for i in chosen]
        markers = {FORMATS[line.format].invalid for line in lines}
        if len(markers) > 1:
            values = np.stack([physical(row, line) for row, line in zip(rows, lines, strict=True)])
            return signal_of(values, own, modality)
        gain, offset = (np.array([getattr(line, name) for line in lines], float) for name in ("gain", "baseline"))
        return signal_of(np.stack(rows), own, modality, gain, offset, invalid=markers.pop())

    found = grouped(channels, choice, group, flags)
    return found if span is None else found.part(span[0] - first * per_frame, span[1] - first * per_frame)


def channels_of(header: WfdbHeader) -> list[Channel]:
    """The channels of a record that is not divided."""
    return [Channel(line.name, line.unit, header.rate * line.per_frame, _problem(line)) for line in header.signals]


def physical(samples: NDArray[Any], line: SignalLine) -> NDArray[np.float32]:
    """Samples of a signal in its unit, NaN where there is no value."""
    values = ((samples - float(line.baseline)) / line.gain).astype(np.float32)
    invalid = FORMATS[line.format].invalid
    if invalid is not None:
        values[samples == invalid] = np.nan
    return values


def check_files(path: Path, lines: Sequence[SignalLine], frames: int | None) -> tuple[int, tuple[str, ...], int]:
    """Hold the signal files against the header.

    Returns:
        The frames, from the files where the header is silent; the files of the record, the header first; and the bytes
        of its signal files.

    Raises:
        IncompleteError: a file is missing, too short, or of no known format. Files that are not there are not among
            its own: their names are text of the header.
    """
    groups = by_file(lines)
    sizes = {name: _size(path.with_name(name)) for name in groups}
    files = (path.name, *(name for name, size in sizes.items() if size is not None))
    found = frames
    for number, (name, own) in enumerate(groups.items(), 1):
        size, problem = sizes[name], None
        unknown = sorted({line.format for line in own} - FORMATS.keys())
        if unknown:
            problem = f"unknown storage format: {', '.join(unknown)} of {{}}"
        elif len({(line.format, line.byte_offset) for line in own}) > 1:
            problem = "damaged WFDB header: several storage formats or offsets in {}"
        elif size is None:
            problem = "missing signal file: {}"
        else:
            try:
                there = frames_in(path.with_name(name), own, size)
            except UnreadableError as error:
                raise IncompleteError(str(error), files) from error
            found = there if found is None else found
            if there < found or not size:
                expected = bytes_of(own, found)
                problem = f"truncated signal file: {{}} has {size} bytes, the header says {expected}"
                if expected is None:
                    problem = f"truncated signal file: {{}} has {there} frames, the header says {found}"
        if problem is not None:
            called = _shown(name, path) or f"the signal file number {number}"
            raise IncompleteError(problem.format(called), files)
    return found or 0, files, sum(size or 0 for size in sizes.values())


def _size(path: Path) -> int | None:
    """Bytes of a file; None where there is no regular one."""
    try:
        about = path.stat()
    except OSError:
        return None
    return about.st_size if stat.S_ISREG(about.st_mode) else None


def _shown(name: str, path: Path) -> str:
    """A file name of a header as a reason may quote it: only the header's own, since any other may be a person's."""
    return name if re.fullmatch(rf"{re.escape(path.stem)}([-_]?\d*)?\.\w{{1,4}}", name) else ""


def by_file(lines: Sequence[SignalLine]) -> dict[str, list[SignalLine]]:
    """The signals of each signal file; those without one are of none."""
    groups: dict[str, list[SignalLine]] = {}
    for line in lines:
        if line.file != NOTHING:
            groups.setdefault(line.file, []).append(line)
    return groups


def read_stored(path: Path, lines: Sequence[SignalLine], frames: int, first: int = 0) -> dict[int, NDArray[Any]]:
    """Samples as stored from the frame `first` on, before skew is taken out, by the number of the signal."""
    found: dict[int, NDArray[Any]] = {}
    for name, own in by_file(lines).items():
        numbers = [number for number, line in enumerate(lines) if line.file == name]
        found |= dict(zip(numbers, stored(path.with_name(name), own, frames, first), strict=True))
    return found


def wrong_checksums(path: Path, lines: Sequence[SignalLine], frames: int) -> list[str]:
    """Names of the signals whose samples, before skew is taken out, are not those that the header has the sum of."""
    wrong = []
    for name, own in by_file(lines).items():
        if any(line.checksum is not None for line in own):
            found = zip(own, sums(path.with_name(name), own, frames), strict=True)
            wrong += [
                line.name for line, total in found if line.checksum is not None and (total - line.checksum) % 2**16
            ]
    return wrong


def flags_of(lines: Sequence[SignalLine], wrong: Sequence[str]) -> tuple[str, ...]:
    """What is unusual about the signals of a header."""
    flags = [f"{WRONG_CHECKSUM}: {listed(wrong)}"] if wrong else []
    raw = [line.name for line in lines if not line.calibrated and line.file != NOTHING]
    if raw:
        flags.append(f"no gain stated, 200 values a unit as the format has it: {listed(raw)}")
    return tuple(flags)


def _problem(line: SignalLine) -> str:
    if line.file == NOTHING or line.format == "0":
        return "no samples"
    return calibration_problem(line.unit, 1 / line.gain)
