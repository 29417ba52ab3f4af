"""Pieces' embeddings become those of windows, records or patients, while memory holds one shard."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from medcl.embed.plan import Plan
from medcl.errors import MedclError

Pool = Literal["mean", "max"]
Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Pooled:
    """The embeddings of a shard.

    Args:
        shard: its number.
        vectors: (G, dim).
    """

    shard: int
    vectors: Vectors


class DivergedError(MedclError):
    """An embedding that is not a number.

    Args:
        row: of the manifest.
    """

    def __init__(self, row: int) -> None:
        super().__init__(f"row {row} of the manifest has an embedding that is not a number")
        self.row = row


def pooled(
    embedded: Iterator[tuple[slice, Vectors]], plan: Plan, shards: list[int], dim: int, pool: Pool, *, unit: bool
) -> Iterator[Pooled]:
    """Pool embeddings of pieces as they come.

    Args:
        embedded: which of the pieces of `shards`, one shard behind the other, and their embeddings (B, dim).
        plan: of all pieces.
        shards: numbers of those that are embedded, ascending.
        dim: width.
        pool: mean or maximum over pieces.
        unit: whether embeddings are brought to length 1, as those of several modalities are compared.

    Yields:
        The shards in their order.

    Raises:
        DivergedError: an embedding is not a number.
    """
    parts = [plan.pieces_of(shard) for shard in shards]
    ends = np.cumsum([part.stop - part.start for part in parts])
    at, total = 0, _empty(plan, shards[0], dim, pool)
    for which, z in embedded:
        first = which.start
        while first < which.stop:
            last = min(which.stop, int(ends[at]))
            offset = parts[at].stop - int(ends[at])
            _add(total, z[first - which.start : last - which.start], plan, slice(first + offset, last + offset), pool)
            if last == ends[at]:
                yield Pooled(shards[at], _finished(total, unit))
                at += 1
                if at < len(shards):
                    total = _empty(plan, shards[at], dim, pool)
            first = last


@dataclass
class _Total:
    first: int
    values: NDArray[np.float64]


def _empty(plan: Plan, shard: int, dim: int, pool: Pool) -> _Total:
    first, last = (int(bound) for bound in plan.bounds[shard : shard + 2])
    return _Total(first, np.full((last - first, dim), 0.0 if pool == "mean" else -np.inf))


def _add(total: _Total, z: Vectors, plan: Plan, part: slice, pool: Pool) -> None:
    bad = ~np.isfinite(z).all(axis=1)
    if bad.any():
        raise DivergedError(int(plan.owner[part][bad.argmax()]))
    group = plan.group[part] - total.first
    # Pieces of one embedding are neighbours: each run of them is one row of the sum.
    starts = np.flatnonzero(np.r_[True, np.diff(group) > 0])
    if pool == "mean":
        total.values[group[starts]] += np.add.reduceat(z * plan.weight[part, None], starts, axis=0)
    else:
        rows = group[starts]
        total.values[rows] = np.maximum(total.values[rows], np.maximum.reduceat(z, starts, axis=0))


def _finished(total: _Total, unit: bool) -> Vectors:
    values = total.values
    if unit:
        values = values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)
    return values.astype(np.float32)
