"""What a reader of recordings returns: a header, a signal, and the units they are in; and what a scan keeps of it."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from medcl.errors import UnreadableError
from medcl.modality.signal.channels import VOLTS, is_electrode, is_lead
from medcl.wording import counted, line, occurrences, unusual, usable_rows

Modality = Literal["ecg", "eeg"]

_KEPT_IN = {"ecg": "mV", "eeg": "uV"}
WRONG_CHECKSUM = "wrong checksum"
CUT = "last data record incomplete"
DAMAGED = (WRONG_CHECKSUM, CUT)
"""How the flags begin of recordings that are usable and not what was recorded: a strict scan refuses them."""
_RATES = (1.0, 1e6)
"""Hz; an ECG or EEG has no fewer samples, and no recorder takes more."""


@dataclass(frozen=True)
class SignalHeader:
    """What a recording says of itself, without its samples.

    Args:
        modality: `ecg` or `eeg`, by the names of the channels where the format leaves it open.
        format: `wfdb`, `edf`, `bdf`, `gdf`, `fif`, `brainvision` or `eeglab`.
        sampling_rate: Hz, of all channels that are named here.
        n_samples: a channel.
        channels: names as stated, of the channels that are the signal (`channel_choice`).
        units: as stated, in one spelling: `V`, `mV`, `uV`, `nV`; others as they are.
        ids: clear ids that the header carries, such as `patient`. Never a name or a birth date by themselves.
        files: every file of the recording relative to the folder of the header, the header first.
        segments: header files of the segments of a multi-segment WFDB record; they are no recordings of their own.
        flags: what is unusual, in words: channels that are set aside, gaps, damage that costs nothing else.
        event: that the recording was cut around; empty where it is a whole one.
        part: which of the epochs of its file it is, from 0.
    """

    modality: Modality
    format: str
    sampling_rate: float
    n_samples: int
    channels: tuple[str, ...]
    units: tuple[str, ...]
    ids: dict[str, str]
    files: tuple[str, ...]
    segments: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    event: str = ""
    part: int = 0

    def __post_init__(self) -> None:
        if not (np.isfinite(self.sampling_rate) and self.sampling_rate > 0):
            raise UnreadableError("unknown sampling rate: the header states none that is above 0 Hz")
        if not _RATES[0] <= self.sampling_rate <= _RATES[1]:
            raise UnreadableError(
                f"sampling rate of {self.sampling_rate:g} Hz: an ECG or EEG has between {_RATES[0]:g} and {_RATES[1]:g}"
            )
        if not self.channels:
            raise UnreadableError("no signal: the header states no channel")
        if self.n_samples <= 0:
            raise UnreadableError("zero length: the header states no samples")
        for name, unit in zip(self.channels, self.units, strict=True):
            if not unit:
                raise UnreadableError(f"unknown unit: channel {name} states none")


@dataclass(frozen=True)
class Signal:
    """A recording.

    Args:
        data: (channels, time) digital values (int16, int32) or physical ones (float32).
        sampling_rate: Hz.
        channels: names as stated.
        units: that `physical` is in: mV for an ECG, uV for an EEG, where the file states a voltage.
        gain: (channels,) digital values a unit; ones for physical data.
        offset: (channels,) digital value of zero; zeros for physical data.
        invalid: digital value that means "not a number"; None if there is none.
        starts: first samples of the stretches without a gap between them, from 0 on.
        aside: channels that are no part of the signal but can be asked for: of other sampling rates or units, markers.
        unusable: name of a channel -> why it holds no values.
        flags: what is unusual, in words, of the header and of the samples.
    """

    data: NDArray[Any]
    sampling_rate: float
    channels: tuple[str, ...]
    units: tuple[str, ...]
    gain: NDArray[np.float64]
    offset: NDArray[np.float64]
    invalid: int | None = None
    starts: tuple[int, ...] = (0,)
    aside: "tuple[Signal, ...]" = ()
    unusable: dict[str, str] = field(default_factory=dict)
    flags: tuple[str, ...] = ()

    def physical(self) -> NDArray[np.float32]:
        """The signal in `units`.

        Returns:
            (channels, time) float32; what is no number is NaN.
        """
        if np.issubdtype(self.data.dtype, np.floating):
            return self.data.astype(np.float32, copy=False)
        # Not through float32: 24 and 32 bits would lose their last places before the offset is taken off.
        values = ((self.data - self.offset[:, None]) / self.gain[:, None]).astype(np.float32)
        if self.invalid is not None:
            values[self.data == self.invalid] = np.nan
        return values

    def part(self, first: int, last: int) -> "Signal":
        """The samples from one number to before another, counted in the main channels, as one stretch."""

        def cut(one: "Signal") -> "Signal":
            scale = one.sampling_rate / self.sampling_rate
            return replace(one, data=one.data[:, round(first * scale) : round(last * scale)], starts=(0,))

        return replace(cut(self), aside=tuple(map(cut, self.aside)))


@dataclass(frozen=True)
class Pieces:
    """A recording that is open and read a piece at a time, so that memory does not grow with its length.

    Args:
        starts: first samples of the stretches without a gap between them, from 0 on, in the main channels.
        read: (first, last) -> the samples from one number to before another, counted in the main channels, as one
            stretch.
    """

    starts: tuple[int, ...]
    read: Callable[[int, int], Signal]


def kept_unit(unit: str, modality: Modality) -> tuple[str, float]:
    """The unit that a signal is kept in, and the factor to get there.

    Args:
        unit: canonical.
        modality: ECGs are kept in mV, EEGs in uV; what is no voltage stays as it is.

    Returns:
        Unit, and what a value in `unit` is multiplied by.
    """
    if unit not in VOLTS:
        return unit, 1.0
    kept = _KEPT_IN[modality]
    return kept, VOLTS[unit] / VOLTS[kept]


def modality_of(channels: Sequence[str], default: Modality) -> Modality:
    """Tell an ECG from an EEG by the names of its channels.

    Returns:
        `ecg` if every name is that of an ECG lead; `eeg` if names are electrodes of the 10-20 system and none is a
        lead; else the default.
    """
    leads = list(map(is_lead, channels))
    if leads and all(leads):
        return "ecg"
    return "eeg" if not any(leads) and any(map(is_electrode, channels)) else default


MODALITIES = ("ecg", "eeg")
OWN_STUDY = False
_BETWEEN = "\x1f"  # names of channels


def columns(header: SignalHeader) -> dict[str, Any]:
    """The columns of the manifest that a header fills: rate in Hz, samples, channels, units as stated."""
    epoch = {"epoch_event": header.event, "part": header.part} if header.event else {}
    return epoch | {
        "modality": header.modality,
        "sampling_rate": header.sampling_rate,
        "n_samples": header.n_samples,
        "n_channels": len(header.channels),
        "channels": list(header.channels),
        "units": list(header.units),
        "flags": list(header.flags),
    }


def summary(records: pa.Table) -> str | None:
    """See `WingScan.summary`."""
    usable = usable_rows(records)
    if not len(usable):
        return None
    seconds = pc.sum(pc.divide(pc.cast(usable["n_samples"], "double"), usable["sampling_rate"]))
    flags = Counter[str]()
    for flag, number in occurrences(pc.list_flatten(usable["flags"])).items():
        flags[flag.split(":")[0]] += number
    rates = occurrences(usable["sampling_rate"]).most_common()
    channels = occurrences(pc.binary_join(usable["channels"], _BETWEEN)).most_common()
    lines = [
        line("hours", f"{(seconds.as_py() or 0.0) / 3600:.2f}"),
        line("sampling rate", counted({f"{rate:g} Hz": number for rate, number in rates})),
        line("channels", counted({_short(names.split(_BETWEEN)): number for names, number in channels})),
    ]
    return "\n".join([*lines, *unusual(dict(flags.most_common()), "recordings")])


def _short(names: Sequence[str]) -> str:
    return f"{len(names)} ({' '.join(names[:12])}{' ...' if len(names) > 12 else ''})"
