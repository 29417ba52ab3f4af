"""Decode one recording for the store: its channels in order, in their unit, resampled and filtered where asked for."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from medcl.archive.file_state import Scanned, require_unchanged
from medcl.engine.quiet import quiet
from medcl.errors import UnreadableError, reason
from medcl.modality.foreign import available
from medcl.modality.formats import read_signal
from medcl.modality.signal.channels import positions
from medcl.modality.signal.config import SignalConfig
from medcl.modality.signal.formats.channel_choice import ASIDE
from medcl.modality.signal.formats.channel_names import VOLTS, is_electrode, is_lead, listed
from medcl.modality.signal.rates import NO_INVALID, Part, at_one_rate
from medcl.modality.signal.record import Modality, Signal, kept_unit
from medcl.modality.signal.stated import Stated

UNITS = {"ecg": "mV", "eeg": "uV"}
"""Modality -> unit of the physical values in a store."""
NEEDED = 4
"""Bytes of memory that a sample takes at least: it is read as float32, or as integers and more."""


@dataclass(frozen=True)
class Job:
    """A recording to decode, and how.

    Args:
        scanned: its files, as they were when they were scanned.
        modality: `ecg` or `eeg`, which gives the unit.
        values: samples of all channels, by the manifest.
        config: with sampling rate and channels.
        stated: what the user stated when the archive was scanned.
    """

    scanned: Scanned
    modality: str
    values: float
    config: SignalConfig
    stated: Stated = field(default_factory=Stated)


@dataclass(frozen=True)
class Decoded:
    """A decoded recording.

    Args:
        data: (time, channels) in the type of the file, or float32 where resampling or a filter made new values.
        gain: (channels,); physical = (data - offset) / gain.
        offset: (channels,).
        invalid: number in `data` that means "no value", or NO_INVALID.
        mean: (channels,) of the physical values.
        std: (channels,) of the physical values; exactly 0 for a channel that never changes.
        flags: (seconds,) what holds in any channel, of the recording before resampling and filters: these hide it.
        starts: first samples of the stretches without a gap between them; no window may cross into another.
        notes: what was done and what is unusual, in words.
    """

    data: NDArray[Any]
    gain: NDArray[np.float64]
    offset: NDArray[np.float64]
    invalid: int
    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    flags: NDArray[np.uint8]
    starts: tuple[int, ...] = (0,)
    notes: tuple[str, ...] = ()


def decode_all(jobs: Sequence[Job]) -> list[Decoded | str]:
    """Decode recordings; a text is the reason why one cannot be."""
    with quiet():
        return [_decoded_or_reason(job) for job in jobs]


def died(job: Job) -> list[Decoded | str]:
    """What stands for a recording whose decoding ended the process."""
    return ["damaged file, or too little memory: decoding it ends the reader"]


def _decoded_or_reason(job: Job) -> Decoded | str:
    try:
        require_unchanged(job.scanned)
        room = available()
        if room is not None and job.values * NEEDED > room:
            raise UnreadableError(
                f"larger than memory: its {job.values:.3g} samples do not fit into {room / 1e9:.1f} GB; prepare it on "
                "a machine with more, or cut it into parts"
            )
        return _decode(read_signal(job.scanned.root / job.scanned.path, job.scanned.format, job.stated), job)
    except Exception as error:
        return reason(error)


def _decode(signal: Signal, job: Job) -> Decoded:
    config, names = job.config, list(job.config.channels or ())
    rate = config.sampling_rate or signal.sampling_rate
    groups = (signal, *signal.aside)
    every = [(group, channel) for group in groups for channel in range(len(group.channels))]
    present = [group.channels[channel] for group, channel in every]
    chosen = positions(names, present, names=config.channel_names, unusable=signal.unusable)
    parts = [
        (_part(group, [every[chosen[row]][1] for row in rows], job.modality), rows)
        for group in groups
        if (rows := [row for row, place in enumerate(chosen) if every[place][0] is group])
    ]
    empty = [name for part, _ in parts for name, gone in zip(part.names, part.missing(), strict=True) if gone.all()]
    if empty:
        raise UnreadableError(f"no value in the channels {listed(empty)}")
    notes = [flag for flag in signal.flags if not flag.startswith(ASIDE)]
    asked = [every[place] for place in chosen]
    others = [(group.channels[i], group.units[i]) for group, i in asked if group.units[i] not in VOLTS]
    notes += [f"channel in {unit or 'no unit'}: {name}" for name, unit in others]
    only = parts[0][0]
    if len(parts) == 1 and only.rate == rate and config.band is None and config.notch is None:
        return _kept(only, tuple(notes))
    notes += [_resampled(part, signal, rate) for part, _ in parts if part.rate != rate]
    made, constant, starts, flagged = at_one_rate(parts, signal, config, rate)
    mean: NDArray[np.float64] = np.nanmean(made, axis=1, dtype=np.float64)
    std: NDArray[np.float64] = np.where(constant, 0, np.nanstd(made, axis=1, dtype=np.float64))
    ones, data = np.ones(len(made)), np.ascontiguousarray(made.T)
    return Decoded(data, ones, 0 * ones, NO_INVALID, mean, std, flagged, starts, tuple(notes))


def _kept(part: Part, notes: tuple[str, ...]) -> Decoded:
    """Channels as they are stored in the file."""
    mean, std = np.empty(len(part.data)), np.empty(len(part.data))
    flagged = np.zeros(1, dtype=np.uint8)
    for rows, x in part.physical():
        flagged = flagged | part.quality(x, rows)
        mean[rows] = np.nanmean(x, axis=1)
        # The rounding of a mean would leave a constant channel a deviation of 1e-17, by which it must never be divided.
        std[rows] = np.where(np.nanmin(x, axis=1) == np.nanmax(x, axis=1), 0, np.nanstd(x, axis=1))
    invalid = NO_INVALID if part.invalid is None else part.invalid
    data = np.ascontiguousarray(part.data.T)
    return Decoded(data, part.gain, part.offset, invalid, mean, std, flagged, part.starts, notes)


def _resampled(part: Part, signal: Signal, rate: float) -> str:
    beside = part.rate != signal.sampling_rate
    said = f"resampled from {part.rate:g} to {rate:g} Hz"
    return f"{said}: {listed(part.names)}" if beside else said


def _part(group: Signal, channels: Sequence[int], modality: str) -> Part:
    """Some channels of a signal, in the unit of the store."""
    chosen = list(channels)
    names = tuple(group.channels[i] for i in chosen)
    factor = np.array([_factor(group.units[i], group.channels[i], modality) for i in chosen])
    voltage = np.array([group.units[i] in VOLTS for i in chosen])
    gain, offset = group.gain[chosen] / factor, group.offset[chosen]
    return Part(names, group.data[chosen], gain, offset, group.invalid, group.sampling_rate, group.starts, voltage)


def _factor(unit: str, name: str, modality: str) -> float:
    kept, factor = kept_unit(unit, cast(Modality, modality))
    if kept != UNITS[modality] and (is_lead(name) or is_electrode(name)):
        raise UnreadableError(f"unit {unit or 'none'}: cannot be turned into {UNITS[modality]}")
    # What is asked for by a name that is no lead and no electrode, such as a temperature, stays in its own unit.
    return factor
