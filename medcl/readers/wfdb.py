"""WFDB records: a text header `x.hea` with its signal files, or with segments that are records themselves."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medcl.errors import UnreadableError, reason
from medcl.readers.channel_choice import Channel, calibration_problem, choose
from medcl.readers.channel_groups import grouped, signal_of
from medcl.readers.channel_names import listed
from medcl.readers.signal import WRONG_CHECKSUM, IncompleteError, Signal, SignalHeader, modality_of
from medcl.readers.stated import Stated
from medcl.readers.wfdb_header import NOTHING, Header, Line, parse
from medcl.readers.wfdb_samples import FORMATS, aligned, bytes_of, frames_in, stored

QUICK = 1 << 20
"""Bytes of signal files whose checksums a scan looks at; larger ones are held against theirs when they are decoded."""


def read_header(path: Path, stated: Stated | None = None, verify: bool = False) -> SignalHeader:
    """Read the header of a record.

    Where it is silent the defaults of the format hold: 250 Hz, 200 values a unit, mV.

    Args:
        path: x.hea. A record of several segments (`x/3`) is read with the headers of its segments.
        stated: by the user: the unit of signals that state none, in the place of mV.
        verify: hold the samples against the checksums however many there are; otherwise only those of a small file.

    Returns:
        The header. Several samples a frame make a higher sampling rate.

    Raises:
        UnreadableError: it cannot be understood, or no signal of it can be used.
        IncompleteError: a signal file is missing or too short.
    """
    header = parse(path, (stated or Stated()).unit)
    if header.segments:
        from medcl.readers.wfdb_segments import read_segments

        return read_segments(path, header, (stated or Stated()).unit, verify).header
    frames, files = check_files(path, header.signals, header.frames)
    channels = channels_of(header)
    choice = choose(channels)
    kept = [channels[i] for i in choice.kept]
    names = tuple(channel.name for channel in kept)
    size = sum(path.with_name(name).stat().st_size for name in files[1:])
    looked = verify or size <= QUICK
    wrong = wrong_checksums(header.signals, read_stored(path, header.signals, frames)) if looked else []
    return SignalHeader(
        modality=modality_of(names, "ecg"),
        format="wfdb",
        sampling_rate=kept[0].rate,
        n_samples=frames * header.signals[choice.kept[0]].per_frame,
        channels=names,
        units=tuple(channel.unit for channel in kept),
        ids={},
        files=files,
        flags=(*choice.flags, *flags_of(header.signals, wrong)),
    )


def read_signal(path: Path, stated: Stated | None = None) -> Signal:
    """Read a record.

    Args:
        path: x.hea.
        stated: as `read_header`.

    Returns:
        Digital values, int16 where the storage format has at most 16 bits, else int32. Physical values (float32, NaN
        in gaps) where segments are joined, whose gains may differ, or where signals mark missing samples differently.
        A checksum that is not that of the samples is a flag.

    Raises:
        UnreadableError: as `read_header`.
    """
    header = parse(path, (stated or Stated()).unit)
    if header.segments:
        from medcl.readers.wfdb_segments import read_segments

        return read_segments(path, header, (stated or Stated()).unit).signal()
    frames, _ = check_files(path, header.signals, header.frames)
    channels = channels_of(header)
    choice = choose(channels)
    modality = modality_of([channels[i].name for i in choice.kept], "ecg")
    samples = read_stored(path, header.signals, frames)
    flags = (*choice.flags, *flags_of(header.signals, wrong_checksums(header.signals, samples)))

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

    return grouped(channels, choice, group, flags)


def channels_of(header: Header) -> list[Channel]:
    """The channels of a record that is not divided."""
    return [Channel(line.name, line.unit, header.rate * line.per_frame, _problem(line)) for line in header.signals]


def physical(samples: NDArray[Any], line: Line) -> NDArray[np.float32]:
    """Samples of a signal in its unit, NaN where there is no value."""
    values = ((samples - float(line.baseline)) / line.gain).astype(np.float32)
    invalid = FORMATS[line.format].invalid
    if invalid is not None:
        values[samples == invalid] = np.nan
    return values


def check_files(path: Path, lines: Sequence[Line], frames: int | None) -> tuple[int, tuple[str, ...]]:
    """Hold the signal files against the header.

    Args:
        path: of the header.
        lines: of its signals.
        frames: that it states.

    Returns:
        The frames, from the files where the header is silent; and the files of the record, the header first.

    Raises:
        IncompleteError: a file is missing, too short, or of no known format. Files that are not there are not among
            its own: their names are text of the header.
    """
    groups = by_file(lines)
    files = (path.name, *(name for name in groups if path.with_name(name).exists()))
    found = frames
    for number, (name, own) in enumerate(groups.items(), 1):
        called = _shown(name, path) or f"the signal file number {number}"
        unknown = sorted({line.format for line in own} - FORMATS.keys())
        if unknown:
            raise IncompleteError(f"unknown storage format: {', '.join(unknown)} of {called}", files)
        if len({(line.format, line.byte_offset) for line in own}) > 1:
            raise IncompleteError(f"damaged WFDB header: several storage formats or offsets in {called}", files)
        try:
            there = frames_in(path.with_name(name), own)
            size = path.with_name(name).stat().st_size
        except FileNotFoundError as error:
            raise IncompleteError(f"missing signal file: {called}", files) from error
        except (OSError, UnreadableError) as error:
            raise IncompleteError(reason(error), files) from error
        found = there if frames is None else frames
        if there < found or not size:
            expected = bytes_of(own, found)
            says = (
                f"{there} frames, the header says {found}"
                if expected is None
                else (f"{size} bytes, the header says {expected}")
            )
            raise IncompleteError(f"truncated signal file: {called} has {says if size else 'no bytes'}", files)
        frames = found
    return found or 0, files


def _shown(name: str, path: Path) -> str:
    """A file name of a header as a reason may quote it: only the header's own, since any other may be a person's."""
    return name if re.fullmatch(rf"{re.escape(path.stem)}([-_]?\d*)?\.\w{{1,4}}", name) else ""


def by_file(lines: Sequence[Line]) -> dict[str, list[Line]]:
    """The signals of each signal file; those without one are of none."""
    groups: dict[str, list[Line]] = {}
    for line in lines:
        if line.file != NOTHING:
            groups.setdefault(line.file, []).append(line)
    return groups


def read_stored(path: Path, lines: Sequence[Line], frames: int) -> dict[int, NDArray[Any]]:
    """Samples as stored, before skew is taken out, by the number of the signal.

    Raises:
        UnreadableError: a file cannot be decoded.
    """
    found: dict[int, NDArray[Any]] = {}
    for name, own in by_file(lines).items():
        numbers = [number for number, line in enumerate(lines) if line.file == name]
        found |= dict(zip(numbers, stored(path.with_name(name), own, frames), strict=True))
    return found


def wrong_checksums(lines: Sequence[Line], samples: Mapping[int, NDArray[Any]]) -> list[str]:
    """Names of the signals whose samples, as stored, are not those that the header has the sum of."""
    return [
        lines[number].name
        for number, own in samples.items()
        if (checksum := lines[number].checksum) is not None and (int(own.sum(dtype=np.int64)) - checksum) % 2**16
    ]


def flags_of(lines: Sequence[Line], wrong: Sequence[str]) -> tuple[str, ...]:
    """What is unusual about the signals of a header."""
    flags = [f"{WRONG_CHECKSUM}: {listed(wrong)}"] if wrong else []
    raw = [line.name for line in lines if not line.calibrated and line.file != NOTHING]
    if raw:
        flags.append(f"no gain stated, 200 values a unit as the format has it: {listed(raw)}")
    return tuple(flags)


def _problem(line: Line) -> str:
    if line.file == NOTHING or line.format == "0":
        return "no samples"
    return calibration_problem(line.unit, 1 / line.gain)
