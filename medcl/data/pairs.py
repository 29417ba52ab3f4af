"""Which records belong together, and these with their partners of other kinds as batches of tensors."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from medcl.archive.links import Links
from medcl.archive.manifest import Manifest
from medcl.errors import MedclError
from medcl.modality import wing
from medcl.modality.sampling import Batch, Codes, Draws

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
    manifest: Manifest,
    links: Links,
    rows: Mapping[str, Ints],
    *,
    report: str = REPORT,
    incomplete: bool = False,
    needs: str = "",
) -> Linked:
    """Find the partners of every record, in the order of kinds and rows.

    The anchors are the records of the first kind that is no report. A report is a partner of what it describes. Records
    of two other kinds are partners within a study; where the anchor's study has none, or is not known, within the
    patient. A report of such a partner serves an anchor that has none of its own. Where incomplete items count, records
    of the next kinds that no anchor has are anchors too.

    Args:
        manifest: of all kinds.
        links: of its reports.
        rows: {kind: (R,) rows that can be drawn from}, reports last.
        report: name of the reports among them.
        incomplete: whether items count that have two kinds, but not all.
        needs: a kind that an item must have in any case.
    """
    own = [name for name in rows if name != report]
    drawn = np.zeros(len(manifest), dtype=bool)
    drawn[rows.get(report, _NONE)] = True

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
            if report in rows:
                described = [row, *(int(one) for other in own[number + 1 :] for one in item[other])]
                item[report] = next((some for some in map(reports, described) if len(some)), _NONE)
            there = sum(len(some) > 0 for some in item.values())
            enough = there >= 2 if incomplete else there == len(rows)
            if not enough or (needs and not len(item.get(needs, _NONE))):
                continue
            anchors.append(row)
            for other in rows:
                some = item.get(other, _NONE)
                found[other].append(some)
                if other != report:
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


Place = tuple[int, int]
"""Number of an item, and the step for which it is drawn."""


@dataclass(frozen=True)
class Linkable:
    """The records of one wing among those of all.

    Args:
        draws: what is drawn from the records.
        where: (records of this wing,) their rows in the manifest of all, ascending.
    """

    draws: Draws
    where: Ints

    @property
    def rows(self) -> Ints:
        """(R,) rows of the manifest of all that can be drawn from."""
        rows: Ints = self.where[self.draws.rows]
        return rows

    @property
    def codes(self) -> Codes | None:
        """As `Draws.codes`, with rows of the manifest of all."""
        own = self.draws.codes
        return None if own is None else Codes(self.where[own.rows], own.values)

    def draw(self, row: int, rng: np.random.Generator) -> Any:
        """One sample of a record."""
        return self.draws.draw(int(np.searchsorted(self.where, row)), rng)


class Pairs(Dataset[Batch]):
    """Linked records, each time another draw of each: another window, another of its reports, another sentence.

    What is drawn is a function of (seed, step, item): it does not depend on the rest of the batch nor on who loads it.

    Args:
        sides: {name: what is drawn from}, reports last.
        manifest: of all kinds.
        links: of its reports.
        modalities: {side: modality}; default: sides are named by their modality.
        incomplete: whether records count that lack a kind.
        needs: a kind that each must have in any case.
        seed: of all draws.

    Attributes:
        kinds: of the sides, in order.
        anchors: (I,) row of the manifest of each item.
        units: (I,) numbers of the items.
        patients: (I,) code of its patient; an item of an unknown patient is of one of its own.
        members: rows of the manifest of all records in an item, ascending.
        complete: whether every item has every kind.
        id_names: of the ids in a batch.
        left_out: number of records in no item, by what they are.

    Raises:
        MedclError: no two records belong together, all of them are of one patient, or all reports have the same text.
    """

    def __init__(
        self,
        sides: Mapping[str, Linkable],
        manifest: Manifest,
        links: Links,
        *,
        modalities: Mapping[str, str] | None = None,
        incomplete: bool = False,
        needs: str = "",
        seed: int = 0,
    ) -> None:
        self.kinds, self.seed = tuple(sides), seed
        self._sides = dict(sides)
        rows = {kind: side.rows for kind, side in sides.items()}
        modalities = {kind: kind for kind in sides} if modalities is None else modalities
        # Reports alone are records like others.
        report = {kind: name for name, kind in modalities.items()}.get(REPORT, "") if len(sides) > 1 else ""
        self._linked = linked(manifest, links, rows, report=report, incomplete=incomplete, needs=needs)
        self.anchors: Ints = self._linked.anchors
        if not len(self.anchors):
            counts = ", ".join(f"{len(own)} of kind {kind}" for kind, own in rows.items())
            raise MedclError(
                f"no two records belong together ({counts}): a report belongs to a record by its trial, study or "
                "patient, two other records by study or patient; see that both were scanned with the same codes"
            )
        patient = manifest.column("patient")[self.anchors]
        self.patients: Ints = np.where(patient >= 0, patient, -2 - self.anchors)
        if len(np.unique(self.patients)) < 2:
            raise MedclError("all linked records are of one patient: there is nothing to tell them apart from")
        self.units: Ints = np.arange(len(self.anchors))
        self.complete = all(self._linked.has(kind).all() for kind in self.kinds)
        used = {kind: np.unique(self._linked.partners[kind][0]) for kind in self.kinds}
        self.members: Ints = np.unique(np.concatenate(list(used.values())))
        self._codes = {kind: codes for kind, side in sides.items() if (codes := side.codes) is not None}
        self.id_names = ("patient", "item", *self.kinds, *(["text"] if self._codes else []))
        self.left_out = {wing(modalities[kind]).unlinked: len(own) - len(used[kind]) for kind, own in rows.items()}
        texts = self._codes.get(report)
        if texts and len(self.kinds) == 2 and len(np.unique(texts.values[np.isin(texts.rows, used[report])])) == 1:
            raise MedclError(
                f"all {len(used[report])} linked reports have the same text, so that none can be distinguished: look "
                "at the column or file that they were read from"
            )

    def __len__(self) -> int:
        """Number of items."""
        return len(self.anchors)

    def draw(self, number: int, count: int, *, seed: int, step: int, partitions: int = 1) -> list[Place]:
        """The item, once: its partners are drawn when it is read."""
        return [(number, step)]

    def __getitem__(self, place: Place) -> Batch:
        """One item as a batch of one."""
        return self.__getitems__([place])

    def __getitems__(self, places: Sequence[Place]) -> Batch:
        """A batch.

        Args:
            places: (B,) items, and the steps for which they are drawn.

        Returns:
            `inputs` {kind: x} of those items that have the kind, in their order, absent where none has; `index` (B,)
            rows of the anchors; `present` {kind: (B,) bool}; `ids` {name: (B,) int64}: "patient", "item", {kind: row
            that was drawn}, and "text", the same where the texts drawn are. Ids of what is missing are negative, each
            another.
        """
        items = np.array([item for item, _ in places], dtype=np.int64)
        index = self.anchors[items]
        ids = {"patient": self.patients[items], "item": index}
        ids |= {kind: -2 - index for kind in self.kinds}
        drawn: dict[str, list[Any]] = {kind: [] for kind in self.kinds}
        for place, (item, step) in enumerate(places):
            rng = np.random.default_rng([self.seed, 2, step, item])
            for kind in self.kinds:
                rows = self._linked.of(kind, item)
                if len(rows):
                    row = int(rows[rng.integers(len(rows))])
                    ids[kind][place] = row
                    drawn[kind].append(self._sides[kind].draw(row, rng))
        present = {kind: ids[kind] >= 0 for kind in self.kinds}
        for kind, codes in self._codes.items():
            ids["text"] = -2 - index
            ids["text"][present[kind]] = codes.values[np.array(drawn[kind], dtype=np.int64)]
        return {
            "inputs": {kind: self._sides[kind].draws.read(own) for kind, own in drawn.items() if own},
            "index": torch.from_numpy(index),
            "ids": {name: torch.from_numpy(own) for name, own in ids.items()},
            "present": {kind: torch.from_numpy(own) for kind, own in present.items()},
        }
