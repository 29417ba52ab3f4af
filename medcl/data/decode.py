"""Decode one recording for the store: its channels in order, in their unit, resampled and filtered where asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from medcl.data import filters
from medcl.data.channels import positions
from medcl.data.config import SignalConfig
from medcl.data.quality import flags, second_of
from medcl.errors import UnreadableError
from medcl.readers.formats import read_signal
from medcl.readers.signal import Modality, Signal, kept_unit

UNITS = {"ecg": "mV", "eeg": "uV"}
"""Modality -> unit of the physical values in a store."""
NO_INVALID = np.iinfo(np.int64).min
_VALUES_AT_A_TIME = 1 << 23


@dataclass(frozen=True)
class Job:
    """A recording to decode, and how.

    Args:
        path: of its header.
        format: as the manifest has it.
        modality: `ecg` or `eeg`, which gives the unit.
        config: with sampling rate and channels.
    """

    path: str
    format: str
    modality: str
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
    return [_decoded_or_reason(job) for job in jobs]


def _decoded_or_reason(job: Job) -> Decoded | str:
    try:
        return _decode(read_signal(Path(job.path), job.format, job.stated), job)
    except UnreadableError as error:
        return str(error)
    except OSError as error:
        # Without the path, which may name a patient.
        return f"cannot be read: {error.strerror or type(error).__name__}"


def _decode(signal: Signal, job: Job) -> Decoded:
    config = job.config
    wanted = config.sampling_rate or signal.sampling_rate
    parts = _parts(signal, config, job.modality)
    data, gain, offset = (np.concatenate(arrays) for arrays in zip(*((p.data, p.gain, p.offset) for p in parts)))
    return Decoded()
