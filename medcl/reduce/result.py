"""The result of a reduction: the manifest of what is kept, the table of what is dropped, and a summary."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from medcl import files
from medcl.archive.manifest import Manifest
from medcl.archive.schema import KEPT
from medcl.reduce.selection import Selection
from medcl.reduce.units import WHOLE
from medcl.wording import line

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
    """

    manifest: Manifest
    dropped: pa.Table
    before: Manifest
    selections: tuple[Selection, ...]
    untouched: dict[str, int] = field(default_factory=dict)
    quarantine: dict[str, str] = field(default_factory=dict)
    incomparable: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    def __str__(self) -> str:
        lines = []
        for one in self.selections:
            limit = "" if one.threshold is None else f", {one.how} {one.threshold:g}"
            lines += [
                line("compared", f"{one.units.family}, by {one.strategy}{limit}"),
                line("kept", f"{int(one.keep.sum())} of {len(one.keep)} ({one.share:.1%})"),
            ]
        lines.append(line("records", f"{len(self.manifest)} of {len(self.before)}"))
        lines += [line("untouched", f"{count} {what}") for what, count in self.untouched.items() if count]
        lines.append(line("seconds", f"{self.seconds:.1f}"))
        return "\n".join(lines)


def applied(manifest: Manifest, selections: Sequence[Selection], axis: int) -> tuple[Manifest, pa.Table]:
    """Keep what was selected.

    Returns:
        The manifest, without records of which nothing is kept, and the table of what was dropped, family by family in
        the order of the manifest.
    """
    stays = np.ones(len(manifest), dtype=bool)
    kept: list[list[int] | None] = [None if one is None else one.tolist() for one in manifest.kept]
    sliced = manifest.has(KEPT)
    for one in selections:
        units = one.units
        rows, first = np.unique(units.row, return_index=True)
        for row, own in zip(rows.tolist(), np.split(np.arange(len(units)), first[1:]), strict=True):
            keep = one.keep[own]
            if keep.all():
                continue
            stays[row] = bool(keep.any())
            if units.piece[own[0]] != WHOLE:
                kept[row], sliced = units.piece[own][keep].tolist(), True
    whole = manifest.with_kept(kept, axis) if sliced else manifest
    return whole.select(stays), _dropped(manifest, selections)


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
