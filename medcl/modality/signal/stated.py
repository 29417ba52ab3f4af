"""What a user states of signals whose files leave it open: sampling rate, names of channels, unit."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from medcl.errors import UnreadableError, UsageError
from medcl.modality.signal.record import canonical_unit

_LARGEST = 1 << 20  # bytes of a side-car file


@dataclass(frozen=True)
class Stated:
    """What holds for every file that does not say it itself.

    Args:
        sampling_rate: Hz; None where each file states its own.
        channels: names of the channels, in the order of the file; empty where each file names its own.
        unit: of all channels; empty where each file states its own.
    """

    sampling_rate: float | None = None
    channels: tuple[str, ...] = ()
    unit: str = ""

    def __post_init__(self) -> None:
        if self.sampling_rate is not None and not (math.isfinite(self.sampling_rate) and self.sampling_rate > 0):
            raise UsageError("--sampling-rate is a number of Hz above 0")
        if len(set(self.channels)) < len(self.channels) or not all(self.channels):
            raise UsageError("--channels has an empty name, or one name twice")

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "Stated":
        """From the settings of a scan, as a manifest keeps them."""
        return cls(settings.get("sampling_rate"), tuple(settings.get("channels") or ()), settings.get("unit") or "")

    def settings(self) -> dict[str, Any]:
        """As a manifest keeps it: nothing of what was not stated."""
        all_of_it = {"sampling_rate": self.sampling_rate, "channels": list(self.channels), "unit": self.unit}
        return {name: value for name, value in all_of_it.items() if value}


@dataclass(frozen=True)
class Description:
    """What is known of the channels of one file.

    Args:
        sampling_rate: Hz, or None.
        channels: names, or empty.
        units: one a channel, one for all, or empty.
    """

    sampling_rate: float | None = None
    channels: tuple[str, ...] = ()
    units: tuple[str, ...] = ()

    def or_else(self, other: "Description | Stated") -> "Description":
        """This, and the other's where this leaves something open."""
        units = other.units if isinstance(other, Description) else (other.unit,) if other.unit else ()
        return Description(
            self.sampling_rate or other.sampling_rate, self.channels or other.channels, self.units or units
        )


@dataclass(frozen=True)
class StoredArray:
    """The array that a file of numbers holds.

    Args:
        shape: of it.
        known: what the file itself says of its channels.
        read: the array, of this shape.
    """

    shape: tuple[int, ...]
    known: Description
    read: Callable[[], NDArray[Any]]


def description(values: Mapping[str, Any]) -> Description:
    """Read a description from the fields of a file, by the names that laboratories use.

    Args:
        values: such as `fs` or `sfreq`, `labels` or `ch_names`, `unit` or `units`; other fields are passed over.

    Returns:
        What they say.

    Raises:
        UnreadableError: a rate that is no number.
    """
    fields = {name.lower().replace("_", "").replace("-", ""): value for name, value in values.items()}
    rate = _first(fields, RATE)
    try:
        sampling_rate = None if rate is None else float(rate)
    except (TypeError, ValueError):
        raise UnreadableError("unknown sampling rate: what the file states is no number") from None
    units = _texts(_first(fields, UNITS))
    return Description(sampling_rate, _texts(_first(fields, CHANNELS)), tuple(canonical_unit(unit) for unit in units))


RATE = ("fs", "srate", "sfreq", "samplingrate", "samplerate", "samplingfrequency", "fsample")
CHANNELS: tuple[str, ...] = ("labels", "channels", "channelnames", "channellabels", "chnames", "chanlabels")
CHANNELS += ("leads", "leadnames", "label", "signame", "signames")
UNITS = ("unit", "units")


def sidecar(path: Path) -> tuple[Description, tuple[str, ...]]:
    """The description in the JSON file of the same stem beside a file.

    Args:
        path: of the file of samples, `a.npy`.

    Returns:
        What `a.json` states, and its name; nothing if there is none.

    Raises:
        UnreadableError: it is no JSON object.
    """
    beside = path.with_suffix(".json")
    if beside == path or not beside.is_file():
        return Description(), ()
    try:
        if beside.stat().st_size > _LARGEST:
            raise UnreadableError("its side-car .json is larger than 1 MiB: it holds sampling_rate, channels and unit")
        values = json.loads(beside.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError):
        raise UnreadableError("its side-car .json is not JSON in UTF-8") from None
    if not isinstance(values, dict):
        raise UnreadableError("its side-car .json is no object: it holds sampling_rate, channels and unit")
    return description(values), (beside.name,)


def _first(fields: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((fields[name] for name in names if fields.get(name) is not None), None)


def _texts(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    try:
        texts = list(value)
    except TypeError:
        return ()
    # Numbers under such a name are classes or places, not names.
    return tuple(one.strip() for one in texts) if all(isinstance(one, str) for one in texts) else ()
