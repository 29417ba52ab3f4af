"""Purity: whether the nearest neighbours of a vector are of its own patient, study or class."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medcl.stats.ranking import Ints

K = 10
"""Number of neighbours."""


@dataclass(frozen=True)
class Purity:
    """How often neighbours share something.

    Args:
        share: mean over the rows that have a partner, from 0 to 1.
        chance: the same where neighbours are drawn at random.
        rows: number of rows that have a partner.
    """

    share: float
    chance: float
    rows: int


def purity(neighbours: Ints, codes: NDArray[np.integer[Any]], patients: Ints | None = None, k: int = K) -> Purity:
    """Measure how often the nearest neighbours of a row share its code.

    A row with m partners is judged by its min(k, m) nearest: 1 says that nothing else came between, also where a
    patient has two recordings only.

    Args:
        neighbours: (N, K) rows, nearest first, -1 where there are no more; K well above k where `patients` is given.
        codes: (N,) of a level or a class, -1 where there is none: such a row is no one's partner.
        patients: (N,) whose neighbours do not count among themselves: with classes, or a class seems known as soon as
            a patient is.
        k: number of neighbours.

    Returns:
        The purity; NaN without a row that has a partner.
    """
    ids: Ints = np.asarray(codes, dtype=np.int64)
    near = neighbours >= 0
    if patients is not None:
        near &= patients[neighbours] != patients[:, None]
    partners, others = _partners(ids, patients)
    asked = np.minimum(k, partners)
    place = np.cumsum(near, axis=1)
    looked_at = near & (place <= asked[:, None])
    hit = looked_at & (ids[neighbours] == ids[:, None])
    numbers = looked_at.sum(axis=1)
    rows = (ids >= 0) & (partners > 0) & (numbers > 0)
    if not rows.any():
        return Purity(float("nan"), float("nan"), 0)
    share = (hit.sum(axis=1)[rows] / numbers[rows]).mean()
    return Purity(float(share), float((partners[rows] / others[rows]).mean()), int(rows.sum()))


def _partners(codes: Ints, patients: Ints | None) -> tuple[Ints, Ints]:
    """(N,) how many others share the code, and how many there are; of other patients where they are given."""
    partners, others = _counts(codes) - 1, np.full(len(codes), len(codes) - 1)
    if patients is not None:
        pairs = np.unique(np.stack([codes, patients]), axis=1, return_inverse=True)[1].reshape(-1)
        partners, others = _counts(codes) - _counts(pairs), len(codes) - _counts(patients)
    partners[codes < 0] = 0
    return partners, others


def _counts(codes: Ints) -> Ints:
    """(N,) how often each code occurs."""
    _, inverse, numbers = np.unique(codes, return_inverse=True, return_counts=True)
    return np.asarray(numbers[inverse], dtype=np.int64)
