"""Recordings as arrays, such as `.npy`: what they are is told by the file, by a side-car or by the user."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from medcl.errors import UnreadableError
from medcl.modality.foreign import foreign
from medcl.modality.signal.channels import canonical_unit, numbered
from medcl.modality.signal.config import Stated
from medcl.modality.signal.formats.channel_choice import Channel, choose, header_of, physical_signal
from medcl.modality.signal.record import Signal, SignalHeader

_LARGEST = 1 << 20  # bytes of a side-car file


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


_MOST_CHANNELS = 4096


def readers(
    format: str, stored_array: Callable[[Path], StoredArray]
) -> tuple[Callable[[Path, Stated], SignalHeader], Callable[[Path, Stated], Signal]]:
    """`read_header` and `read_signal` of a format whose files hold an array: channels x samples, or samples x channels.

    Its sampling rate, channels and unit stand in the file, or in `a.json` beside `a.npy`, or the user states them.
    """

    def described(path: Path, stated: Stated) -> tuple[StoredArray, SignalHeader, list[int], bool]:
        array, (beside, files) = stored_array(path), sidecar(path)
        return array, *array_header(path, format, array.shape, array.known.or_else(beside).or_else(stated), files)

    def read_signal(path: Path, stated: Stated) -> Signal:
        array, header, kept, time_first = described(path, stated)
        return array_signal(header, kept, time_first, array.read())

    return lambda path, stated: described(path, stated)[1], read_signal


def array_header(
    path: Path, format: str, shape: tuple[int, ...], known: Description, files: tuple[str, ...] = ()
) -> tuple[SignalHeader, list[int], bool]:
    """The header of a recording that is one array.

    Returns:
        The header, the numbers of the channels that it names, and whether time is the first axis.

    Raises:
        UnreadableError: which axis is time cannot be told, the rate or the unit is not known, or names do not fit.
    """
    if len(shape) == 1:
        shape = (1, shape[0])
    if len(shape) != 2 or 0 in shape:
        raise UnreadableError(f"an array of shape {' x '.join(map(str, shape))}: a recording is channels x samples")
    named = len(known.channels)
    fits = [axis for axis in (0, 1) if shape[axis] == named] if named else []
    if named and not fits:
        raise UnreadableError(f"{named} names of channels for {shape[0]} x {shape[1]} values: --channels names each")
    if len(fits) != 1 and shape[0] == shape[1]:
        raise UnreadableError(f"an array of {shape[0]} x {shape[1]}: which axis is time cannot be told")
    axis = fits[0] if len(fits) == 1 else int(np.argmin(shape))
    count, length = shape[axis], shape[1 - axis]
    if count > _MOST_CHANNELS:
        raise UnreadableError(f"an array of {shape[0]} x {shape[1]}: no recording has so many channels")
    if known.sampling_rate is None:
        raise UnreadableError("unknown sampling rate: give it with --sampling-rate, or in a side-car .json")
    if len(known.units) not in (0, 1, count):
        raise UnreadableError(f"{len(known.units)} units for {count} channels")
    if not any(known.units):
        raise UnreadableError("unknown unit: give it with --unit (uV, mV, V), or in a side-car .json")
    names = numbered(known.channels) if known.channels else tuple(f"{number + 1}" for number in range(count))
    units = known.units * count if len(known.units) == 1 else known.units
    rate = known.sampling_rate
    channels = [Channel(name, unit, rate) for name, unit in zip(names, units, strict=True)]
    choice = choose(channels)
    flags = (() if known.channels else ("channels without names, numbered",)) + choice.flags
    header = header_of(path, format, channels, choice, length, "eeg", flags, files=(path.name, *files))
    return header, list(choice.kept), axis == 1


def array_signal(header: SignalHeader, kept: list[int], time_first: bool, array: NDArray[Any]) -> Signal:
    """The recording itself, float32, of what `array_header` returned; an UnreadableError where a value is infinite."""
    by_channel = array.reshape(1, -1) if array.ndim == 1 else array.T if time_first else array
    return physical_signal(header, np.asarray(by_channel[kept], dtype=np.float64))


def _stored_array(path: Path) -> StoredArray:
    """The array of a file, of which nothing more is known than its shape.

    Raises:
        UnreadableError: pickled objects, an array of another kind, or truncated.
    """
    with path.open("rb") as file, foreign("numpy", ".npy"):
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, kind = read(file)
        start = file.tell()
    if kind.hasobject:
        raise UnreadableError("pickled objects in a .npy, which can run any program: save the array of numbers alone")
    if kind.kind not in "fiu":
        raise UnreadableError("an array that is not of integers or real numbers: no recording")
    if start + kind.itemsize * int(np.prod([*map(int, shape)], dtype=object)) > path.stat().st_size:
        raise UnreadableError(f"truncated file: it is shorter than its shape {' x '.join(map(str, shape))} says")
    order: Literal["F", "C"] = "F" if fortran else "C"
    return StoredArray(shape, Description(), lambda: np.memmap(path, kind, "r", start, shape, order))


read_header, read_signal = readers("npy", _stored_array)
