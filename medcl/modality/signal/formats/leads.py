"""ECGs of leads: how each format's leads become a recording, and the leads that follow from I and II."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medcl.errors import UnreadableError
from medcl.modality.signal.formats.channel_choice import Channel, choose, signal_of
from medcl.modality.signal.formats.channel_names import numbered
from medcl.modality.signal.record import Modality, Signal, SignalHeader


def physical_signal(header: SignalHeader, values: NDArray[np.floating], starts: tuple[int, ...] = (0,)) -> Signal:
    """A signal of physical values.

    Args:
        header: with the units that the values are in.
        values: (channels, time).
        starts: first samples of the stretches without a gap between them.

    Returns:
        The signal, float32: voltages of an ECG in mV, those of an EEG in uV, others as they are.

    Raises:
        UnreadableError: a value that is infinite, or becomes so in float32; not as many values as the header says.
    """
    if values.shape != (len(header.channels), header.n_samples):
        raise UnreadableError(f"damaged file: {values.shape} values, not {len(header.channels)} x {header.n_samples}")
    pairs = zip(header.channels, header.units, strict=True)
    channels = [Channel(name, unit, header.sampling_rate) for name, unit in pairs]
    return physical(values, channels, header.modality, starts=starts, flags=header.flags)


def physical(
    values: NDArray[np.floating],
    channels: Sequence[Channel],
    modality: Modality,
    *,
    starts: tuple[int, ...] = (0,),
    flags: tuple[str, ...] = (),
) -> Signal:
    """Channels of one rate.

    Args:
        values: (channels, time) in the units of the channels.
        channels: as stated.
        modality: of the recording.
        starts: first samples of the stretches without a gap between them.
        flags: what is unusual.

    Returns:
        The signal, float32.

    Raises:
        UnreadableError: a value that is infinite, or becomes so in float32.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        signal = signal_of(values, channels, modality, starts=starts, flags=flags)
    infinite = [name for name, row in zip(signal.channels, signal.data, strict=True) if np.isinf(row).any()]
    if infinite:
        raise UnreadableError(f"values that are infinite: in the channels {', '.join(infinite)}")
    return signal


Values = NDArray[np.float64]


def recording(
    path: Path,
    format: str,
    rate: float,
    leads: Sequence[tuple[str, str, Values]],
    *,
    ids: Mapping[str, str],
    flags: tuple[str, ...] = (),
) -> tuple[SignalHeader, Values]:
    """The header of an ECG whose leads have been read, and its values.

    Args:
        path: of the file.
        format: of the file.
        rate: Hz.
        leads: name, unit and values of each.
        ids: that the file states.
        flags: what is unusual.

    Returns:
        The header, and (channels, time) in its units.

    Raises:
        UnreadableError: no lead, leads of several lengths, or without a unit.
    """
    if not leads:
        raise UnreadableError("no signal: the file holds no lead")
    lengths = {len(values) for _, _, values in leads}
    if len(lengths) > 1:
        raise UnreadableError(f"leads of {len(lengths)} different lengths in one recording")
    names = numbered([name for name, _, _ in leads])
    choice = choose([Channel(name, unit, rate) for name, (_, unit, _) in zip(names, leads, strict=True)])
    header = SignalHeader(
        modality="ecg",
        format=format,
        sampling_rate=rate,
        n_samples=lengths.pop(),
        channels=tuple(names[i] for i in choice.kept),
        units=tuple(leads[i][1] for i in choice.kept),
        ids=dict(ids),
        files=(path.name,),
        flags=(*flags, *choice.flags),
    )
    return header, np.stack([leads[i][2] for i in choice.kept])


def readers(
    read: Callable[[Path], tuple[SignalHeader, Values]],
) -> tuple[Callable[[Path], SignalHeader], Callable[[Path], Signal]]:
    """`read_header` and `read_signal` of a format whose files are read as a whole.

    Args:
        read: the header of a file, and (channels, time) in its units.
    """
    return lambda path: read(path)[0], lambda path: physical_signal(*read(path))


def with_limb_leads(leads: Sequence[tuple[str, str, Values]]) -> tuple[list[tuple[str, str, Values]], tuple[str, ...]]:
    """Add the limb leads that follow from I and II, where a file leaves them out.

    III = II - I, aVR = -(I + II) / 2, aVL = I - II / 2, aVF = II - I / 2 (Einthoven, Goldberger).

    Args:
        leads: name, unit and values of each.

    Returns:
        The leads, III to aVF behind I and II, and a flag if any was computed.
    """
    by_name = {name: (unit, values) for name, unit, values in leads}
    if "I" not in by_name or "II" not in by_name or len(by_name) < len(leads):
        return list(leads), ()
    (unit, one), (other, two) = by_name["I"], by_name["II"]
    if unit != other or len(one) != len(two):
        return list(leads), ()
    made = {"III": two - one, "aVR": -(one + two) / 2, "aVL": one - two / 2, "aVF": two - one / 2}
    new = [name for name in made if name not in by_name]
    if not new:
        return list(leads), ()
    by_name |= {name: (unit, made[name]) for name in new}
    order = ["I", "II", *made, *(name for name, _, _ in leads if name not in ("I", "II", *made))]
    return [(name, *by_name[name]) for name in order], (f"leads computed from I and II: {', '.join(new)}",)
