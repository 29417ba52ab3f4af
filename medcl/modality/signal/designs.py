"""The zero-phase FIR filters that a configuration of recordings asks for, as mne designs them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medcl.modality.signal.config import SignalConfig

NOTCH_EDGE = 1.0
"""Hz to either side of a notch in which the signal comes back. The filter has 3.7 s; half of this would double it."""


@dataclass(frozen=True)
class Design:
    """One filter.

    Args:
        low: edge of a high-pass in Hz, None without one.
        high: edge of a low-pass in Hz; below `low` it is a band-stop.
        transition: width of both transition bands in Hz, or `auto`, mne's own.
    """

    low: float | None
    high: float | None
    transition: float | str

    @property
    def mne(self) -> dict[str, Any]:
        """As mne's functions take it."""
        bands = {"l_trans_bandwidth": self.transition, "h_trans_bandwidth": self.transition}
        return {"l_freq": self.low, "h_freq": self.high, **bands, "verbose": "error"}

    def taps(self, rate: float) -> NDArray[np.float64]:
        """The symmetric filter, (taps,), at a sampling rate in Hz."""
        import mne

        found: NDArray[np.float64] = mne.filter.create_filter(None, rate, **self.mne)
        return found


def designs(config: SignalConfig) -> list[Design]:
    """The filters of a configuration, in their order."""
    found = []
    if config.band is not None and list(config.band) != [None, None]:
        found.append(Design(config.band[0], config.band[1], "auto"))
    if config.notch is not None:
        # A band-stop, which mne writes as a high-pass that begins above where the low-pass ends.
        found.append(Design(config.notch + NOTCH_EDGE, config.notch - NOTCH_EDGE, 0.9 * NOTCH_EDGE))
    return found
