"""The channels of a recording as signals: those that make it, and beside them those of other rates or units."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medcl.modality.signal.formats.channel_choice import Channel, Choice
from medcl.modality.signal.record import Modality, Signal, kept_unit


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

    Returns:
        The signal, with what is aside.
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
