"""Recordings whose samples are read as physical values."""

import numpy as np
from numpy.typing import NDArray

from medcl.errors import UnreadableError
from medcl.readers.signal import Signal, SignalHeader, kept_unit


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
    kept, factors = zip(*(kept_unit(unit, header.modality) for unit in header.units), strict=True)
    with np.errstate(over="ignore", invalid="ignore"):
        data = (values * np.array(factors)[:, None]).astype(np.float32)
    infinite = [name for name, row in zip(header.channels, data, strict=True) if np.isinf(row).any()]
    if infinite:
        raise UnreadableError(f"values that are infinite: in the channels {', '.join(infinite)}")
    nothing = np.zeros(len(kept))
    return Signal(
        data, header.sampling_rate, header.channels, kept, nothing + 1, nothing, starts=starts, flags=header.flags
    )
