"""Channels of EEG that a recording lacks, or that never change, filled in from the others by spherical splines."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from medcl.errors import UnreadableError
from medcl.modality.signal.channels import canonical, listed, renamed
from medcl.modality.signal.montage import place_of

Floats = NDArray[np.float64]
FEWEST = 4
"""Good channels that others are filled in from."""
LARGEST = 0.25
"""Share of the channels, at most, that is filled in."""


def absent(wanted: Sequence[str], present: Sequence[str], names: Mapping[str, str] | None) -> list[str]:
    """Those of the wanted channels that a file does not have; `names` is as of `channels.positions`."""
    had = {canonical(name).casefold() for name in renamed(present, names)}
    return [name for name in wanted if canonical(name).casefold() not in had]


def zero(
    x: NDArray[np.float32], constant: NDArray[np.bool_], good: Sequence[int], count: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Give channels that a recording lacks the value 0.

    Args:
        x: (good, time) values of the others.
        constant: (good,) which of them never change.
        good: their places among all channels.
        count: C.

    Returns:
        (C, time); and (C,) which channels never change.
    """
    every, still = np.zeros((count, x.shape[1]), dtype=np.float32), np.ones(count, dtype=bool)
    every[list(good)], still[list(good)] = x, constant
    return every, still


def filled(x: NDArray[np.float32], good: Sequence[int], channels: Sequence[str]) -> NDArray[np.float32]:
    """Fill channels in by mne's spherical splines (Perrin et al., Electroenceph. Clin. Neurophysiol. 1989).

    Args:
        x: (good, time) values of the good channels.
        good: their places among all channels.
        channels: names of all of them, (C,).

    Returns:
        (C, time); a good channel as it is.

    Raises:
        UnreadableError: too few channels are good.
        UsageError: the position of a channel is not known.
    """
    from mne import create_info
    from mne.channels import make_dig_montage
    from mne.io import RawArray

    bad = [place for place in range(len(channels)) if place not in set(good)]
    if len(good) < FEWEST or len(bad) > LARGEST * len(channels):
        raise UnreadableError(
            f"the channels {listed([channels[place] for place in bad])} are lacking or never change: more than "
            f"a quarter of {len(channels)}, or fewer than {FEWEST} others: data.interpolate cannot fill them in"
        )
    # Interpolation is linear in the good channels: mne is asked what it makes of each by itself.
    unit = np.zeros((len(channels), len(good)))
    unit[list(good), np.arange(len(good))] = 1.0
    raw = RawArray(unit, create_info(list(channels), 100.0, "eeg"), verbose="error")
    raw.set_montage(make_dig_montage(place_of(channels), coord_frame="head"), verbose="error")
    raw.info["bads"] = [channels[place] for place in bad]
    weights = raw.interpolate_bads(origin=(0.0, 0.0, 0.04), verbose="error").get_data()
    found: NDArray[np.float32] = (weights @ x).astype(np.float32)
    found[list(good)] = x
    return found
