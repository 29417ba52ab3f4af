"""WFDB records: a text header `x.hea` with its signal files, or with segments that are records themselves."""

from dataclasses import replace
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import wfdb
from numpy.typing import NDArray

from medcl.errors import UnreadableError
from medcl.readers.signal import IncompleteError, Signal, SignalHeader, kept_unit, modality_of
from medcl.readers.wfdb_header import NOTHING, Header, parse, samples_per_frame

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
    header = parse(path)
    if header.segments:
        return _read_segments(path, header)
    files = (path.name, *dict.fromkeys(line.file for line in header.signals))
    frames = _check_files(path.parent, header, files)
    per_frame = samples_per_frame(header)
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
    return _join(path, stated) if stated.segments else _read(path, stated)


def _read(path: Path, stated: SignalHeader) -> Signal:
    """A record that is not divided, in the units of `stated.modality`."""
    units, factors = zip(*(kept_unit(unit, stated.modality) for unit in stated.units), strict=True)
    header = parse(path)
    per_frame = samples_per_frame(header)
    record, samples = _decode(path, per_frame)
    # The checksums are those of the samples as stored, before skew is taken out.
    skewed = any(line.skew for line in header.signals)
    _verify(_decode(path, per_frame, ignore_skew=True)[1] if skewed else samples, header)
    formats = [line.format for line in header.signals]
    dtype = np.int16 if max(_FORMATS[storage][0] for storage in formats) <= 16 else np.int32
    data = samples.astype(dtype, copy=False)
    gain = np.array(record.adc_gain, dtype=np.float64) / np.array(factors)
    offset = np.array(record.baseline, dtype=np.float64)
    markers = [_FORMATS[storage][2] for storage in formats]
    if len(set(markers)) == 1:
        return Signal(data, stated.sampling_rate, stated.channels, units, gain, offset, markers[0])
    values = (samples.astype(np.float64) - offset[:, None]) / gain[:, None]
    for row, marker in enumerate(markers):
        values[row, samples[row] == marker] = np.nan
    return _physical(values.astype(np.float32), stated, units)


def _join(path: Path, stated: SignalHeader) -> Signal:
    """The segments of a record one behind the other, NaN where nothing or not this signal was recorded."""
    header = parse(path)
    units = tuple(kept_unit(unit, stated.modality)[0] for unit in stated.units)
    data = np.full((len(stated.channels), stated.n_samples), np.nan, dtype=np.float32)
    start = 0
    for name, length in header.segments:
        if name != NOTHING and length:
            one = path.with_name(f"{name}.hea")
            # In the units of the whole: a segment may hold too few signals to be told as ECG or EEG by itself.
            part = _read(one, replace(read_header(one), modality=stated.modality))
            stop = start + part.data.shape[1]
            if part.data.shape[1] * (header.rate or 0.0) != length * stated.sampling_rate or stop > data.shape[1]:
                raise UnreadableError(f"damaged WFDB header: segment {name} is not as long as its record says")
            data[[stated.channels.index(lead) for lead in part.channels], start:stop] = part.physical()
        start += round(length * stated.sampling_rate / (header.rate or 1.0))
    return _physical(data, stated, units)


def _physical(data: NDArray[np.float32], stated: SignalHeader, units: tuple[str, ...]) -> Signal:
    zeros = np.zeros(len(units))
    return Signal(data, stated.sampling_rate, stated.channels, units, zeros + 1, zeros)


def _check_files(folder: Path, header: Header, files: tuple[str, ...]) -> int:
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


def _read_segments(path: Path, header: Header) -> SignalHeader:
    """The header of a record of segments; the layout (of a variable record: its first header) names the signals."""
    names = list(dict.fromkeys(name for name, _ in header.segments if name != NOTHING))
    segments = tuple(f"{name}.hea" for name in names)
    files = [path.name, *segments]
    units: dict[str, str] = {}
    layout: dict[str, str] = {}
    fixed = bool(header.segments[0][1])
    rates, frame_rates, problem = {header.rate}, set(), None
    for name in names:
        one = path.with_name(f"{name}.hea")
        try:
            if not one.exists():
                raise UnreadableError(f"missing segment: {one.name}")
            part = parse(one)
            own = (one.name, *(line.file for line in part.signals if line.file != NOTHING))
            files += own[1:]
            rates.add(part.rate)
            if header.segments[0] != (name, 0):
                _check_files(path.parent, part, tuple(dict.fromkeys(own)))
                for line in part.signals:
                    if units.setdefault(line.name, line.unit) != line.unit:
                        raise UnreadableError(f"several units: {line.name} changes its unit in segment {name}")
            frame_rates.add(samples_per_frame(part))
            own_names = [line.name for line in part.signals]
            layout = layout or {line.name: line.unit for line in part.signals}
            if len(set(own_names)) < len(own_names):
                raise UnreadableError(f"several signals of one name in segment {name}: they cannot be told apart")
            if own_names != list(layout) if fixed else not layout.keys() >= set(own_names):
                raise UnreadableError(f"damaged WFDB header: segment {name} has other signals than its record")
        except UnreadableError as error:
            problem = problem or str(error)
    every = tuple(dict.fromkeys(files))
    if len(rates) > 1 or len(frame_rates) > 1:
        problem = problem or "several sampling rates: the segments differ from their record"
    if problem is not None:
        raise IncompleteError(problem, every)
    per_frame = frame_rates.pop() if frame_rates else 1
    frames = header.frames if header.frames is not None else sum(length for _, length in header.segments)
    return SignalHeader(
        modality=modality_of(tuple(layout), "ecg"),
        format="wfdb",
        sampling_rate=(header.rate or 0.0) * per_frame,
        n_samples=frames * per_frame,
        channels=tuple(layout),
        units=tuple(units.get(name, unit) for name, unit in layout.items()),
        ids={},
        files=every,
        segments=segments,
    )


def _decode(path: Path, per_frame: int, ignore_skew: bool = False) -> tuple[Any, NDArray[Any]]:
    """The record, and its samples (channels, time) as the library decodes them."""
    try:
        # Smoothing averages the samples of a frame; where a frame has one sample it is how wfdb reads format 61 at all.
        expanded = per_frame > 1
        record = wfdb.rdrecord(
            str(path.with_suffix("")),
            physical=False,
            smooth_frames=not expanded,
            ignore_skew=ignore_skew,
            return_res=32,
        )
        return record, np.stack(record.e_d_signal) if expanded else np.ascontiguousarray(record.d_signal.T)
    except Exception as error:
        raise UnreadableError(
            f"damaged signal file: wfdb cannot decode it ({type(error).__name__}: {error})"
        ) from error


def _verify(samples: NDArray[Any], header: Header) -> None:
    sums = samples.sum(axis=1, dtype=np.int64)
    for line, total in zip(header.signals, sums, strict=True):
        if line.checksum is not None and (int(total) - line.checksum) % 2**16:
            raise UnreadableError(f"wrong checksum: the samples of {line.name} are not those that were recorded")
