"""What is compared: slices of volumes or whole records, in an order, and the groups within which they are."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medcl.archive.manifest import Manifest
from medcl.archive.schema import Kind
from medcl.archive.stratify import first_appearance
from medcl.errors import UsageError, did_you_mean
from medcl.modality import WINGS, wing
from medcl.reduce.config import ReduceConfig, Scope
from medcl.reduce.strategy import Strategy, Unit

Ints = NDArray[np.int64]
WHOLE = -1
"""The piece of a unit that is a whole record."""


def shown_at(row: int, piece: int) -> tuple[int, int | None]:
    """A unit as `thumbnails` takes it: the row of its record, and its slice, None of a whole record."""
    return row, None if piece == WHOLE else piece


@dataclass(frozen=True)
class Family:
    """Records that are compared with each other alone: of one kind, as slices or as a whole, within a scope."""

    kind: Kind
    unit: Unit
    scope: Scope

    def __str__(self) -> str:
        what = "slices" if self.unit == "slice" else wing(self.kind).plural
        if self.scope == "archive":
            return f"{what} across the archive"
        return f"{what} within each {'volume' if self.unit == 'slice' and self.scope == 'record' else self.scope}"


@dataclass(frozen=True)
class Units:
    """What is compared, in the order of the manifest and, within a volume, of its slices.

    Args:
        family: that they are.
        row: (U,) row of the manifest of each.
        piece: (U,) number of the slice, or `WHOLE`.
        group: (U,) number of the group, from 0 in the order of first units.
    """

    family: Family
    row: Ints
    piece: Ints
    group: Ints

    def __len__(self) -> int:
        return len(self.row)

    @property
    def n_groups(self) -> int:
        """Number of groups."""
        return int(self.group.max()) + 1 if len(self.group) else 0

    def by_group(self) -> list[Ints]:
        """Numbers of the units of each group, ascending."""
        order = np.argsort(self.group, kind="stable")
        return np.split(order, np.flatnonzero(np.diff(self.group[order])) + 1) if len(order) else []

    def select(self, chosen: NDArray[np.bool_]) -> "Units":
        """Some of the units; groups are numbered anew."""
        return Units(self.family, self.row[chosen], self.piece[chosen], first_appearance(self.group[chosen])[0])


def families_of(config: ReduceConfig) -> tuple[Family, ...]:
    """What of each kind of record is compared, and how far."""
    names = sorted(WINGS, key=lambda name: not wing(name).has_slices)
    units: dict[Kind, Unit] = {name: config.unit if wing(name).has_slices else "record" for name in names}
    return tuple(
        Family(kind, unit, config.scope or ("record" if unit == "slice" else "patient")) for kind, unit in units.items()
    )


def taken(manifest: Manifest, config: ReduceConfig, strategy: Strategy, rows: NDArray[np.bool_]) -> list[Family]:
    """The families that a strategy compares: it takes them, there are some, and more than one can be in a group."""
    held = set(manifest.kinds[rows].tolist())
    return [
        family
        for family in families_of(config)
        if family.kind in held
        and family.kind in strategy.kinds
        and family.unit in strategy.dims
        and (family.unit, family.scope) != ("record", "record")
    ]


def untouched(manifest: Manifest, rows: NDArray[np.bool_], config: ReduceConfig, strategy: Strategy) -> dict[str, int]:
    """What is not compared, in words -> number of records."""
    own = {family.kind for family in taken(manifest, config, strategy, rows)}
    readable = np.asarray(manifest.column("status") == "ok", dtype=bool)
    found = {
        f"{wing(kind).plural}, which --by {config.by} does not compare as asked for": rows & (manifest.kinds == kind)
        for kind in WINGS
        if kind not in own
    }
    found["records of other splits, which are kept as they are (--split all reduces them too)"] = readable & ~rows
    return {what: int(some.sum()) for what, some in found.items() if some.any()}


def chosen_rows(manifest: Manifest, split: str | None) -> NDArray[np.bool_]:
    """Which records (records,) are reduced: the readable ones of a split.

    Its name is None for `train` where there is one, else all, and `all` for all.

    Raises:
        UsageError: no record is of this split.
    """
    ok = np.asarray(manifest.column("status") == "ok", dtype=bool)
    splits = manifest.column("split") if manifest.has("split") else np.full(len(manifest), None, dtype=object)
    if split == "all" or (split is None and not (splits == "train").any()):
        return ok
    chosen = np.asarray(splits == (split or "train"), dtype=bool)
    if not chosen.any():
        there = ", ".join(sorted({str(one) for one in splits if one is not None})) or "no splits"
        hint = did_you_mean(str(split), there.split(", "))
        raise UsageError(f"--split {split}: no record is of this split; the manifest has {there}{hint}")
    both: NDArray[np.bool_] = chosen & ok
    return both


def units_of(manifest: Manifest, family: Family, rows: NDArray[np.bool_], axis: int) -> Units:
    """The units of the records (records,) of a family that are looked at, in slices across an axis.

    Of what a manifest was reduced to before, they are only what was kept. A record that has no id at the level of the
    scope is a group of its own.

    Raises:
        UsageError: the manifest was reduced to slices across another axis, or is to be reduced by whole volumes now.
    """
    chosen = np.flatnonzero(rows & (manifest.kinds == family.kind))
    kept = manifest.kept
    reduced = any(kept[row] is not None for row in chosen.tolist())
    if reduced and family.unit == "record":
        raise UsageError(
            "the manifest is reduced to slices already: whole volumes are compared first, their slices afterwards; "
            "reduce the manifest from before"
        )
    if reduced and manifest.kept_axis != axis:
        raise UsageError(f"the manifest is reduced to slices across {'xyz'[manifest.kept_axis]}, not {'xyz'[axis]}")
    if family.unit == "record":
        row, piece = chosen, np.full(len(chosen), WHOLE, dtype=np.int64)
    else:
        shapes = manifest.column("shape")
        some = [kept[at] for at in chosen.tolist()]
        pieces = [
            one if one is not None else np.arange(shapes[at][axis], dtype=np.int64)
            for at, one in zip(chosen.tolist(), some, strict=True)
        ]
        row = np.repeat(chosen, [len(one) for one in pieces])
        piece = np.concatenate([*pieces, np.empty(0, dtype=np.int64)])
    return Units(family, row, piece, _groups(manifest, row, family.scope))


def _groups(manifest: Manifest, row: Ints, scope: Scope) -> Ints:
    if scope == "archive":
        return np.zeros(len(row), dtype=np.int64)
    if scope == "record" or not manifest.has(scope):
        return first_appearance(row)[0]
    code = manifest.column(scope)[row]
    known = code >= 0
    # Codes and rows are counted apart: a record of unknown patient never meets the patient whose code is its row.
    either = np.where(known, code, row)
    _, first = np.unique(np.stack([known.astype(np.int64), either]), axis=1, return_inverse=True)
    return first_appearance(first.reshape(-1))[0]
