"""Arrays of samples without a header: which axis is time, and what is known of the channels."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medcl.errors import UnreadableError
from medcl.modality.signal.formats.channel_choice import Channel, choose
from medcl.modality.signal.formats.channel_names import numbered
from medcl.modality.signal.formats.leads import physical_signal
from medcl.modality.signal.record import Signal, SignalHeader, modality_of
from medcl.modality.signal.stated import Description, Stated, StoredArray, sidecar

_MOST_CHANNELS = 4096


def readers(
    format: str, stored_array: Callable[[Path], StoredArray]
) -> tuple[Callable[[Path, Stated], SignalHeader], Callable[[Path, Stated], Signal]]:
    """`read_header` and `read_signal` of a format whose files hold an array: channels x samples, or samples x channels.

    Its sampling rate, channels and unit stand in the file, or in `a.json` beside `a.npy`, or the user states them.

    Args:
        format: of the files.
        stored_array: the array of a file, and what the file says of it.
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

    Args:
        path: of the file.
        format: of the file.
        shape: of the array, one or two dimensions.
        known: sampling rate, names and units of the channels.
        files: beside the file.

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
    choice = choose([Channel(name, unit, rate) for name, unit in zip(names, units, strict=True)])
    channels = tuple(names[number] for number in choice.kept)
    header = SignalHeader(
        modality=modality_of(channels, "eeg"),
        format=format,
        sampling_rate=rate,
        n_samples=length,
        channels=channels,
        units=tuple(units[number] for number in choice.kept),
        ids={},
        files=(path.name, *files),
        flags=(() if known.channels else ("channels without names, numbered",)) + choice.flags,
    )
    return header, list(choice.kept), axis == 1


def array_signal(header: SignalHeader, kept: list[int], time_first: bool, array: NDArray[Any]) -> Signal:
    """The recording itself.

    Args:
        header: and the next two: as `array_header` returns them.
        kept: numbers of the channels.
        time_first: whether time is the first axis.
        array: of the shape that it was given.

    Returns:
        The signal, float32.

    Raises:
        UnreadableError: an infinite value.
    """
    by_channel = array.reshape(1, -1) if array.ndim == 1 else array.T if time_first else array
    return physical_signal(header, np.asarray(by_channel[kept], dtype=np.float64))
