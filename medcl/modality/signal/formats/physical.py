"""Recordings whose samples are read as physical values."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from medcl.errors import UnreadableError
from medcl.modality.signal.formats.channel_choice import Channel
from medcl.modality.signal.formats.channel_groups import signal_of
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
