"""Recordings whose samples are read as physical values, and which of their channels go together."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from medcl.errors import UnreadableError
from medcl.readers.signal import Signal, SignalHeader, kept_unit


def kept_channels(
    names: Sequence[str], units: Sequence[str], rates: Sequence[float] | None = None, triggers: Sequence[int] = ()
) -> tuple[list[int], tuple[str, ...]]:
    """Choose the channels of a recording: those of the rate that most of them have, with a unit.

    Args:
        names: of all channels.
        units: as stated; empty where none is.
        rates: Hz; None where all are the same.
        triggers: numbers of the channels that hold marks, not a signal. They are listed without a word about a unit.

    Returns:
        The numbers of the channels, and a flag for each that is kept aside. Without any unit at all, none is aside for
        it: the header says then what is missing.
    """
    rates = rates if rates is not None else [0.0] * len(names)
    signals = [number for number in range(len(names)) if number not in triggers]
    with_unit = [number for number in signals if units[number]] or signals
    counts = Counter(rates[number] for number in with_unit)
    rate = max(counts, key=lambda one: (counts[one], one), default=0.0)
    kept = [number for number in with_unit if rates[number] == rate]
    aside = []
    for number, name in enumerate(names):
        if number in triggers:
            aside.append(f"channel kept aside: {name} (triggers)")
        elif number not in with_unit:
            aside.append(f"channel kept aside: {name} (no unit)")
        elif number not in kept:
            aside.append(f"channel kept aside: {name} ({rates[number]:g} Hz)")
    return kept, tuple(aside)


def physical_signal(header: SignalHeader, values: NDArray[np.floating], starts: tuple[int, ...] = ()) -> Signal:
    """A signal of physical values.

    Args:
        header: with the units that the values are in.
        values: (channels, time).
        starts: samples at which the stretches of a recording with gaps begin; empty where there is no gap.

    Returns:
        The signal, float32: voltages of an ECG in mV, those of an EEG in uV, others as they are.

    Raises:
        UnreadableError: a value that is infinite, or becomes so in float32; not as many values as the header says.
    """
    if values.shape != (len(header.channels), header.n_samples):
        raise UnreadableError(f"damaged file: {values.shape} values, not {len(header.channels)} x {header.n_samples}")
    kept, factors = zip(*(kept_unit(unit, header.modality) for unit in header.units), strict=True)
    with np.errstate(over="ignore", invalid="ignore"):
        data = (values * np.array(factors)[:, None]).astype(np.float32)
    infinite = [name for name, row in zip(header.channels, data, strict=True) if np.isinf(row).any()]
    if infinite:
        raise UnreadableError(f"values that are infinite: in the channels {', '.join(infinite)}")
    nothing = np.zeros(len(kept))
    return Signal(data, header.sampling_rate, header.channels, kept, nothing + 1, nothing, starts=starts)
