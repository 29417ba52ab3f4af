"""The signatures of the units of a manifest: from the cache, else from the original files, in bounded memory."""

import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medcl import files
from medcl.archive.file_state import Scanned, require_unchanged, scanned
from medcl.archive.manifest import Manifest
from medcl.archive.schema import Kind
from medcl.data.decode import sources
from medcl.documents import read_json, sealed
from medcl.engine.parallel import quiet, run_chunks
from medcl.engine.progress import progress
from medcl.errors import MedclError, UnreadableError, reason
from medcl.files import damaged, file_checksum
from medcl.modality import wing
from medcl.modality.formats import DECODED_APART
from medcl.modality.rows import Source
from medcl.reduce.strategy import Pieces, Signatures, Strategy
from medcl.reduce.units import WHOLE, Units


@dataclass(frozen=True)
class Original:
    """A record, its files as they were scanned and as its wing reads them, and the axis across which it is cut.

    A volume is one piece where the axis is None.
    """

    row: int
    kind: Kind
    scanned: Scanned
    source: Source
    axis: int | None


def originals(manifest: Manifest, rows: Sequence[int], axis: int | None) -> list[Original]:
    """Records to read, all of one kind; volumes are cut across an axis, None where each is one piece."""
    chosen = manifest.select(rows)
    if not len(chosen):
        return []
    kind: Kind = chosen.kinds[0]
    files = scanned(chosen)
    found = zip(rows, files, sources(chosen, wing(kind), files), strict=True)
    return [Original(int(row), kind, state, source, axis) for row, state, source in found]


def pieces_of(original: Original) -> Pieces:
    """Read a record, as `Wing.original` gives it.

    Raises:
        UnreadableError: the file is missing, damaged, or not the one that was scanned.
    """
    own = wing(original.kind)
    if own.reads_files:
        require_unchanged(original.scanned)
    return own.original(original.source, original.axis)


_KEYED = ("record_id", "checksum", "size", "mtime_ns", "path", "part", "format", "modality", "report")


class SignatureCache:
    """A folder of chunks of one strategy and kind of units: arrays of the signatures of some records, with their keys.

    Raises:
        MedclError: it cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: dict[str, tuple[Path, int, int]] = {}
        self._open: dict[Path, NDArray[Any]] = {}
        self._sums: dict[Path, str] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for path in sorted(folder.glob("*.json")):
                self._index(path)
        except OSError as error:
            raise files.unwritable(folder, error) from error

    def __contains__(self, key: str) -> bool:
        return key in self._known

    def __getitem__(self, key: str) -> Signatures:
        """The signatures of a record, (pieces, width), mapped from the file."""
        path, start, count = self._known[key]
        if path not in self._open:
            if self._sums[path] not in ("", file_checksum(path)):
                raise damaged(path, f"remove {self.folder}, and the same command makes it again")
            self._open[path] = np.load(path, mmap_mode="r")
        return self._open[path][start : start + count]

    def add(self, keys: Sequence[str], signatures: Sequence[Signatures]) -> None:
        """Keep the signatures (pieces, width) of each of some records; they are on the disk when this returns.

        Raises:
            MedclError: the disk is full.
        """
        if not keys:
            return
        name = secrets.token_hex(8)
        path = self.folder / f"{name}.npy"
        about: dict[str, Any] = {"keys": list(keys), "counts": [len(one) for one in signatures]}
        with files.draft(path) as place, place.open("wb") as file:
            np.save(file, np.concatenate(list(signatures)))
            file.flush()
            about["sum"] = file_checksum(place)
        # The array is whole before there are keys that lead to it.
        files.write(path.with_suffix(".json"), json.dumps(sealed(about)))
        self._index(path.with_suffix(".json"))

    def _index(self, path: Path) -> None:
        try:
            about = read_json(path, "", has_sum=True)
        except MedclError:
            return  # Damaged: what it leads to is computed again.
        start, array = 0, path.with_suffix(".npy")
        self._sums[array] = str(about.get("sum", ""))
        for key, count in zip(about["keys"], about["counts"], strict=True):
            self._known[key] = array, start, count
            start += count


def record_keys(manifest: Manifest, rows: Sequence[int]) -> list[str]:
    """What names a record and the state of its files, for each row."""
    nothing = np.full(len(manifest), None, dtype=object)
    columns = [manifest.column(name) if manifest.has(name) else nothing for name in _KEYED]
    return [
        hashlib.blake2b(json.dumps([str(column[row]) for column in columns]).encode(), digest_size=12).hexdigest()
        for row in rows
    ]


def cached(
    manifest: Manifest, units: Units, strategy: Strategy, store: Path, axis: int
) -> tuple[SignatureCache, dict[int, str]]:
    """The cache of a strategy for units of one family, and the key of each of their records by its row."""
    rows = list(dict.fromkeys(units.row.tolist()))
    what = f"{units.family.kind}-{'slice-' + 'xyz'[axis] if units.family.unit == 'slice' else 'record'}"
    cache = SignatureCache(store / "signatures" / strategy.key / what)
    return cache, dict(zip(rows, record_keys(manifest, rows), strict=True))


def chunk_of(kind: Kind) -> int:
    """Number of records whose signatures are made, and kept, together."""
    return 4 if wing(kind).has_slices else 64 if wing(kind).reads_files else 1024


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
class SignatureOutcome:
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
    Units are of one family; signatures are made of all slices of their volumes. So many jobs, -1 is one a core, or
    the workers of a Dask scheduler at the address `cluster` make them.

    Raises:
        MedclError: the disk is full, or the cluster cannot be reached.
    """
    if strategy.source == "number":
        return _places(units, strategy)
    cache, key = cached(manifest, units, strategy, store, axis)
    missing = [row for row in key if key[row] not in cache]
    found = Described({})
    work = originals(manifest, missing, axis if units.family.unit == "slice" else None)
    with progress(strategy.name, len(work)) as bar:
        for outcomes in run_chunks(
            partial(described, strategy=strategy),
            work,
            jobs=jobs,
            chunk=chunk_of(units.family.kind),
            instead=died,
            apart=any(original.scanned.format in DECODED_APART for original in work),
            cluster=cluster,
        ):
            done = [(key[one.row], one.signatures) for one in outcomes if one.signatures is not None]
            cache.add([name for name, _ in done], [signatures for _, signatures in done])
            found.unreadable.update({one.row: one.unreadable for one in outcomes if one.unreadable})
            found.incomparable.update({one.row: one.incomparable for one in outcomes if one.incomparable})
            bar.update(len(outcomes))
    of = {row: cache[key[row]] for row in key if key[row] in cache}
    return Described(of, dict(sorted(found.unreadable.items())), dict(sorted(found.incomparable.items())))


def described(work: Sequence[Original], strategy: Strategy) -> list[SignatureOutcome]:
    """Read records and make their signatures, one after the other."""
    with quiet():
        return [_outcome(original, strategy) for original in work]


def died(original: Original) -> list[SignatureOutcome]:
    """The outcome of a record whose decoding ended the process."""
    return [
        SignatureOutcome(original.row, unreadable="damaged file, or too little memory: decoding it ends the reader")
    ]


def _outcome(original: Original, strategy: Strategy) -> SignatureOutcome:
    try:
        pieces = pieces_of(original)
    except Exception as error:
        return SignatureOutcome(original.row, unreadable=reason(error))
    try:
        return SignatureOutcome(original.row, strategy.signatures(pieces))
    except (UnreadableError, MemoryError) as error:
        return SignatureOutcome(original.row, incomparable=reason(error))


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
