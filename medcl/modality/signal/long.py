"""Recordings of a day or a night, prepared a piece at a time, so that memory does not grow with their length."""

import os
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from math import ceil, lcm
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from medcl.errors import UnreadableError
from medcl.modality.formats import read_header
from medcl.modality.rows import Source
from medcl.modality.signal.channels import listed
from medcl.modality.signal.config import SignalConfig
from medcl.modality.signal.designs import designs
from medcl.modality.signal.filters import NAN, Floats, Part, TooShortError, ratio, second_of
from medcl.modality.signal.formats.channel_choice import ASIDE
from medcl.modality.signal.record import Pieces, Signal, SignalHeader
from medcl.modality.storing import DecodedRecord, OnDisk

LONGEST = 1 << 23
"""Values of all channels of a recording that is read as a whole."""
_PIECE = 1 << 21
"""Values of a piece, about, without its margins."""
_FIR = 20
"""Half the antialiasing filter of `resample_poly`, twice, in samples of the slower rate."""
_STILL = 1e-3
"""Of its size: what a channel that never changes may differ by from piece to piece, behind a filter."""


@dataclass(frozen=True)
class Wanted:
    """The channels of a recording that are asked for.

    Args:
        parts: by sampling rate, with their places among those that are held.
        needed: names of the channels that the result is mixed from.
        held: places of those that the recording has.
        lost: names of those that it lacks.
        mixing: (channels, needed).
        notes: what is unusual, in words.
    """

    parts: list[tuple[Part, list[int]]]
    needed: list[str]
    held: list[int]
    lost: list[str]
    mixing: Floats
    notes: list[str]


class Decode(Protocol):
    """`prepare._decode`."""

    def __call__(self, signal: Signal, config: SignalConfig, modality: str, *, whole: bool) -> DecodedRecord:
        """A piece of a recording for the store."""


def is_long(row: Mapping[str, Any], config: SignalConfig) -> bool:
    """Whether a recording is prepared in pieces where its format allows it; filling channels in needs all of it."""
    values = int(row.get("n_samples") or 0) * int(row.get("n_channels") or 1)
    return values > LONGEST and not config.interpolate and not config.delay


def decoded(
    source: Source,
    config: SignalConfig,
    pieces: Pieces,
    wanted: Callable[[Signal, SignalConfig, str], Wanted],
    decode: Decode,
) -> DecodedRecord:
    """A recording for the store, as decoding it whole gives it, but for the rounding of resampling at the seams.

    Each piece is read with margins as long as the filters, which are cut off again. The numbers go to a file.

    Args:
        source: the recording.
        config: of preparation.
        pieces: the recording, open.
        wanted: finds the channels.
        decode: prepares a piece.

    Raises:
        UnreadableError: as of the whole.
    """
    header = read_header(source.file, source.format, source.stated, verify=True)
    made = _Made(source, config, header, pieces)  # type: ignore[arg-type]
    descriptor, name = tempfile.mkstemp(prefix="recording-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            row, kind = made.write(file, decode)
        row["flags"] = (made.moved(made.quality(wanted)) | made.lost).tobytes()
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    notes = [*(flag for flag in header.flags if not flag.startswith(ASIDE)), *row["notes"]]
    row |= {"n_samples": made.after[-1], "stretches": made.after[:-1], "notes": list(dict.fromkeys(notes))}
    return DecodedRecord({None: OnDisk(Path(name), kind, (made.after[-1], len(row["mean"])))}, row)


class _Made:
    """What becomes of a recording whose stretches begin at `before`, the last number being its length."""

    def __init__(self, source: Source, config: SignalConfig, header: SignalHeader, pieces: Pieces) -> None:
        self.config, self.read, self.modality = config, pieces.read, str(source.row["modality"])
        self.channels = max(1, int(source.row.get("n_channels") or 1))
        self.before = [*pieces.starts, header.n_samples]
        self.rate, self.wanted = header.sampling_rate, config.sampling_rate or header.sampling_rate
        self.step = ratio(self.rate, self.wanted)
        lengths = [ceil((stop - start) * self.step) for start, stop in pairwise(self.before)]
        self.after = [0, *np.cumsum(lengths).tolist()]
        self.lost = np.zeros(int(second_of(np.array(self.after[-1] - 1), self.wanted)) + 1, dtype=np.uint8)
        # Pieces are whole seconds, which all rates have whole numbers of samples in.
        whole = lcm(*(Fraction(one).limit_denominator(1000).denominator for one in (self.rate, self.wanted)))
        self.unit = round(self.rate * whole)

    def write(self, file: BinaryIO, decode: Decode) -> tuple[dict[str, Any], str]:
        """Write the numbers of all pieces: columns of the index, and the type of the numbers."""
        row: dict[str, Any] | None = None
        kind, moments, waiting, short = "", None, 0, None
        for piece, count in self._pieces(decode):
            if isinstance(piece, TooShortError):
                short = piece
                waiting += 0 if row is not None else count
                if row is not None:
                    file.write(np.full((count, len(row["gain"])), np.nan, dtype=kind).tobytes())
                continue
            (data, own), first = piece, row is None
            if row is None:
                row, kind = dict(own), data.dtype.str
                file.write(np.full((waiting, data.shape[1]), np.nan, dtype=kind).tobytes() if waiting else b"")
            file.write(np.ascontiguousarray(data).tobytes())
            values = (data - row["offset"]) / row["gain"]
            values[data == row["invalid"]] = np.nan
            moments = _Moments.of(values, own["std"] == 0) if first or moments is None else moments.add(values, own)
            row["notes"] = list(dict.fromkeys([*row["notes"], *own["notes"]]))
        if row is None or moments is None:
            raise short or UnreadableError("no value in any channel")
        if (moments.count == 0).any():
            names = [name for name, count in zip(self.config.channels or (), moments.count, strict=True) if not count]
            raise UnreadableError(f"no value in the channels {listed(names)}")
        return {**row, "mean": moments.mean, "std": moments.std}, kind

    def _pieces(self, decode: Decode) -> Iterator[tuple[tuple[NDArray[Any], Mapping[str, Any]] | TooShortError, int]]:
        margin = self._margin()
        size = max(1, _PIECE // self.channels // self.unit, 4 * margin // self.unit) * self.unit
        for number, (start, stop) in enumerate(pairwise(self.before)):
            for first in range(start, stop, size):
                last = min(first + size, stop)
                low, high = max(start, first - margin), min(stop, last + margin)
                begin = self.after[number] + int((first - start) * self.step)
                end = self.after[number + 1] if last == stop else self.after[number] + int((last - start) * self.step)
                try:
                    with warnings.catch_warnings():
                        # Of a channel without a value in this piece.
                        warnings.simplefilter("ignore", RuntimeWarning)
                        one = decode(self.read(low, high), self.config, self.modality, whole=False)
                except TooShortError as error:
                    self._lose(np.arange(begin, end))
                    yield error, end - begin
                    continue
                skip = int((first - low) * self.step)
                data = one.arrays[None][skip : skip + end - begin]
                absent = np.isnan(data) if np.issubdtype(data.dtype, np.floating) else data == one.row["invalid"]
                self._lose(begin + np.flatnonzero(absent.any(axis=1)))
                yield (data, one.row), end - begin

    def _margin(self) -> int:
        """Samples on each side that the filters reach, at most, as whole units."""
        slower = max(1, self.step.denominator / self.step.numerator)
        taps = sum(len(one.taps(self.wanted)) for one in designs(self.config)) / self.wanted * self.rate
        return ceil((taps + _FIR * slower) / self.unit) * self.unit if taps or self.step != 1 else 0

    def _lose(self, samples: NDArray[np.int64]) -> None:
        self.lost[second_of(samples, self.wanted)] |= NAN

    def quality(self, wanted: Callable[[Signal, SignalConfig, str], Wanted]) -> NDArray[np.uint8]:
        """(seconds,) flags of the recording as it is, by the extremes of all of it."""
        extremes: list[Floats] = []
        for signal in self._raw():
            parts = wanted(signal, self.config, self.modality).parts
            found = [np.concatenate([_extremes(x) for _, x in part.physical()]) for part, _ in parts]
            pairs = zip(extremes or found, found, strict=True)
            extremes = [
                np.stack([np.fmin(old[:, 0], new[:, 0]), np.fmax(old[:, 1], new[:, 1])], axis=1) for old, new in pairs
            ]
        seconds = [np.zeros(0, dtype=np.uint8)]
        for signal in self._raw():
            own = np.zeros(int(second_of(np.array(signal.data.shape[1] - 1), self.rate)) + 1, dtype=np.uint8)
            for (part, _), limits in zip(wanted(signal, self.config, self.modality).parts, extremes, strict=True):
                for rows, x in part.physical():
                    flags = part.quality(x, rows, limits)[: len(own)]
                    own[: len(flags)] |= flags
            seconds.append(own)
        return np.concatenate(seconds)

    def _raw(self) -> Iterator[Signal]:
        """The recording, some whole seconds at a time, whatever gaps there are."""
        size = max(1, _PIECE // self.channels // self.unit) * self.unit
        for first in range(0, self.before[-1], size):
            yield self.read(first, min(first + size, self.before[-1]))

    def moved(self, found: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The flags of the seconds at the new rate."""
        count = len(self.lost)
        firsts = np.ceil(np.arange(count) * self.wanted - 1e-9).astype(np.int64)
        lasts = np.append(firsts[1:], self.after[-1]) - 1
        low, high = (self._second_of(one, len(found)) for one in (firsts, lasts))
        moved = np.zeros(count, dtype=np.uint8)
        for ahead in range(int((high - low).max(initial=0)) + 1):
            moved |= found[np.minimum(low + ahead, high)]
        return moved

    def _second_of(self, samples: NDArray[np.int64], seconds: int) -> NDArray[np.int64]:
        """The second of the file that samples of the new rate come from."""
        stretch = np.searchsorted(self.after[1:-1], samples, side="right")
        into = ((samples - np.array(self.after)[stretch]) * (self.rate / self.wanted)).astype(np.int64)
        source = np.minimum(np.array(self.before)[stretch] + into, np.array(self.before)[stretch + 1] - 1)
        return np.minimum(second_of(source, self.rate), seconds - 1)


def _extremes(x: Floats) -> Floats:
    """(channels, 2) lowest and highest values."""
    return np.stack([np.fmin.reduce(x, axis=1), np.fmax.reduce(x, axis=1)], axis=1)


@dataclass(frozen=True)
class _Moments:
    """Of each channel: number of values, their mean, sum of squares around it, extremes, and whether it was still."""

    count: Floats
    mean: Floats
    squares: Floats
    low: Floats
    high: Floats
    still: NDArray[np.bool_]

    @classmethod
    def of(cls, x: Floats, still: NDArray[np.bool_]) -> "_Moments":
        """Of values (time, channels), NaN where there is none."""
        count = (~np.isnan(x)).sum(axis=0).astype(np.float64)
        mean = np.nansum(x, axis=0, dtype=np.float64) / np.maximum(count, 1)
        squares = np.asarray(np.nansum((x - mean) ** 2, axis=0, dtype=np.float64))
        return cls(count, mean, squares, np.fmin.reduce(x, axis=0), np.fmax.reduce(x, axis=0), still | (count == 0))

    def add(self, x: Floats, row: Mapping[str, Any]) -> "_Moments":
        """With the values of a further piece (Chan, Golub and LeVeque, 1983)."""
        new = _Moments.of(x, row["std"] == 0)
        count = self.count + new.count
        share, apart = new.count / np.maximum(count, 1), new.mean - self.mean
        squares = self.squares + new.squares + apart**2 * self.count * share
        low, high = np.fmin(self.low, new.low), np.fmax(self.high, new.high)
        return _Moments(count, self.mean + apart * share, squares, low, high, self.still & new.still)

    @property
    def std(self) -> Floats:
        """Standard deviation, exactly 0 of a channel that never changes."""
        size = np.maximum(np.abs(self.low), np.abs(self.high))
        flat = self.still & (self.high - self.low <= _STILL * size)
        return np.where(flat, 0.0, np.sqrt(self.squares / np.maximum(self.count, 1)))
