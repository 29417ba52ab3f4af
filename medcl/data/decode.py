"""Decode one recording for the store: its channels in order, in their unit, resampled and filtered where asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from medcl.archive.unchanged import Scanned, require_unchanged
from medcl.data import filters
from medcl.data.channels import positions
from medcl.data.config import SignalConfig
from medcl.data.quality import flags, second_of
from medcl.data.volume_memory import available
from medcl.errors import UnreadableError, reason
from medcl.readers.formats import read_signal
from medcl.readers.signal import Modality, Signal, kept_unit

UNITS = {"ecg": "mV", "eeg": "uV"}
"""Modality -> unit of the physical values in a store."""
NO_INVALID = np.iinfo(np.int64).min
LARGEST = 1e9
"""Largest magnitude of a physical value, in mV of an ECG and uV of an EEG: an amplifier ends below 1e7 uV."""
NEEDED = 4
"""Bytes of memory that a sample takes at least: it is read as float32, or as integers and more."""
_VALUES_AT_A_TIME = 1 << 23


@dataclass(frozen=True)
class Job:
    """A recording to decode, and how.

    Args:
        scanned: its files, as they were when they were scanned.
        modality: `ecg` or `eeg`, which gives the unit.
        values: samples of all channels, by the manifest.
        config: with sampling rate and channels.
    """

    scanned: Scanned
    modality: str
    values: float
    config: SignalConfig


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
    """

    data: NDArray[Any]
    gain: NDArray[np.float64]
    offset: NDArray[np.float64]
    invalid: int
    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    flags: NDArray[np.uint8]


def decode_all(jobs: Sequence[Job]) -> list[Decoded | str]:
    """Decode recordings; a text is the reason why one cannot be."""
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
        return _decode(read_signal(job.scanned.root / job.scanned.path, job.scanned.format), job)
    except Exception as error:
        return reason(error)


def _decode(signal: Signal, job: Job) -> Decoded:
    config, rate = job.config, signal.sampling_rate
    names, wanted_rate = config.channels or [], config.sampling_rate or rate
    chosen = positions(names, signal.channels)
    factor = np.array([_factor(signal.units[i], job.modality) for i in chosen])
    data, gain, offset = signal.data[chosen], signal.gain[chosen] / factor, signal.offset[chosen]
    missing = np.isnan(data) if np.issubdtype(data.dtype, np.floating) else data == signal.invalid
    empty = [name for name, gone in zip(names, missing, strict=True) if gone.all()]
    if empty:
        raise UnreadableError(f"no value in the channels {', '.join(empty)}")
    changes = wanted_rate != rate or config.band is not None or config.notch is not None
    if changes and missing.any():
        raise UnreadableError(
            "has gaps, values that are not a number, over which a filter would spread: prepare it without resampling, "
            "data.band and data.notch"
        )
    mean, std = np.empty(len(chosen)), np.empty(len(chosen))
    flagged = np.zeros(int(second_of(np.array(data.shape[1] - 1), rate)) + 1, dtype=np.uint8)
    made: list[NDArray[np.float32]] = []
    # Some channels at a time: in float64, a day of 64 channels is several times as large as its file.
    step = max(1, _VALUES_AT_A_TIME // data.shape[1])
    for part in (slice(first, first + step) for first in range(0, len(chosen), step)):
        with np.errstate(over="ignore", invalid="ignore"):
            x = (data[part] - offset[part, None]) / gain[part, None]
        x[missing[part]] = np.nan
        _require_sound(x, names[part], UNITS[job.modality])
        for channel in x:
            flagged |= flags(channel, rate)
        constant = np.nanmin(x, axis=1) == np.nanmax(x, axis=1)
        if changes:
            x = filters.resample(x, rate, wanted_rate) if wanted_rate != rate else x
            x = filters.band_and_notch(x, wanted_rate, config)
            made.append(x.astype(np.float32))
        mean[part] = np.nanmean(x, axis=1)
        # The rounding of a mean would leave a constant channel a deviation of 1e-17, by which it must never be divided.
        std[part] = np.where(constant, 0, np.nanstd(x, axis=1))
    if changes:
        data, gain, offset = np.concatenate(made), np.ones(len(chosen)), np.zeros(len(chosen))
    invalid = NO_INVALID if changes or signal.invalid is None else signal.invalid
    # Resampling may round a last, begun second away or into being.
    seconds = int(second_of(np.array(data.shape[1] - 1), wanted_rate)) + 1
    flagged = np.pad(flagged, (0, max(0, seconds - len(flagged))), mode="edge")[:seconds]
    return Decoded(np.ascontiguousarray(data.T), gain, offset, invalid, mean, std, flagged)


def _require_sound(x: NDArray[np.floating], names: Sequence[str], unit: str) -> None:
    """Refuse physical values (channels, time) that no recording has, NaN aside: a gain in the header is wrong."""
    for name, channel in zip(names, x, strict=True):
        largest = float(np.nanmax(np.abs(channel)))
        if not np.isfinite(largest):
            raise UnreadableError(f"infinite values in channel {name}: its calibration is wrong, or its samples are")
        if largest > LARGEST:
            raise UnreadableError(
                f"values of up to {largest:.3g} {unit} in channel {name}, above the limit of {LARGEST:g} {unit}: its "
                "calibration or its unit is wrong"
            )


def _factor(unit: str, modality: str) -> float:
    kept, factor = kept_unit(unit, cast(Modality, modality))
    if kept != UNITS[modality]:
        raise UnreadableError(f"unit {unit}: cannot be turned into {UNITS[modality]}")
    return factor
