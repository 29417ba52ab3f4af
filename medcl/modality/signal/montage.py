"""What the channels of a recording are measured against: derivations A-B, the common average, a Laplacian."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from medcl.errors import UsageError
from medcl.modality.signal.channels import canonical, listed, renamed
from medcl.modality.signal.config import SignalConfig

Floats = NDArray[np.float64]
NEIGHBOURS = 4
"""Of an electrode, whose mean its Laplacian takes off (Hjorth 1975)."""
_POSITIONS = ("colin27_1005", "standard_1005")
"""One set of positions, by its names in newer and older mne."""


def check(config: SignalConfig, channels: Sequence[str], modality: str) -> None:
    """Refuse (UsageError) a reference, or an interpolation, that the channels do not have."""
    if config.reference == "none" and not config.interpolate and not config.zero_missing:
        return
    if modality != "eeg" and (config.reference != "none" or config.interpolate):
        raise UsageError(f"data.reference and data.interpolate are of EEG, the manifest holds {modality}")
    if config.zero_missing and (config.interpolate or config.reference != "none"):
        raise UsageError(
            "data.zero_missing: a channel that is 0 is not filled in, and no reference is taken from it: leave out "
            "data.interpolate and data.reference"
        )
    matrix(config.reference, channels)
    if config.interpolate:
        place_of(channels)


def ends(wanted: Sequence[str], present: Sequence[str], names: Mapping[str, str] | None) -> tuple[list[str], Floats]:
    """The channels of a file that the wanted ones are made of.

    Args:
        wanted: names; `C3-P3` is the difference of two channels, where the file does not have it by this name.
        present: names in the file.
        names: name in the file -> the name it is wanted by.

    Returns:
        Names (P,) and the matrix (wanted, P) by which these are multiplied.
    """
    had = {canonical(name).casefold() for name in renamed(present, names)}
    parts = []
    for name in wanted:
        plus, _, minus = name.partition("-")
        made = minus and canonical(name).casefold() not in had
        made = made and {canonical(plus).casefold(), canonical(minus).casefold()} <= had
        parts.append((plus, minus) if made else (name,))
    needed = list(dict.fromkeys(one for part in parts for one in part))
    found = np.zeros((len(parts), len(needed)))
    for row, part in enumerate(parts):
        for sign, one in zip((1, -1), part, strict=False):
            found[row, needed.index(one)] = sign
    return needed, found


def matrix(reference: str, channels: Sequence[str]) -> Floats:
    """The matrix (C, C) by which channels are referenced.

    `average` takes off the mean of all channels; `laplacian` that of the four nearest electrodes among the channels, by
    mne's positions of the 10-05 system (Hjorth, An on-line transformation of EEG scalp potentials into orthogonal
    source derivations, 1975); `none` changes nothing.

    Raises:
        UsageError: there is one channel, or a channel whose position is not known.
    """
    n = len(channels)
    if reference == "none":
        return np.eye(n)
    if n < 2:
        raise UsageError(f"data.reference: {reference} takes two channels or more, data.channels has {n}")
    if reference == "average":
        return np.eye(n) - 1 / n
    places = np.array(list(place_of(channels).values()))
    distance = np.linalg.norm(places[:, None] - places, axis=2)
    np.fill_diagonal(distance, np.inf)
    nearest = np.argsort(distance, axis=1, kind="stable")[:, : min(NEIGHBOURS, n - 1)]
    found = np.eye(n)
    np.put_along_axis(found, nearest, -1 / nearest.shape[1], axis=1)
    return found


def place_of(
    channels: Sequence[str], asked: str = "data.reference laplacian and data.interpolate take"
) -> dict[str, Floats]:
    """Where electrodes lie on the head, (3,) in m, by mne's positions of the 10-05 system.

    Args:
        channels: names.
        asked: the settings that take them, and a verb, for the message.

    Raises:
        UsageError: a channel whose position is not known.
    """
    from mne.channels import get_builtin_montages, make_standard_montage

    named = next(name for name in _POSITIONS if name in get_builtin_montages())
    every = make_standard_montage(named).get_positions()["ch_pos"]
    known = {canonical(name).casefold(): at for name, at in every.items()}
    unknown = [name for name in channels if canonical(name).casefold() not in known]
    if unknown:
        raise UsageError(
            f"{asked} electrodes of the scalp, and no position is known of {listed(unknown)}: name the others with "
            "data.channels"
        )
    return {name: known[canonical(name).casefold()] for name in channels}
