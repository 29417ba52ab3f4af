"""Records with their partners of other kinds, as batches of tensors."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from medcl.archive.links import Links
from medcl.archive.manifest import Manifest
from medcl.data.pair_links import REPORT, linked
from medcl.data.pair_sides import PairSide, Texts
from medcl.errors import MedclError

Ints = NDArray[np.int64]
Place = tuple[int, int]
"""Number of an item, and the step for which it is drawn."""
_ALONE = {
    "image": "pictures have no partner",
    "volume": "volumes have no partner",
    "signal": "recordings have no partner",
    "report": "reports describe nothing that is trained on",
}


class Pairs(Dataset[dict[str, Any]]):
    """Linked records, each time another draw of each: another window, another of its reports, another sentence.

    What is drawn is a function of (seed, step, item): it does not depend on the rest of the batch nor on who loads it.

    Args:
        sides: {kind: what is drawn from}, reports last.
        manifest: of all kinds.
        links: of its reports.
        incomplete: whether records count that lack a kind.
        needs: a kind that each must have in any case.
        seed: of all draws.

    Attributes:
        kinds: of the sides, in order.
        anchors: (I,) row of the manifest of each item.
        patients: (I,) code of its patient; an item of an unknown patient is of one of its own.
        members: rows of the manifest of all records in an item, ascending.
        complete: whether every item has every kind.
        id_names: of the ids in a batch.
        left_out: how many records are in no item, by what they are.

    Raises:
        MedclError: no two records belong together, all of them are of one patient, or all reports have the same text.
    """

    def __init__(
        self,
        sides: Mapping[str, PairSide],
        manifest: Manifest,
        links: Links,
        *,
        incomplete: bool = False,
        needs: str = "",
        seed: int = 0,
    ) -> None:
        self.kinds, self.seed = tuple(sides), seed
        self._sides = dict(sides)
        rows = {kind: side.rows for kind, side in sides.items()}
        self._linked = linked(manifest, links, rows, incomplete=incomplete, needs=needs)
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
        self.complete = all(self._linked.has(kind).all() for kind in self.kinds)
        used = {kind: np.unique(self._linked.partners[kind][0]) for kind in self.kinds}
        self.members: Ints = np.unique(np.concatenate(list(used.values())))
        self.id_names = ("patient", "item", *self.kinds, *(("text",) if REPORT in self.kinds else ()))
        self.left_out = {_ALONE[kind]: len(own) - len(used[kind]) for kind, own in rows.items()}
        texts = sides.get(REPORT)
        if isinstance(texts, Texts) and len(self.kinds) == 2 and _all_same(texts, used[REPORT]):
            raise MedclError(
                f"all {len(used[REPORT])} linked reports have the same text: there is nothing to tell apart; look at "
                "the column or file that they were read from"
            )

    def __len__(self) -> int:
        """Number of items."""
        return len(self.anchors)

    def __getitem__(self, place: Place) -> dict[str, Any]:
        """One item as a batch of one."""
        return self.__getitems__([place])

    def __getitems__(self, places: Sequence[Place]) -> dict[str, Any]:
        """A batch.

        Args:
            places: (B,) items, and the steps for which they are drawn.

        Returns:
            `{kind: x}` of those items that have the kind, in their order, absent where none has; `index` (B,) rows of
            the anchors; `present` {kind: (B,) bool}; `ids` {name: (B,) int64}: "patient", "item", {kind: row that was
            drawn}, and "text", the same where the texts drawn are. Ids of what is missing are negative, each another.
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
        texts = self._sides.get(REPORT)
        if isinstance(texts, Texts):
            ids["text"] = -2 - index
            ids["text"][present[REPORT]] = texts.text_ids(drawn[REPORT])
        return {
            **{kind: self._sides[kind].read(own) for kind, own in drawn.items() if own},
            "index": torch.from_numpy(index),
            "ids": {name: torch.from_numpy(own) for name, own in ids.items()},
            "present": {kind: torch.from_numpy(own) for kind, own in present.items()},
        }


def _all_same(texts: Texts, reports: Ints) -> bool:
    first: int | None = None
    for report in reports.tolist():
        for one in texts.text_ids(texts.draws_of(report)).tolist():
            first = one if first is None else first
            if one != first:
                return False
    return True
