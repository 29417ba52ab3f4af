"""Which channels of a recording are its signal, and which are set aside: one channel does not cost a recording."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medcl.errors import UnreadableError
from medcl.modality.signal.channels import VOLTS, is_electrode, is_lead, is_trigger, is_unused, listed
from medcl.modality.signal.record import Modality, Signal, SignalHeader, kept_unit, modality_of

ASIDE = "channels aside"
"""How the flags begin that list what was set aside."""
_STEPS = (1e-15, 1e3)  # V of one digital step; no amplifier of biosignals is outside of this
_OTHER_STEPS = (1e-30, 1e30)


@dataclass(frozen=True)
class Channel:
    """A channel as a file states it.

    Args:
        name: as stated, unique in its file.
        unit: canonical; empty where none is stated.
        rate: Hz.
        problem: why it has no values that can be used, such as `no calibration`; empty where it has.
    """

    name: str
    unit: str
    rate: float
    problem: str = ""


@dataclass(frozen=True)
class Choice:
    """The channels that make a recording.

    Args:
        kept: positions of those that are its signal, all of one sampling rate.
        aside: positions of those that can be read as well: other rates, other units, markers.
        flags: what was set aside and why, in words.
    """

    kept: tuple[int, ...]
    aside: tuple[int, ...]
    flags: tuple[str, ...]


def choose(channels: Sequence[Channel]) -> Choice:
    """Choose the channels that are the signal of a recording.

    These are the voltages at the sampling rate that most of the known names (leads, electrodes) have; where none is
    known, at that of most voltages; of equal numbers the higher rate. A recording without any voltage keeps what it
    has, unless leads or electrodes state no unit.

    Raises:
        UnreadableError: nothing can be used.
    """
    usable = [i for i, channel in enumerate(channels) if not channel.problem]
    signals = [i for i in usable if not _is_other(channels[i].name)] or usable
    pool = [i for i in signals if channels[i].unit in VOLTS]
    if not pool:
        silent = [channels[i].name for i in signals if not channels[i].unit]
        pool = [i for i in signals if channels[i].unit]
        if silent and (not pool or any(map(_is_known, silent))):
            raise UnreadableError(f"unknown unit: {_counted(silent)} none; give it with --unit or in the card")
    if not pool:
        found = {c.problem: [one.name for one in channels if one.problem == c.problem] for c in channels}
        said = "; ".join(f"{problem} ({listed(names)})" for problem, names in found.items())
        raise UnreadableError(f"no signal: {said or 'the header states no channel'}")
    votes: dict[float, list[int]] = defaultdict(lambda: [0, 0])
    for i in pool:
        votes[channels[i].rate][0] += _is_known(channels[i].name)
        votes[channels[i].rate][1] += 1
    main = max(votes, key=lambda rate: (*votes[rate], rate))
    kept = tuple(i for i in pool if channels[i].rate == main)
    chosen = set(kept)
    aside = tuple(i for i in usable if i not in chosen)
    return Choice(kept, aside, _flags(channels, kept, main))


def calibration_problem(unit: str, step: float) -> str:
    """What is wrong with the size of one digital step.

    Args:
        unit: canonical.
        step: physical value of one digital step; what is no number stands for a range that is empty.

    Returns:
        `no calibration`, or nothing if it is plausible.
    """
    low, high = _STEPS if unit in VOLTS else _OTHER_STEPS
    return "" if low <= abs(step) * VOLTS.get(unit, 1.0) <= high else "no calibration"


def _is_other(name: str) -> bool:
    return is_trigger(name) or is_unused(name)


def _is_known(name: str) -> bool:
    return is_lead(name) or is_electrode(name)


def _counted(names: Sequence[str]) -> str:
    return f"channel {names[0]} states" if len(names) == 1 else f"channels {listed(names)} state"


def _flags(channels: Sequence[Channel], kept: Sequence[int], main: float) -> tuple[str, ...]:
    reasons: dict[str, list[str]] = defaultdict(list)
    chosen = set(kept)
    for i, channel in enumerate(channels):
        if i in chosen:
            continue
        if channel.problem:
            reasons[channel.problem].append(channel.name)
        elif _is_other(channel.name):
            reasons["unused" if is_unused(channel.name) else "marker"].append(channel.name)
        elif not channel.unit:
            reasons["no unit"].append(channel.name)
        elif channel.rate != main:
            reasons["other sampling rate"].append(f"{channel.name} ({channel.rate:g} Hz)")
        else:
            reasons["no voltage"].append(f"{channel.name} ({channel.unit})")
    flags = [f"{ASIDE}, {reason}: {listed(names)}" for reason, names in reasons.items()]
    twice = [channel.name[:-3] for channel in channels if channel.name.endswith(" #2")]
    if twice:
        flags.append(f"channels of one name, numbered: {listed(twice)}")
    return tuple(flags)


def grouped(
    channels: Sequence[Channel],
    choice: Choice,
    make: Callable[[Sequence[int]], Signal],
    flags: Sequence[str],
) -> Signal:
    """A recording of several sampling rates.

    Args:
        channels: of the file.
        choice: which of them are the signal.
        make: a signal of the channels at these positions, which have one rate.
        flags: of the recording.
    """
    by_rate: dict[float, list[int]] = defaultdict(list)
    for i in choice.aside:
        by_rate[channels[i].rate].append(i)
    return replace(
        make(choice.kept),
        aside=tuple(map(make, by_rate.values())),
        unusable={channel.name: channel.problem for channel in channels if channel.problem},
        flags=tuple(flags),
    )


def signal_of(
    data: NDArray[Any],
    channels: Sequence[Channel],
    modality: Modality,
    gain: NDArray[np.float64] | None = None,
    offset: NDArray[np.float64] | None = None,
    **more: Any,
) -> Signal:
    """Channels of one rate, in the unit that their modality is kept in.

    Args:
        data: (channels, time) digital values, or physical ones in the units of the channels.
        channels: as stated.
        modality: of the recording.
        gain: (channels,) digital values a unit; None for physical data.
        offset: (channels,) digital value of zero; None for physical data.
        **more: other fields of the signal.
    """
    units, factors = zip(*(kept_unit(channel.unit, modality) for channel in channels), strict=True)
    scale = np.array(factors)
    if gain is None or offset is None:
        data = (data * scale[:, None]).astype(np.float32)
        gain, offset, scale = np.ones(len(units)), np.zeros(len(units)), np.ones(len(units))
    names = tuple(channel.name for channel in channels)
    return Signal(data, channels[0].rate, names, tuple(units), gain / scale, offset, **more)


def header_of(
    path: Path,
    format: str,
    channels: Sequence[Channel],
    choice: Choice,
    n_samples: int,
    default: Modality,
    flags: Sequence[str],
    ids: Mapping[str, str] | None = None,
    **more: Any,
) -> SignalHeader:
    """The header of a recording whose channels have been chosen.

    Args:
        path: of the file.
        format: of the file.
        channels: of the file.
        choice: which of them are the signal.
        n_samples: of each of these.
        default: modality where the names of the channels leave it open.
        flags: what is unusual, that of the choice among it.
        ids: that the file states.
        **more: other fields of the header; `files` are by default the one.
    """
    kept = [channels[i] for i in choice.kept]
    names = tuple(channel.name for channel in kept)
    return SignalHeader(
        modality_of(names, default),
        format,
        kept[0].rate,
        n_samples,
        names,
        tuple(channel.unit for channel in kept),
        dict(ids or {}),
        **{"files": (path.name,), **more},
        flags=tuple(flags),
    )


def physical_signal(
    header: SignalHeader,
    values: NDArray[np.floating],
    starts: tuple[int, ...] = (0,),
    span: tuple[int, int] | None = None,
) -> Signal:
    """A signal of physical values (channels, time) in the units of the header, float32.

    Voltages of an ECG become mV, those of an EEG uV, others stay as they are. With `span` the values are those from
    one sample to before another, not all.

    Raises:
        UnreadableError: a value that is infinite, or becomes so in float32; not as many values as the header says.
    """
    expected = header.n_samples if span is None else span[1] - span[0]
    if values.shape != (len(header.channels), expected):
        raise UnreadableError(f"damaged file: {values.shape} values, not {len(header.channels)} x {expected}")
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
    """Channels of one rate as a signal, float32, of values (channels, time) in the units of the channels.

    Raises:
        UnreadableError: a value that is infinite, or becomes so in float32.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        signal = signal_of(values, channels, modality, starts=starts, flags=flags)
    infinite = [name for name, row in zip(signal.channels, signal.data, strict=True) if np.isinf(row).any()]
    if infinite:
        raise UnreadableError(f"values that are infinite: in the channels {', '.join(infinite)}")
    return signal
