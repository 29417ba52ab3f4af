"""The signatures of the units of a manifest: from the cache, else from the original files, in bounded memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from medcl.archive.manifest import Manifest
from medcl.archive.schema import Kind
from medcl.engine.parallel import run_chunks
from medcl.engine.quiet import quiet
from medcl.errors import UnreadableError, reason
from medcl.modality.formats import DECODED_APART
from medcl.reduce.cache import SignatureCache, record_keys
from medcl.reduce.decode import Original, originals, pieces_of
from medcl.reduce.strategy import Signatures, Strategy
from medcl.reduce.units import WHOLE, Units

CHUNK: dict[Kind, int] = {"volume": 4, "image": 64, "signal": 64, "report": 1024}
"""Records whose signatures are made, and kept, together."""


@dataclass(frozen=True)
class Described:
    """The signatures of records.

    Args:
        of: row of the manifest -> (pieces, width), a slice each or one of the whole record; mapped from a file.
        unreadable: row -> why its file cannot be read.
        incomparable: row -> why the strategy cannot compare it, though it can be read.
    """

    of: Mapping[int, Signatures]
    unreadable: dict[int, str] = field(default_factory=dict)
    incomparable: dict[int, str] = field(default_factory=dict)

    def units(self, units: Units) -> Units:
        """The units that have a signature."""
        return units.select(np.isin(units.row, np.fromiter(self.of, dtype=np.int64, count=len(self.of))))

    def gather(self, units: Units, chosen: NDArray[np.int64]) -> Signatures:
        """The signatures of some units, (n, width)."""
        row, piece = units.row[chosen], units.piece[chosen]
        bounds = np.flatnonzero(np.r_[True, np.diff(row) != 0, True])
        parts = [
            np.asarray(self.of[int(row[first])])[np.maximum(piece[first:last], 0)]
            for first, last in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)
        ]
        return np.concatenate(parts)


@dataclass(frozen=True)
class Outcome:
    """What became of a record: its signatures, or why it has none."""

    row: int
    signatures: Signatures | None = None
    unreadable: str = ""
    incomparable: str = ""


def describe(
    manifest: Manifest,
    units: Units,
    strategy: Strategy,
    store: Path,
    *,
    axis: int,
    jobs: int = -1,
    cluster: str | None = None,
) -> Described:
    """Make the signatures of the records of some units, or find them made.

    One volume at a time is in the memory of a process. Each finished chunk is kept in `store/signatures`, so that an
    interrupted run goes on, and another threshold opens no file. A strategy that goes by numbers opens none at all.

    Args:
        manifest: that names the files.
        units: of one family; signatures are made of all slices of their volumes.
        strategy: that makes the signatures.
        store: folder beside the manifest.
        axis: across which slices lie.
        jobs: processes; -1 is one a core.
        cluster: address of a Dask scheduler, whose workers are used in their place.

    Returns:
        The signatures, and why some records have none.

    Raises:
        MedclError: the disk is full, or the cluster cannot be reached.
    """
    rows = list(dict.fromkeys(units.row.tolist()))
    slices = units.family.unit == "slice"
    if strategy.source == "number":
        return _places(units, strategy)
    what = f"{units.family.kind}-{'slice-' + 'xyz'[axis] if slices else 'record'}"
    cache = SignatureCache(store / "signatures" / strategy.key / what)
    key = dict(zip(rows, record_keys(manifest, rows), strict=True))
    missing = [row for row in rows if key[row] not in cache]
    found = Described({})
    work = originals(manifest, missing, axis if slices else None)
    with tqdm(total=len(work), desc=strategy.name, unit="record", disable=None if work else True) as bar:
        for outcomes in run_chunks(
            partial(described, strategy=strategy),
            work,
            jobs=jobs,
            chunk=CHUNK[units.family.kind],
            instead=died,
            apart=any(original.scanned.format in DECODED_APART for original in work),
            cluster=cluster,
        ):
            done = [(key[one.row], one.signatures) for one in outcomes if one.signatures is not None]
            cache.add([name for name, _ in done], [signatures for _, signatures in done])
            found.unreadable.update({one.row: one.unreadable for one in outcomes if one.unreadable})
            found.incomparable.update({one.row: one.incomparable for one in outcomes if one.incomparable})
            bar.update(len(outcomes))
    of = {row: cache[key[row]] for row in rows if key[row] in cache}
    return Described(of, dict(sorted(found.unreadable.items())), dict(sorted(found.incomparable.items())))


def described(work: Sequence[Original], strategy: Strategy) -> list[Outcome]:
    """Read records and make their signatures, one after the other."""
    with quiet():
        return [_outcome(original, strategy) for original in work]


def died(original: Original) -> list[Outcome]:
    """The outcome of a record whose decoding ended the process."""
    return [Outcome(original.row, unreadable="damaged file, or too little memory: decoding it ends the reader")]


def _outcome(original: Original, strategy: Strategy) -> Outcome:
    try:
        pieces = pieces_of(original)
    except Exception as error:
        return Outcome(original.row, unreadable=reason(error))
    try:
        return Outcome(original.row, strategy.signatures(pieces))
    except (UnreadableError, MemoryError) as error:
        return Outcome(original.row, incomparable=reason(error))


def _places(units: Units, strategy: Strategy) -> Described:
    """Signatures of the places of units in their groups, from 0."""
    place = np.empty(len(units), dtype=np.int64)
    for own in units.by_group():
        place[own] = np.arange(len(own))
    made = strategy.signatures(place.tolist())
    of: dict[int, Signatures] = {}
    bounds = np.flatnonzero(np.r_[True, np.diff(units.row) != 0, True]) if len(units) else np.zeros(1, dtype=np.int64)
    for first, last in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        piece = units.piece[first:last]
        if piece[0] == WHOLE:
            of[int(units.row[first])] = made[first:last]
        else:
            # By the numbers of the slices, of which some may have been dropped before.
            whole = np.zeros((int(piece.max()) + 1, *made.shape[1:]), dtype=made.dtype)
            whole[piece] = made[first:last]
            of[int(units.row[first])] = whole
    return Described(of)
