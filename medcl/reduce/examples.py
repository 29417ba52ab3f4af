"""Examples of near-duplicates: groups of units of which one is kept, to be looked at."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medcl.archive.manifest import Manifest
from medcl.reduce.selection import Ints, Selection
from medcl.reduce.units import WHOLE, Units
from medcl.show.thumbnails import Thumbnail, thumbnails

GROUPS, MEMBERS = 4, 7
"""Groups that are shown of a strategy, pictures of a group."""
FILES = 6
"""Records whose slices are shown: each is read whole for them."""


@dataclass(frozen=True)
class Example:
    """A group.

    Args:
        size: of the group, the unit that is kept included.
        pictures: of the unit that is kept and of some that it stands for, the nearest and the farthest among them.
        captions: what lies below each.
    """

    size: int
    pictures: tuple[Thumbnail, ...]
    captions: tuple[str, ...]


def examples(manifest: Manifest, selections: Sequence[Selection], axis: int) -> list[list[Example]]:
    """Draw some groups of each selection: the largest, the smallest, and some between.

    Args:
        manifest: whose files are read.
        selections: what several strategies keep.
        axis: across which slices lie.

    Returns:
        The examples of each selection, the largest group first; none of one that drops nothing.
    """
    wanted: list[tuple[int, int | None]] = []
    plans: list[list[tuple[int, Ints]]] = []
    opened: set[int] = set()
    for one in selections:
        plan = []
        for members in _groups(one, opened):
            shown = _shown(one, members)
            plan.append((len(members), shown))
            wanted += [_place(one.units, int(unit)) for unit in shown]
        plans.append(plan)
    order = {place: number for number, place in enumerate(dict.fromkeys(wanted))}
    drawn = thumbnails(manifest, list(order), axis)
    return [
        [
            Example(
                size,
                tuple(drawn[order[_place(one.units, int(unit))]] for unit in shown),
                tuple(_caption(one, int(unit), first=number == 0) for number, unit in enumerate(shown)),
            )
            for size, shown in plan
        ]
        for one, plan in zip(selections, plans, strict=True)
    ]


def _groups(one: Selection, opened: set[int]) -> list[Ints]:
    """Units of some groups, the kept one first; records that are opened already are taken rather than others."""
    gone = np.flatnonzero(~one.keep & (one.duplicate_of >= 0))
    if not len(gone):
        return []
    heads, counts = np.unique(one.duplicate_of[gone], return_counts=True)
    slices = one.units.piece[heads] != WHOLE
    if slices.any():
        rows = one.units.row[heads]
        for row in _spread(np.unique(rows), FILES):
            if len(opened) < FILES:
                opened.add(int(row))
        inside = np.isin(rows, list(opened))
        if inside.any():
            heads, counts = heads[inside], counts[inside]
    by_size = heads[np.argsort(-counts, kind="stable")]
    return [
        np.concatenate([[head], gone[one.duplicate_of[gone] == head]]).astype(np.int64)
        for head in _spread(by_size, GROUPS)
    ]


def _spread(values: Ints, count: int) -> Ints:
    """Some of the values from the first to the last."""
    places = np.unique(np.linspace(0, len(values) - 1, min(count, len(values))).round().astype(np.int64))
    chosen: Ints = values[places]
    return chosen


def _shown(one: Selection, members: Ints) -> Ints:
    """The kept unit, then others in the order of what was measured, the last one as far as it goes."""
    others = members[1:]
    measure = one.measure[others]
    near = np.argsort(measure if one.how == "distance" else -measure, kind="stable")
    return np.concatenate([members[:1], _spread(others[near], MEMBERS - 1)])


def _place(units: Units, unit: int) -> tuple[int, int | None]:
    piece = int(units.piece[unit])
    return int(units.row[unit]), None if piece == WHOLE else piece


def _caption(one: Selection, unit: int, *, first: bool) -> str:
    piece = int(one.units.piece[unit])
    said = [] if piece == WHOLE else [f"slice {piece}"]
    said.append("kept" if first else f"{one.how} {one.measure[unit]:.3g}")
    return ", ".join(said)
