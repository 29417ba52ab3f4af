"""What objectives look up by row of the manifest: levels, labels and values."""

from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor

from medcl.archive.links import links
from medcl.archive.manifest import Manifest
from medcl.data.samples import InMemory
from medcl.errors import UsageError, did_you_mean
from medcl.pretrain.objectives.positives import CLASSES, LABEL, OVERLAP, VALUE
from medcl.pretrain.recipe import Recipe

Columns = Manifest | InMemory
"""What is looked up in."""


class Lookups:
    """What objectives look up in the manifest by row: levels, labels, values.

    Args:
        recipe: the whole.
        chosen: what is trained on.
        id_names: what a batch tells by itself.
        more: further words, with the settings that name them.

    Raises:
        UsageError: the manifest has no such column, or it does not hold numbers.
    """

    def __init__(
        self, recipe: Recipe, chosen: Columns, id_names: Sequence[str], more: Mapping[str, str] | None = None
    ) -> None:
        self.rows = len(chosen)
        self._tables: dict[str, Tensor] = {}
        names = tuple(name for name in recipe.inputs if not recipe.inputs[name].like)
        # One input has no partners, and may be called as a level of its samples is.
        self._partners = names if len(names) > 1 else ()
        for name, objective in recipe.objectives.items():
            for word in objective.columns:
                if word not in (*id_names, "position", *self._tables):
                    self._tables[word] = self.table(recipe, name, word, chosen, id_names)
        for word, where in (more or {}).items():
            self._tables[word] = _column(where, word, chosen, id_names, 1.0, recipe.seed)

    def part(self, start: int, stop: int) -> "Lookups":
        """The same for some of the rows."""
        own = copy(self)
        own.rows = stop - start
        own._tables = {word: table[start:stop] for word, table in self._tables.items()}
        return own

    def __deepcopy__(self, memo: dict[int, Any]) -> "Lookups":
        """Itself: an averaged copy of a model looks up the same."""
        return self

    @staticmethod
    def table(recipe: Recipe, objective: str, word: str, chosen: Columns, id_names: Sequence[str] = ()) -> Tensor:
        """What one objective looks up by a word, of each row of the manifest.

        Raises:
            UsageError: as the class.
        """
        share = float(getattr(recipe.objectives[objective], "labels", 1.0))
        return _column(f"objectives.{objective}", word, chosen, id_names, share, recipe.seed)

    def of(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """{word: (B,)} of the samples of a batch, {word: (B, K)} of which labels they have."""
        rows = batch["index"]
        found = {}
        for word, table in self._tables.items():
            table = table.to(rows.device)
            self._tables[word] = table
            own = table[rows]
            for partner in self._partners:
                other = batch["ids"].get(partner)
                if other is not None:
                    # A label of any of the linked records is one of the item.
                    of_partner = table[other.clamp(min=0)]
                    if own.dtype == torch.bool:
                        unknown, there = ~own.any(dim=1, keepdim=True), (other >= 0)[:, None]
                    else:
                        unknown, there = own.isnan() if own.is_floating_point() else own < 0, other >= 0
                    own = torch.where(unknown & there, of_partner, own)
            found[word] = own
        return found


def _column(where: str, word: str, chosen: Columns, id_names: Sequence[str], share: float, seed: int) -> Tensor:
    """One value a row of the manifest: codes of a level or label, the unknown ones each another, or numbers.

    Of `overlap:` (rows, K) bool, which labels a row has.
    """
    if word.startswith(OVERLAP):
        return _labels(where, word.removeprefix(OVERLAP).split("/"), chosen, id_names, share, seed)
    column, _, value = word.removeprefix(LABEL).removeprefix(VALUE).removeprefix(CLASSES).partition("=")
    found = _found(where, column, chosen, id_names)
    rows = np.arange(len(found))
    if not word.startswith((LABEL, VALUE, CLASSES)):
        if found.dtype.kind not in "iu":
            raise UsageError(f"{where}: {column} is no level; take label:{column}")
        return torch.from_numpy(np.where(found >= 0, found, -2 - rows).astype(np.int64))
    found = _told(chosen, found)
    if word.startswith(VALUE):
        if found.dtype.kind not in "iuf":
            raise UsageError(f"{where}: the column {column} does not hold numbers; take label:{column}")
        return torch.from_numpy(np.where(_known(found), found, np.nan).astype(np.float32))
    labels = _in_words(found)
    # Several labels of a record are one class of their own.
    values = [None if own is None else "+".join(own) for own in labels]
    if word.startswith(CLASSES):
        return _places(where, column, value.split("\n"), values)
    if value:
        binary = [-1 if own is None else int(value in own) for own in labels]
        if 1 not in binary or 0 not in binary:
            raise UsageError(f"{where}: the column {column} has no record of {value!r}, or no other")
        return torch.tensor(binary)
    classes = {one: place for place, one in enumerate(sorted({one for one in values if one is not None}))}
    if len(classes) < 2:
        raise UsageError(f"{where}: the column {column} tells no records apart: it has {len(classes)} value(s)")
    codes = np.array([-2 - row if one is None else classes[one] for row, one in enumerate(values)], dtype=np.int64)
    hidden = _hidden(chosen, codes >= 0, share, seed)
    codes[hidden] = -2 - np.flatnonzero(hidden)
    return torch.from_numpy(codes)


def _found(where: str, column: str, chosen: Columns, id_names: Sequence[str]) -> Any:
    """A column of the manifest.

    Raises:
        UsageError: there is none of this name.
    """
    if not chosen.has(column):
        there = (*id_names, *chosen.targets)
        near = did_you_mean(column, there)
        raise UsageError(f"{where}: the archive has no ids for {column}; it has {', '.join(there)}{near}")
    return chosen.column(column)


def _known(found: Any) -> Any:
    """(rows,) bool, where a column has a value, see `Manifest.column`."""
    if found.dtype.kind in "iu":
        return found >= 0
    return np.array([one is not None and one == one for one in found.tolist()], dtype=bool)


def _told(chosen: Columns, found: Any) -> Any:
    """(rows,) values; a report without one has that of the records that it describes, where these agree."""
    if not isinstance(chosen, Manifest):
        return found
    known, pairs, source = _known(found), links(chosen), np.arange(len(found))
    for row in np.unique(pairs.reports[~known[pairs.reports]]):
        own = [one for one in pairs.records_of(int(row)) if known[one]]
        if own and all(found[one] == found[own[0]] for one in own):
            source[row] = own[0]
    return found[source]


def _in_words(found: Any) -> list[list[str] | None]:
    """The labels of each row, none where it is not known whether it has any."""
    return [
        sorted(map(str, one if isinstance(one, list) else [one])) if there else None
        for one, there in zip(found.tolist(), _known(found), strict=True)
    ]


def _hidden(chosen: Columns, known: Any, share: float, seed: int) -> Any:
    """(rows,) bool, whose labels are not used where only a share of the patients with known ones shows theirs."""
    if share == 1:
        return np.zeros(len(chosen), dtype=bool)
    patients = chosen.column("patient")
    labelled = np.unique(patients[known])
    kept = np.random.default_rng([seed, 7]).permutation(labelled)[: max(1, round(share * len(labelled)))]
    return ~np.isin(patients, kept)


def _labels(
    where: str, columns: Sequence[str], chosen: Columns, id_names: Sequence[str], share: float, seed: int
) -> Tensor:
    """(rows, K) bool, which values of some columns a row has, and of a report those of the records it describes."""
    tables = []
    for column in columns:
        labels = [own or [] for own in _in_words(_found(where, column, chosen, id_names))]
        place = {one: number for number, one in enumerate(sorted({one for own in labels for one in own}))}
        table = np.zeros((len(labels), len(place)), dtype=bool)
        for row, own in enumerate(labels):
            table[row, [place[one] for one in own]] = True
        tables.append(table)
    found = np.concatenate(tables, axis=1)
    if isinstance(chosen, Manifest):
        found = links(chosen).told(found)
    if len(np.unique(found[found.any(axis=1)], axis=0)) < 2:
        raise UsageError(f"{where}: the columns {', '.join(columns)} tell no records apart")
    found[_hidden(chosen, found.any(axis=1), share, seed)] = False
    return torch.from_numpy(found)


def _places(where: str, column: str, classes: Sequence[str], values: Sequence[str | None]) -> Tensor:
    """The place of each value among some classes; -1 where there is no such class, no value, or several at once."""
    place = {one: number for number, one in enumerate(classes)}
    codes = [-1 if one is None else place.get(one, -1) for one in values]
    if max(codes, default=-1) < 0:
        there = ", ".join(sorted({one for one in values if one is not None})[:8])
        raise UsageError(f"{where}.classes: no record has one of {', '.join(classes)} in {column}; it has {there}")
    return torch.tensor(codes)
