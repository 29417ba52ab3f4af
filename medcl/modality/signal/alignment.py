"""Euclidean alignment: the channels of a person's recordings, turned so that their mean covariance is the identity."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from medcl.errors import UsageError
from medcl.modality.rows import Ints
from medcl.modality.signal.config import SignalConfig

Floats = NDArray[np.float64]
Windows = NDArray[np.float32]
_LEAST = 1e-6
"""Of the mean eigenvalue: below it a direction has no signal but what rounding leaves, as in an average reference."""
_WINDOWS = 64
"""Of a recording whose covariance is taken, at most, evenly spread."""
_MATRICES = 4096
"""That are kept in memory at most."""


def check(config: SignalConfig) -> None:
    """Refuse (UsageError) an alignment that does not go with the rest of a configuration."""
    if config.align != "none" and config.standardise != "none":
        raise UsageError(
            f"data.align scales the channels of a recording together, data.standardise ({config.standardise}) each by "
            "itself: set data.standardise to none"
        )
    if config.clip < 0:
        raise UsageError(f"data.clip: {config.clip:g} is below 0; 0 does not clip")
    if config.align_online and config.align == "none":
        raise UsageError("data.align_online: say with data.align whose recordings are aligned together")


def note(config: SignalConfig) -> str:
    """What a report says of the alignment of its recordings; empty without one."""
    if config.align == "none":
        return ""
    whose = {"patient": "of a patient", "session": "of a session", "recording": "recording by itself"}[config.align]
    if config.align == "recording":
        said = f"each {whose}"
    else:
        said = f"each {whose} with those before it" if config.align_online else f"all recordings {whose} together"
    return (
        f"Euclidean alignment of {said}: of the recordings that are tested, too, the channels' covariance is used, "
        "never a label."
    )


def covariance(windows: Windows) -> Floats:
    """The mean covariance (C, C) of windows (n, C, T), each less its own mean, divided by T - 1."""
    x = windows.astype(np.float64)
    x -= x.mean(axis=2, keepdims=True)
    mean: Floats = np.einsum("nct,ndt->cd", x, x, optimize=True) / (len(x) * max(1, x.shape[2] - 1))
    return mean


def whitening(matrix: Floats) -> Floats:
    """The inverse square root R^-1/2 of a covariance (C, C); directions without signal are set to 0."""
    values, vectors = np.linalg.eigh(matrix)
    seen = values > _LEAST * max(float(values.mean()), 0.0)
    inverse: Floats = (vectors * np.where(seen, 1 / np.sqrt(np.where(seen, values, 1)), 0)) @ vectors.T
    return inverse


def spread(windows: NDArray[np.int64]) -> Ints:
    """Those of the windows of a recording (n,) whose covariance is taken."""
    return windows[np.linspace(0, len(windows) - 1, min(len(windows), _WINDOWS)).round().astype(np.int64)]


def aligned_alone(windows: Windows) -> Windows:
    """Align the windows (n, C, T) of one recording by their own covariance, as a person's only one."""
    turn = whitening(covariance(windows[spread(np.arange(len(windows)))]))
    aligned: Windows = turn.astype(np.float32) @ (windows - windows.mean(axis=2, keepdims=True))
    return aligned


class Alignment:
    """Aligns windows by the recordings of their group: a patient, a session or the recording alone.

    He and Wu, Transfer Learning for Brain-Computer Interfaces: A Euclidean Space Data Alignment Approach, IEEE TBME
    2020, eq. 10 and 11: with R the mean covariance of a group's recordings, X' = R^-1/2 X. A recording's covariance is
    the mean over 64 of its windows, evenly spread. Online, R is the mean of the recordings up to and with the one that
    is aligned, in the order of the manifest, so that nothing later is used. No label is used in either form. Matrices
    are computed when a group is first met.

    Args:
        groups: (W,) of each window.
        rows: (W,) row of the manifest of each window, ascending.
        read: windows by their numbers, (n, C, T), in physical units.
        online: whether a recording is aligned by those before it and itself alone.
    """

    def __init__(self, groups: Ints, rows: Ints, read: Callable[[Ints], Windows], *, online: bool) -> None:
        self._groups, self._rows, self._read, self._online = groups, rows, read, online
        self._order = np.argsort(groups, kind="stable")
        self._sorted = groups[self._order]
        self._found: dict[int, Windows] = {}

    def __call__(self, numbers: Ints, x: Windows) -> Windows:
        """Align windows (B, C, T) in physical units, which are those of these numbers (B,)."""
        x = x - x.mean(axis=2, keepdims=True)
        keys = self._rows if self._online else self._groups
        turns = np.stack([self._matrix(int(keys[number]), int(number)) for number in numbers.tolist()])
        aligned: Windows = np.matmul(turns, x)
        return aligned

    def _matrix(self, key: int, number: int) -> Windows:
        if key not in self._found:
            own = self._of_group(int(self._groups[number]))
            while len(self._found) + len(own) > max(_MATRICES, len(own)):
                self._found.pop(next(iter(self._found)))
            self._found |= own
        return self._found[key]

    def _of_group(self, group: int) -> dict[int, Windows]:
        first, last = np.searchsorted(self._sorted, [group, group + 1])
        members = np.sort(self._order[first:last])
        records, starts = np.unique(self._rows[members], return_index=True)
        parts = np.split(members, starts[1:])
        covariances = np.stack([covariance(self._read(spread(part))) for part in parts])
        if not self._online:
            return {group: whitening(covariances.mean(axis=0)).astype(np.float32)}
        running = np.cumsum(covariances, axis=0) / np.arange(1, len(parts) + 1)[:, None, None]
        return {int(row): whitening(one).astype(np.float32) for row, one in zip(records, running, strict=True)}
