"""What a reader of recordings returns: a header, a signal, and the units they are in."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from medcl.errors import UnreadableError

Modality = Literal["ecg", "eeg"]

_VOLTS = {"V": 1.0, "mV": 1e-3, "uV": 1e-6, "nV": 1e-9}
_SPELLINGS = {
    **{name: name for name in _VOLTS},
    **{name.lower(): name for name in _VOLTS},
    # Two characters look like mu, and a third byte pair is mu in the Japanese encoding of some recorders.
    **dict.fromkeys(["\u00b5V", "\u03bcV", "\x83\xcaV", "\u00c2\u00b5V", "UV", "\u00b5v", "\u03bcv"], "uV"),
    **dict.fromkeys(["microvolt", "microvolts", "microV"], "uV"),
    **dict.fromkeys(["millivolt", "millivolts"], "mV"),
    **dict.fromkeys(["volt", "volts", "Volt", "Volts"], "V"),
}
_KEPT_IN = {"ecg": "mV", "eeg": "uV"}

_LEAD = re.compile(r"(lead )?(i|ii|iii|av[rlf]|v\d{1,2}r?|vx|vy|vz|mcl\d?|ml(i|ii|iii)|cm\d|d\d|ecg\d*|ekg\d*)")
_ELECTRODE = re.compile(r"(fp|af|f|fc|ft|c|cp|t|tp|p|po|o|i|a|m)(z|\d{1,2})")


@dataclass(frozen=True)
class SignalHeader:
    """What a recording says of itself, without its samples.

    Args:
        modality: `ecg` or `eeg`, by the names of the channels where the format leaves it open.
        format: `wfdb`, `edf`, `bdf`, `gdf`, `fif`, `brainvision` or `eeglab`.
        sampling_rate: Hz, of all channels.
        n_samples: a channel.
        channels: names as stated.
        units: as stated, in one spelling: `V`, `mV`, `uV`, `nV`; others as they are.
        ids: clear ids that the header carries, such as `patient`. Never a name or a birth date by themselves.
        files: every file of the recording relative to the folder of the header, the header first.
        segments: header files of the segments of a multi-segment WFDB record; they are no recordings of their own.
        flags: what is unusual, in words, such as a channel that is kept aside.
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

    def __post_init__(self) -> None:
        if not (np.isfinite(self.sampling_rate) and self.sampling_rate > 0):
            raise UnreadableError("unknown sampling rate: the header states none that is above 0 Hz")
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
        starts: samples at which the stretches of a recording with gaps begin, 0 first; empty where there is no gap.
    """

    data: NDArray[Any]
    sampling_rate: float
    channels: tuple[str, ...]
    units: tuple[str, ...]
    gain: NDArray[np.float64]
    offset: NDArray[np.float64]
    invalid: int | None = None
    starts: tuple[int, ...] = ()

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


class IncompleteError(UnreadableError):
    """A recording that is known by its header but cannot be read.

    Args:
        message: why.
        files: of the recording, relative to the folder of the header, the header first.
    """

    def __init__(self, message: str, files: tuple[str, ...]) -> None:
        super().__init__(message)
        self.files = files


def canonical_unit(text: str) -> str:
    """One spelling for the units of voltage.

    Args:
        text: as stated, such as the five ways to write microvolt.

    Returns:
        `V`, `mV`, `uV` or `nV`; any other text without the space around it.
    """
    return _SPELLINGS.get(text.strip(), text.strip())


def kept_unit(unit: str, modality: Modality) -> tuple[str, float]:
    """The unit that a signal is kept in, and the factor to get there.

    Args:
        unit: canonical.
        modality: ECGs are kept in mV, EEGs in uV; what is no voltage stays as it is.

    Returns:
        Unit, and what a value in `unit` is multiplied by.
    """
    if unit not in _VOLTS:
        return unit, 1.0
    kept = _KEPT_IN[modality]
    return kept, _VOLTS[unit] / _VOLTS[kept]


def modality_of(channels: Sequence[str], default: Modality) -> Modality:
    """Tell an ECG from an EEG by the names of its channels.

    Args:
        channels: names as stated.
        default: what the format is used for as a rule.

    Returns:
        `ecg` if every name is that of an ECG lead; `eeg` if names are electrodes of the 10-20 system and none is a
        lead; else the default.
    """
    leads = [bool(_LEAD.fullmatch(name.strip().lower())) for name in channels]
    if leads and all(leads):
        return "ecg"
    return "eeg" if not any(leads) and any(map(_is_electrode, channels)) else default


def _is_electrode(name: str) -> bool:
    """`Fp1`, `EEG Fp1-REF`, and of a bipolar channel, `FP1-F7`, either end."""
    ends = re.sub(r"^eeg\s+", "", name.strip().lower()).split("-")
    return any(_ELECTRODE.fullmatch(end.strip()) for end in ends)
