"""WFDB records: a text header `x.hea` with its signal files, or with segments that are records themselves."""

from dataclasses import dataclass
from datetime import datetime
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import wfdb
from numpy.typing import NDArray
from wfdb.io import header as grammar

from medcl.errors import UnreadableError
from medcl.readers.signal import IncompleteError, Signal, SignalHeader, canonical_unit, kept_unit, modality_of

# Storage format -> bits of a sample, bytes of a sample in the file (None: compressed), and the value that is no number.
_FORMATS: dict[str, tuple[int, float | None, int | None]] = {
    "8": (32, 1, None),
    "16": (16, 2, -(2**15)),
    "24": (24, 3, -(2**23)),
    "32": (32, 4, -(2**31)),
    "61": (16, 2, -(2**15)),
    "80": (8, 1, -(2**7)),
    "160": (16, 2, -(2**15)),
    "212": (12, 1.5, -(2**11)),
    "310": (10, 4 / 3, -(2**9)),
    "311": (10, 4 / 3, -(2**9)),
    "508": (8, None, -(2**7)),
    "516": (16, None, -(2**15)),
    "524": (24, None, -(2**23)),
}
_NOTHING = "~"  # a segment in which nothing was recorded


@dataclass(frozen=True)
class _Line:
    """One signal of a header."""

    file: str
    format: str
    per_frame: int
    skew: int
    byte_offset: int
    unit: str
    checksum: int | None
    name: str


@dataclass(frozen=True)
class _Header:
    """A header as its text states it; `frames` and `rate` are None where it does not."""

    rate: float | None
    frames: int | None
    signals: tuple[_Line, ...]
    segments: tuple[tuple[str, int], ...]


def read_header(path: Path) -> SignalHeader:
    """Read the header of a record.

    The grammar is wfdb's own (`wfdb.io.header`). `wfdb.rdheader` is not called: it fills in 250 Hz and mV where the
    header is silent, which is not to be assumed, and looks each field up in a pandas table, which takes 100 times as
    long as the matching.

    Args:
        path: x.hea. A record of several segments (`x/3`) is read with the headers of its segments.

    Returns:
        The header. Several samples a frame make a higher sampling rate, if all signals have as many.

    Raises:
        UnreadableError: it breaks the grammar, signals differ in sampling rate, a rate, length or unit is missing.
        IncompleteError: a signal file is missing or too short.
    """
    header = _parse(path)
    if header.segments:
        return _read_segments(path, header)
    files = (path.name, *dict.fromkeys(line.file for line in header.signals))
    frames = _check_files(path.parent, header, files)
    per_frame = _per_frame(header)
    names = tuple(line.name for line in header.signals)
    return SignalHeader(
        modality=modality_of(names, "ecg"),
        format="wfdb",
        sampling_rate=(header.rate or 0.0) * per_frame,
        n_samples=frames * per_frame,
        channels=names,
        units=tuple(line.unit for line in header.signals),
        ids={},
        files=files,
    )


def read_signal(path: Path) -> Signal:
    """Read a record.

    Args:
        path: x.hea.

    Returns:
        Digital values, int16 where the storage format has at most 16 bits, else int32. Physical values (float32, NaN
        in gaps) where segments are joined, whose gains may differ, or where signals mark missing samples differently.

    Raises:
        UnreadableError: as `read_header`; or a checksum of the header is not that of the samples (of a record of
            segments: of the segment's).
    """
    stated = read_header(path)
    units, factors = zip(*(kept_unit(unit, stated.modality) for unit in stated.units), strict=True)
    factor = np.array(factors, dtype=np.float64)
    if stated.segments:
        data = _read_joined(path, stated) * factor[:, None].astype(np.float32)
        ones = np.ones(len(factor))
        return Signal(data, stated.sampling_rate, stated.channels, units, ones, np.zeros(len(factor)))
    header = _parse(path)
    record = _rdrecord(path)
    _verify(path, record, header)
    formats = {line.format for line in header.signals}
    gain = np.array(record.adc_gain, dtype=np.float64)
    offset = np.array(record.baseline, dtype=np.float64)
    dtype = np.int16 if max(_FORMATS[format][0] for format in formats) <= 16 else np.int32
    data = np.stack(record.e_d_signal).astype(dtype, copy=False)
    markers = {_FORMATS[format][2] for format in formats}
    signal = Signal(data, stated.sampling_rate, stated.channels, units, gain / factor, offset, next(iter(markers)))
    if len(markers) == 1:
        return signal
    physical = np.stack(record.dac(expanded=True, return_res=32)) * factor[:, None]
    ones = np.ones(len(gain))
    return Signal(physical.astype(np.float32), stated.sampling_rate, stated.channels, units, ones, np.zeros(len(gain)))


def _parse(path: Path) -> _Header:
    try:
        lines, _ = grammar.parse_header_content(_text(path.read_bytes()))
    except OSError as error:
        raise UnreadableError(f"cannot be read: {error.strerror}") from error
    record = grammar.rx_record.match(lines[0]) if lines else None
    if record is None:
        raise UnreadableError("not a WFDB header: the first line names no record")
    try:
        rate = float(record["fs"]) if record["fs"] else None
        frames = int(record["sig_len"]) if record["sig_len"] else None
        if record["base_time"]:
            grammar.wfdb_strptime(record["base_time"])
        if record["base_date"]:
            datetime.strptime(record["base_date"], "%d/%m/%Y")
        stated = int(record["n_seg"] or record["n_sig"])
        kind = "segment" if record["n_seg"] else "signal"
        if len(lines) - 1 != stated:
            raise UnreadableError(f"damaged WFDB header: it states {stated} {kind}s and describes {len(lines) - 1}")
        if record["n_seg"]:
            return _Header(rate, frames, (), tuple(_segment(line) for line in lines[1:]))
        return _Header(rate, frames, tuple(_line(line, number) for number, line in enumerate(lines[1:])), ())
    except ValueError as error:
        raise UnreadableError(f"damaged WFDB header: {error}") from error


def _text(content: bytes) -> str:
    """WFDB headers are ASCII by definition; dropping the rest, as wfdb does, would turn a stated \u00b5V into V."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _segment(text: str) -> tuple[str, int]:
    match = grammar.rx_segment.match(text)
    if match is None:
        raise UnreadableError("damaged WFDB header: a segment line breaks the grammar")
    return match["seg_name"], int(match["seg_len"])


def _line(text: str, number: int) -> _Line:
    match = grammar.rx_signal.match(text)
    if match is None:
        raise UnreadableError(f"damaged WFDB header: the line of signal {number} breaks the grammar")
    return _Line(
        file=match["file_name"],
        format=match["fmt"],
        per_frame=int(match["samps_per_frame"] or 1),
        skew=int(match["skew"] or 0),
        byte_offset=int(match["byte_offset"] or 0),
        unit=canonical_unit(match["units"]),
        checksum=int(match["checksum"]) if match["checksum"] else None,
        name=match["sig_name"].strip() or f"signal {number}",
    )


def _per_frame(header: _Header) -> int:
    counts = {line.per_frame for line in header.signals}
    if len(counts) > 1:
        rates = ", ".join(f"{(header.rate or 0) * count:g}" for count in sorted(counts))
        raise UnreadableError(
            f"several sampling rates: signals of {rates} Hz in one record; they are not resampled here"
        )
    return counts.pop() if counts else 1


def _check_files(folder: Path, header: _Header, files: tuple[str, ...]) -> int:
    """Hold the signal files against the header; returns the frames, from the size where the header is silent."""
    frames = header.frames
    for name in files[1:]:
        lines = [line for line in header.signals if line.file == name]
        unknown = {line.format for line in lines} - _FORMATS.keys()
        if unknown:
            raise IncompleteError(f"unknown storage format: {', '.join(sorted(unknown))} of {name}", files)
        try:
            size = (folder / name).stat().st_size
        except OSError as error:
            raise IncompleteError(f"missing signal file: {name}", files) from error
        width = _FORMATS[lines[0].format][1]
        samples = sum(line.per_frame for line in lines)
        if width is not None and frames is None:
            frames = int((size - lines[0].byte_offset) / width) // samples
        if width is not None and frames is not None:
            expected = lines[0].byte_offset + ceil(round(frames * samples * width, 3))
            if size < expected:
                raise IncompleteError(
                    f"truncated signal file: {name} has {size} bytes, the header says {expected}", files
                )
        elif size == 0:
            raise IncompleteError(f"truncated signal file: {name} is empty", files)
    return frames or 0


def _read_segments(path: Path, header: _Header) -> SignalHeader:
    """The header of a record of segments; the layout (of a variable record: its first header) names the signals."""
    names = list(dict.fromkeys(name for name, _ in header.segments if name != _NOTHING))
    segments = tuple(f"{name}.hea" for name in names)
    files = [path.name, *segments]
    units: dict[str, str] = {}
    layout: dict[str, int] = {}
    rates, problem = {header.rate}, None
    for name in names:
        one = path.with_name(f"{name}.hea")
        try:
            if not one.exists():
                raise UnreadableError(f"missing segment: {one.name}")
            part = _parse(one)
            own = (one.name, *(line.file for line in part.signals if line.file != _NOTHING))
            files += own[1:]
            rates.add(part.rate)
            if header.segments[0] != (name, 0):
                _check_files(path.parent, part, tuple(dict.fromkeys(own)))
                for line in part.signals:
                    if units.setdefault(line.name, line.unit) != line.unit:
                        raise UnreadableError(f"several units: {line.name} changes its unit in segment {name}")
            layout = layout or {line.name: _per_frame(part) for line in part.signals}
        except UnreadableError as error:
            problem = problem or str(error)
    every = tuple(dict.fromkeys(files))
    if len(rates) > 1:
        problem = problem or "several sampling rates: the segments differ from their record"
    if problem is not None:
        raise IncompleteError(problem, every)
    per_frame = next(iter(layout.values()), 1)
    frames = header.frames if header.frames is not None else sum(length for _, length in header.segments)
    return SignalHeader(
        modality=modality_of(tuple(layout), "ecg"),
        format="wfdb",
        sampling_rate=(header.rate or 0.0) * per_frame,
        n_samples=frames * per_frame,
        channels=tuple(layout),
        units=tuple(units.get(name, "") for name in layout),
        ids={},
        files=every,
        segments=segments,
    )


def _rdrecord(path: Path, **options: Any) -> Any:
    """Digital samples as the library decodes them, all of them: frames are not averaged."""
    settings = {"physical": False, "smooth_frames": False, "return_res": 32, **options}
    try:
        return wfdb.rdrecord(str(path.with_suffix("")), **settings)
    except Exception as error:
        raise UnreadableError(
            f"damaged signal file: wfdb cannot decode it ({type(error).__name__}: {error})"
        ) from error


def _verify(path: Path, record: Any, header: _Header) -> None:
    """Hold the samples against the checksums, which are those of the samples as stored, before skew is taken out."""
    if any(line.skew for line in header.signals):
        record = _rdrecord(path, ignore_skew=True)
    for line, samples in zip(header.signals, record.e_d_signal, strict=True):
        if line.checksum is not None and (int(np.sum(samples, dtype=np.int64)) - line.checksum) % 2**16:
            raise UnreadableError(f"wrong checksum: the samples of {line.name} are not those that were recorded")


def _read_joined(path: Path, stated: SignalHeader) -> NDArray[np.float32]:
    """Physical values of a record of segments, (channels, time), NaN where a segment lacks the signal."""
    for segment in dict.fromkeys(stated.segments):
        header = _parse(path.with_name(segment))
        if all(line.file != _NOTHING for line in header.signals) and header.signals:
            _verify(path, _rdrecord(path.with_name(segment)), header)
    record = _rdrecord(path, physical=True, m2s=True)
    return np.stack(record.e_p_signal).astype(np.float32, copy=False)
