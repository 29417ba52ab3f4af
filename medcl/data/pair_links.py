"""Which records belong together: each with its partners of the other kinds."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medcl.archive.links import Links
from medcl.archive.manifest import Manifest

Ints = NDArray[np.int64]
REPORT = "report"
_NONE = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True)
class Linked:
    """Anchor records with all their partners.

    Args:
        anchors: (I,) rows of the manifest; an anchor is its own only partner of its kind.
        partners: {kind: (rows, (I + 1,) where those of an item begin)}.
    """

    anchors: Ints
    partners: dict[str, tuple[Ints, Ints]]

    def of(self, kind: str, item: int) -> Ints:
        """The partners of one kind of an item; perhaps none."""
        rows, start = self.partners[kind]
        return rows[start[item] : start[item + 1]]

    def has(self, kind: str) -> NDArray[np.bool_]:
        """(I,) whether an item has a partner of this kind."""
        return np.diff(self.partners[kind][1]) > 0


def linked(
    manifest: Manifest, links: Links, rows: Mapping[str, Ints], *, incomplete: bool = False, needs: str = ""
) -> Linked:
    """Find the partners of every record.

    The anchors are the records of the first kind that is no report. A report is a partner of what it describes. Records
    of two other kinds are partners within a study; where the anchor's study has none, or is not known, within the
    patient. A report of such a partner serves an anchor that has none of its own. Where incomplete items count, records
    of the next kinds that no anchor has are anchors too.

    Args:
        manifest: of all kinds.
        links: of its reports.
        rows: {kind: (R,) rows that can be drawn from}, reports last.
        incomplete: whether items count that have two kinds, but not all.
        needs: a kind that an item must have in any case.

    Returns:
        The items, in the order of kinds and rows.
    """
    own = [kind for kind in rows if kind != REPORT]
    drawn = np.zeros(len(manifest), dtype=bool)
    drawn[rows.get(REPORT, _NONE)] = True

    def reports(row: int) -> Ints:
        found = links.reports_of(row)
        return found[drawn[found]]

    nearby = {kind: _neighbours(manifest, rows[kind]) for kind in own}
    taken: dict[str, set[int]] = {kind: set() for kind in own}
    anchors: list[int] = []
    found: dict[str, list[Ints]] = {kind: [] for kind in rows}
    for number, kind in enumerate(own if incomplete else own[:1]):
        for row in rows[kind].tolist():
            if row in taken[kind]:
                continue
            item = {kind: np.array([row])}
            item |= {other: nearby[other](row) for other in own[number + 1 :]}
            if REPORT in rows:
                described = [row, *(int(one) for other in own[number + 1 :] for one in item[other])]
                item[REPORT] = next((some for some in map(reports, described) if len(some)), _NONE)
            there = sum(len(some) > 0 for some in item.values())
            enough = there >= 2 if incomplete else there == len(rows)
            if not enough or (needs and not len(item.get(needs, _NONE))):
                continue
            anchors.append(row)
            for other in rows:
                some = item.get(other, _NONE)
                found[other].append(some)
                if other != REPORT:
                    taken[other].update(some.tolist())
    partners = {
        kind: (np.concatenate([_NONE, *some]), np.cumsum([0, *map(len, some)]).astype(np.int64))
        for kind, some in found.items()
    }
    return Linked(np.array(anchors, dtype=np.int64), partners)


def _neighbours(manifest: Manifest, rows: Ints) -> Callable[[int], Ints]:
    """What gives the records among `rows` of the study of a record, else of its patient."""
    codes = [manifest.column(level) for level in ("study", "patient") if manifest.has(level)]
    groups = [_by(code, rows) for code in codes]

    def of(row: int) -> Ints:
        some = (group.get(int(code[row]), _NONE) for code, group in zip(codes, groups, strict=True))
        return next((one for one in some if len(one)), _NONE)

    return of


def _by(code: Ints, rows: Ints) -> dict[int, Ints]:
    """The rows of each code that is known."""
    known = rows[code[rows] >= 0]
    known = known[np.argsort(code[known], kind="stable")]
    codes, first = np.unique(code[known], return_index=True)
    return dict(zip(codes.tolist(), np.split(known, first[1:]), strict=False))
