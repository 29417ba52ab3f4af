"""Epochs: recordings cut around their events, such as the cues of a task, each a record with its event as label."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from medcl.errors import UnreadableError
from medcl.modality import formats
from medcl.modality.rows import Source
from medcl.modality.signal.channels import listed
from medcl.modality.signal.config import Stated
from medcl.modality.signal.filters import second_of
from medcl.modality.signal.record import Signal, SignalHeader
from medcl.modality.storing import DecodedRecord


@dataclass(frozen=True)
class Event:
    """What a file says happened.

    Args:
        name: as stated, without repeated spaces.
        second: when, counted along the samples as they lie in the file, whatever gaps there are between them.
    """

    name: str
    second: float


@dataclass(frozen=True)
class Events:
    """The events of a recording in their order, and the seconds at which its stretches begin, counted likewise."""

    events: tuple[Event, ...]
    stretches: tuple[float, ...] = (0.0,)


@dataclass(frozen=True)
class Epoch:
    """A part of a recording: its label, and its first sample and length at the rate of the file."""

    label: str
    first: int
    length: int


def cut(found: Events, rate: float, n_samples: int, stated: Stated) -> list[Epoch]:
    """The epochs of a recording.

    Args:
        found: its events.
        rate: of its samples, Hz.
        n_samples: of each channel.
        stated: which events are wanted, and where an epoch begins and ends beside its event.

    Returns:
        One for each event that is wanted and that has the whole epoch around it, without a gap within.

    Raises:
        UnreadableError: none of the events is there, or none has room for an epoch.
    """
    assert stated.epoch is not None
    begin, end = stated.epoch
    wanted = [(stated.labels[one.name], one.second) for one in found.events if one.name in stated.labels]
    if not wanted:
        there = sorted({one.name for one in found.events})
        raise UnreadableError(f"no event {' or '.join(stated.labels)}: it has {listed(there) or 'no events'}")
    length = round((end - begin) * rate)
    edges = np.array([*(round(second * rate) for second in found.stretches), n_samples])
    epochs = []
    for label, second in wanted:
        first = round((second + begin) * rate)
        stretch = int(np.searchsorted(edges, first, side="right"))
        if stretch and stretch < len(edges) and first + length <= edges[stretch]:
            epochs.append(Epoch(label, first, length))
    if not epochs:
        raise UnreadableError(
            f"no room for an epoch from {begin:g} to {end:g} s around any of {len(wanted)} events: the recording, or a "
            "stretch of it without a gap, is too short"
        )
    return epochs


def headers(path: Path, format: str, header: SignalHeader, stated: Stated) -> list[SignalHeader]:
    """The header of each epoch of a recording; errors as of `cut`."""
    found = formats.read_events(path, format)
    epochs = cut(found, header.sampling_rate, header.n_samples, stated)
    left = sum(one.name in stated.labels for one in found.events) - len(epochs)
    first = (*header.flags, f"events without room for an epoch: {left}") if left else header.flags
    return [
        replace(header, n_samples=one.length, event=one.label, part=part, flags=header.flags if part else first)
        for part, one in enumerate(epochs)
    ]


def read(source: Source) -> Signal:
    """The samples of a record as its file has them: of an epoch those of the epoch alone."""
    signal = formats.read_signal(source.file, source.format, source.stated)
    if not source.stated.events:
        return signal
    own = _own(source, _cut(source, signal))
    return replace(signal.part(own.first, own.first + own.length), aside=())


def decoded(source: Source, config: Any, decode: Callable[[Signal, Any, str], DecodedRecord]) -> DecodedRecord:
    """An epoch for the store, cut out of its recording after this was resampled and filtered as a whole.

    Args:
        source: the epoch.
        config: of preparation.
        decode: prepares a whole recording.
    """
    file = source.file
    key = repr((source.format, source.stated, config, str(source.row["modality"])))
    whole = _whole(_Recording(file, file.stat().st_mtime_ns, key, source, config, decode))
    row, rate = whole.record.row, config.sampling_rate or whole.signal.sampling_rate
    own, scale = _own(source, whole.epochs), rate / whole.signal.sampling_rate
    stretch = int(np.searchsorted(whole.signal.starts, own.first, side="right")) - 1
    begin = row["stretches"][stretch] + round((own.first - whole.signal.starts[stretch]) * scale)
    data = whole.record.arrays[None]
    length = round(own.length * scale)
    begin = max(0, min(begin, len(data) - length))
    part = data[begin : begin + length].copy()
    physical = (part - row["offset"]) / row["gain"]
    physical[part == row["invalid"]] = np.nan
    if np.isnan(physical).all(axis=0).any():
        raise UnreadableError("no value in a channel of this epoch")
    changes = np.nanmax(physical, axis=0) > np.nanmin(physical, axis=0)
    std = np.where(changes, np.nanstd(physical, axis=0, dtype=np.float64), 0)
    flags = np.frombuffer(row["flags"], dtype=np.uint8)
    # A second of the epoch lies in two of the recording.
    edges = np.minimum(second_of(begin + np.array([0, rate - 1]).astype(np.int64), rate), len(flags) - 1)
    seconds = np.arange(int(second_of(np.array(length - 1), rate)) + 1)
    both = [flags[np.minimum(edge + seconds, len(flags) - 1)] for edge in edges]
    mean = np.nanmean(physical, axis=0, dtype=np.float64)
    about = {"n_samples": length, "mean": mean, "std": std, "flags": (both[0] | both[1]).tobytes(), "stretches": [0]}
    return DecodedRecord({None: part}, {**row, **about})


def there(files: Sequence[tuple[Path, str]], most: int) -> list[str]:
    """The names of the events of files (path, format): of the first that have some, and not of more than `most`."""
    names, read = set[str](), 0
    for path, form in files:
        try:
            names |= {one.name for one in formats.read_events(path, form).events}
        except Exception:
            continue
        read += 1
        if read == most:
            break
    return sorted(names)


def _cut(source: Source, signal: Signal) -> list[Epoch]:
    found = formats.read_events(source.file, source.format)
    return cut(found, signal.sampling_rate, signal.data.shape[1], source.stated)


def _own(source: Source, epochs: Sequence[Epoch]) -> Epoch:
    if source.part >= len(epochs):
        raise UnreadableError("its events have changed since it was scanned: scan the archive again")
    return epochs[source.part]


@dataclass(frozen=True)
class _Whole:
    signal: Signal
    epochs: list[Epoch]
    record: DecodedRecord


@dataclass(frozen=True)
class _Recording:
    """A recording that is prepared, known by its file and settings."""

    file: Path
    changed: int
    settings: str
    source: Source = field(compare=False)
    config: Any = field(compare=False)
    decode: Callable[[Signal, Any, str], DecodedRecord] = field(compare=False)


@lru_cache(maxsize=1)
def _whole(one: _Recording) -> _Whole:
    """The last recording is kept: its epochs are asked for one after the other."""
    source = one.source
    signal = formats.read_signal(source.file, source.format, source.stated)
    return _Whole(signal, _cut(source, signal), one.decode(signal, one.config, str(source.row["modality"])))
