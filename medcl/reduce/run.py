"""`medcl reduce` as one function: units, signatures, selection, and the manifest of what is kept."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from medcl import files
from medcl.archive.manifest import Manifest
from medcl.archive.schema import KEPT
from medcl.errors import MedclError, UsageError
from medcl.modality import wing
from medcl.reduce.config import AUTO, ReduceConfig
from medcl.reduce.selection import RedundancyCurve, Selection, curve_of, select
from medcl.reduce.signatures import Described
from medcl.reduce.strategies import EMBEDDING, WANTED, strategy_of
from medcl.reduce.strategy import Signatures, Strategy, checked
from medcl.reduce.units import WHOLE, Units, chosen_rows, taken, units_of, untouched
from medcl.wording import line

if TYPE_CHECKING:
    from medcl.reduce.wanted import Wanted

DROPPED_SCHEMA = pa.schema(
    [
        ("record_id", pa.string()),
        ("slice", pa.int64()),
        ("duplicate_of", pa.string()),
        ("duplicate_slice", pa.int64()),
        ("distance", pa.float32()),
        ("strategy", pa.string()),
        ("threshold", pa.float64()),
    ]
)
"""The table of what was dropped: one row a slice of a volume, or a whole record (`slice` null), with what is kept in
its place. `distance` is what the strategy measured between the two, a similarity of some strategies; null, as
`duplicate_of`, where a score of its own dropped it. `threshold` is null where a share was kept."""
Bools: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True)
class Reduced:
    """A reduction.

    Args:
        manifest: the rows that are kept; of volumes of which slices are, `kept` says which.
        dropped: rows of `DROPPED_SCHEMA`.
        before: the manifest that was reduced: units name its rows.
        selections: one a family of records that was compared.
        untouched: what was not compared, in words -> number of records; they are kept.
        quarantine: record id -> why its file cannot be read any more; it is kept as a row with that status.
        incomparable: record id -> why the strategy cannot compare it; it is kept.
        seconds: that it took.
        terms: of what is wanted -> number of units that it is the nearest to, kept and all.
    """

    manifest: Manifest
    dropped: pa.Table
    before: Manifest
    selections: tuple[Selection, ...]
    untouched: dict[str, int] = field(default_factory=dict)
    quarantine: dict[str, str] = field(default_factory=dict)
    incomparable: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    terms: dict[str, tuple[int, int]] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = []
        for one in self.selections:
            limit = "" if one.threshold is None else f", {one.how} {one.threshold:g}"
            lines += [
                line("compared", f"{one.units.family}, by {one.strategy}{limit}"),
                line("kept", f"{int(one.keep.sum())} of {len(one.keep)} ({one.share:.1%})"),
            ]
        lines.append(line("records", f"{len(self.manifest)} of {len(self.before)}"))
        lines += [line(term, f"{kept} of {every} that are nearest to it") for term, (kept, every) in self.terms.items()]
        lines += [line("untouched", f"{count} {what}") for what, count in self.untouched.items() if count]
        lines.append(line("seconds", f"{self.seconds:.1f}"))
        return "\n".join(lines)


def kept_by(manifest: Manifest, chosen: Sequence[tuple[Units, Bools]], axis: int) -> tuple[Manifest, Bools]:
    """Keep some of the units of families that have no record in common.

    Returns:
        The manifest, whose volumes say which slices are kept, and of which records (records,) something is kept.
    """
    stays = np.ones(len(manifest), dtype=bool)
    kept: list[list[int] | None] = [None if one is None else one.tolist() for one in manifest.kept]
    sliced = manifest.has(KEPT)
    for units, keep in chosen:
        rows, first = np.unique(units.row, return_index=True)
        for row, own in zip(rows.tolist(), np.split(np.arange(len(units)), first[1:]), strict=True):
            stays[row] = bool(keep[own].any())
            if stays[row] and not keep[own].all() and units.piece[own[0]] != WHOLE:
                kept[row], sliced = units.piece[own][keep[own]].tolist(), True
    return (manifest.with_kept(kept, axis) if sliced else manifest), stays


def write_dropped(dropped: pa.Table, path: Path) -> None:
    """Write the table of what was dropped, in one move.

    Raises:
        MedclError: it cannot be written.
    """
    with files.draft(path, private=True) as place:
        pq.write_table(dropped, place)


def _dropped(manifest: Manifest, selections: Sequence[Selection]) -> pa.Table:
    ids = pc.cast(manifest.table["record_id"], pa.string()).combine_chunks()
    return pa.concat_tables([DROPPED_SCHEMA.empty_table(), *(_dropped_of(ids, one) for one in selections)])


def _dropped_of(ids: pa.Array, one: Selection) -> pa.Table:
    """What was dropped of a family."""
    lost = np.flatnonzero(~one.keep)
    other = one.duplicate_of[lost]
    units, alone = one.units, other < 0

    def pieces(of: np.ndarray) -> pa.Array:
        piece = units.piece[of]
        return pa.array(piece, pa.int64(), mask=(piece == WHOLE) | (of < 0))

    columns = {
        "record_id": ids.take(pa.array(units.row[lost])),
        "slice": pieces(lost),
        "duplicate_of": ids.take(pa.array(units.row[other], mask=alone)),
        "duplicate_slice": pieces(other),
        "distance": pa.array(one.measure[lost], pa.float32(), mask=np.isnan(one.measure[lost])),
        "strategy": pa.array([one.strategy] * len(lost), pa.string()),
        "threshold": pa.array([one.threshold] * len(lost), pa.float64()),
    }
    return pa.table(columns, schema=DROPPED_SCHEMA)


@dataclass(frozen=True)
class Compared:
    """A family of records that a strategy can compare: the units that have a signature."""

    units: Units
    described: Described
    strategy: Strategy

    def signatures(self) -> list[Signatures]:
        """(n, width) of each group."""
        return [self.described.gather(self.units, own) for own in self.units.by_group()]


def reduce_manifest(
    manifest: Manifest, config: ReduceConfig, store: Path, *, jobs: int = -1, cluster: str | None = None
) -> Reduced:
    """Find what is redundant in an archive and leave it out of its manifest. Nothing is deleted.

    Units are compared in the order of the manifest and, within a volume, of its slices; of duplicates the first is
    kept. No label is looked at. A manifest of an earlier reduction is continued. Signatures are kept in `store`, and
    made by so many jobs, -1 is one a core, or by the workers of a Dask scheduler; the result does not depend on them.

    Raises:
        UsageError: an unknown strategy, a threshold out of its range, or a strategy that takes none of the records.
        MedclError: none of the files can be read, the disk is full, or the cluster cannot be reached.
    """
    begun = time.monotonic()
    rows = chosen_rows(manifest, config.split)
    strategy = made(config, manifest, store)
    selections: list[Selection] = []
    unreadable: dict[int, str] = {}
    incomparable: dict[int, str] = {}
    terms: dict[str, tuple[int, int]] = {}
    for compared in compare(manifest, config, strategy, rows, store, jobs=jobs, cluster=cluster):
        unreadable |= compared.described.unreadable
        incomparable |= compared.described.incomparable
        threshold = threshold_of(compared, config)
        selections.append(
            select(compared.units, compared.described, strategy, config, threshold, jobs=jobs, cluster=cluster)
        )
        if config.by == WANTED and len(compared.units):
            kept = np.concatenate([selections[-1].keep[own] for own in compared.units.by_group()])
            found = cast("Wanted", strategy).shares(np.concatenate(compared.signatures()), kept)
            terms = {
                term: (a + terms.get(term, (0, 0))[0], b + terms.get(term, (0, 0))[1]) for term, (a, b) in found.items()
            }
    if not any(len(one.units) for one in selections):
        raise nothing_compared({**unreadable, **incomparable})
    marked = quarantined(manifest, unreadable)
    whole, stays = kept_by(marked, [(one.units, one.keep) for one in selections], config.axis)
    reduced = whole.select(stays)
    ids = manifest.column("record_id")
    about: dict[str, Any] = {"by": strategy.key, "keep": config.keep, "rule": config.rule}
    about |= {"scope": config.scope, "unit": config.unit}
    about |= {"thresholds": {str(one.units.family): one.threshold for one in selections}, "split": config.split}
    history = [*manifest.metadata.get("reduced", []), about]
    return Reduced(
        Manifest(reduced.table, reduced.root, {**reduced.metadata, "reduced": history}),
        _dropped(marked, selections),
        manifest,
        tuple(selections),
        untouched(manifest, rows, config, strategy),
        {str(ids[row]): reason for row, reason in unreadable.items()},
        {str(ids[row]): reason for row, reason in incomparable.items()},
        time.monotonic() - begun,
        terms,
    )


def made(config: ReduceConfig, manifest: Manifest, store: Path) -> Strategy:
    """The strategy that is asked for.

    Raises:
        UsageError: there is none of this name, no encoder for it, or the threshold is out of its range.
    """
    if config.by == EMBEDDING:
        from medcl.reduce import embedding

        found: Strategy = embedding.strategy_of(config, manifest)
    elif config.by == WANTED:
        from medcl.reduce import wanted

        found = wanted.strategy_of(config, manifest, store)
    else:
        found = strategy_of(config.by)
    if not isinstance(config.threshold, str):
        checked(found, config.threshold)
    return found


def compare(
    manifest: Manifest,
    config: ReduceConfig,
    strategy: Strategy,
    rows: Bools,
    store: Path,
    *,
    jobs: int = -1,
    cluster: str | None = None,
) -> Iterator[Compared]:
    """Make the signatures of each family of the records (records,) that are looked at and that a strategy takes.

    Raises:
        UsageError: it takes none of these records.
    """
    families = taken(manifest, config, strategy, rows)
    if not families:
        held = ", ".join(sorted({wing(kind).plural for kind in manifest.kinds[rows]})) or "no readable record"
        takes = ", ".join(wing(kind).plural for kind in strategy.kinds)
        dims = " or ".join("slices" if one == "slice" else "whole records" for one in strategy.dims)
        raise UsageError(
            f"--by {config.by} compares {takes} as {dims}; there is nothing of this to compare: the manifest holds "
            f"{held}, --unit is {config.unit}, --scope {config.scope or 'not given'}"
        )
    for family in families:
        units = units_of(manifest, family, rows, config.axis)
        described = strategy.described(manifest, units, store, axis=config.axis, jobs=jobs, cluster=cluster)
        yield Compared(described.units(units), described, strategy)


def threshold_of(compared: Compared, config: ReduceConfig) -> float | None:
    """The threshold that units of a family are compared with; None where a share is kept."""
    if config.keep is not None:
        return None
    if config.threshold == AUTO:
        return redundancy(compared).knee
    assert not isinstance(config.threshold, str)
    return checked(compared.strategy, config.threshold)


def redundancy(compared: Compared) -> RedundancyCurve:
    """How much is kept at each threshold."""
    return curve_of(compared.signatures(), compared.strategy)


def quarantined(manifest: Manifest, unreadable: dict[int, str]) -> Manifest:
    """The manifest with the status of records that could not be read."""
    if not unreadable:
        return manifest
    status = manifest.column("status")
    for row, reason in unreadable.items():
        status[row] = reason
    return manifest.with_column("status", pa.array(status.tolist(), pa.string()))


def nothing_compared(reasons: dict[int, str]) -> MedclError:
    """The error where no unit can be compared, from why each record cannot be."""
    if not reasons:
        return MedclError("there is nothing to compare: no unit is left in these records")
    return MedclError(
        f"none of {len(reasons)} records can be compared; the first: {next(iter(reasons.values()))}. If the files have "
        "moved since the scan, scan the archive again"
    )
