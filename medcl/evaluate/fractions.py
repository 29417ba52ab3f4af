"""How label fractions are drawn: which training patients are labelled when only 1%, 10% or 50 of them are.

All fractions of a seed are prefixes of one ordering, so the 1% lies inside the 10% whatever the numbers. The ordering
begins with patients who together have every class, and then takes in each step a patient after whom the prefix has
the classes in the proportions of the whole.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from medcl.archive.manifest import Manifest, Target
from medcl.archive.stratify import Bools, Ints, any_of, first_appearance, label_columns
from medcl.errors import MedclError, UsageError

Unit = Literal["patient", "record"]
UNITS: dict[str, Callable[[Manifest, Ints], Ints]] = {
    "patient": lambda manifest, rows: first_appearance(manifest.column("patient")[rows])[0],
    "record": lambda _, rows: np.arange(len(rows)),
}
"""What a fraction counts: (manifest, rows) -> (rows,) number of the unit that each row belongs to."""

_ALLOWED = (
    "allowed are a percentage above 0% and up to 100% ('1%'), a share with a decimal point above 0 and up to 1 ('0.1', "
    "'1.0'), or a count of at least 1 ('50')"
)
# Labels come before exact combinations of labels: this decides between those that serve them about equally.
_COMBINATION_WEIGHT = 0.1


@dataclass(frozen=True)
class LabelFraction:
    """How much of the training data is labelled, as `10%`: a share in (0, 1] or a count, one of which is None."""

    label: str
    share: float | None = None
    count: int | None = None


@dataclass(frozen=True)
class Subset:
    """The labelled part of the training data at one fraction: rows of the manifest, ascending.

    A fraction that is too small to include every class is raised to the smallest that does.
    """

    label: str
    rows: Ints
    n_patients: int
    n_records: int
    per_class: dict[str, int]
    raised: bool


@dataclass(frozen=True)
class Ordering:
    """An order of the labelled training units (patients or records) whose prefixes are the fractions.

    Args:
        units: (units,) numbers of the units, in order.
        rows: (records,) labelled training rows of the manifest.
        unit_of_row: (records,) number of the unit that a row belongs to.
        patient_of_row: (records,) number of the patient.
        columns: (records, classes), which classes a row carries.
        minimum: number of units that it takes to include every class.
        unit: what is counted.
        classes: names of the columns; empty for regression.
    """

    units: Ints
    rows: Ints
    unit_of_row: Ints
    patient_of_row: Ints
    columns: Bools
    minimum: int
    unit: Unit
    classes: tuple[str, ...]

    def take(self, fraction: LabelFraction) -> Subset:
        """The subset of a fraction: a share is rounded to the nearest number of units, and raised to `minimum`.

        Raises:
            UsageError: a count is below the minimum or above what there is.
        """
        n_units = len(self.units)
        if fraction.count is not None and not self.minimum <= fraction.count <= n_units:
            bound = (
                f"at least {self.minimum} are needed to include every class in this draw"
                if fraction.count < self.minimum
                else f"the training split has {n_units} that are labelled"
            )
            raise UsageError(f"--labels {fraction.label}: {fraction.count} {self.unit}s, but {bound}")
        wanted = fraction.count if fraction.count is not None else round((fraction.share or 0) * n_units)
        size = max(wanted, self.minimum)
        chosen = np.isin(self.unit_of_row, self.units[:size])
        counts = self.columns[chosen].sum(axis=0)
        return Subset(
            label=fraction.label,
            rows=self.rows[chosen],
            n_patients=len(np.unique(self.patient_of_row[chosen])),
            n_records=int(chosen.sum()),
            per_class={name: int(count) for name, count in zip(self.classes, counts, strict=False)},
            raised=size > wanted,
        )


def parse(text: str) -> LabelFraction:
    """Read a label fraction from the command line or a configuration.

    With a percent sign, or with a decimal point and a value in (0, 1], it is a share; without either it is a count:
    `1%` is one in a hundred, `1.0` is everything, `1` is a single patient.

    Raises:
        UsageError: anything else, with what is allowed.
    """
    stripped = text.strip()
    match = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)\s*(%?)", stripped, re.ASCII)
    if match:
        number, percent = match.groups()
        if not percent and "." not in number:
            if int(number) > 0:
                return LabelFraction(stripped, count=int(number))
        else:
            share = float(number) / (100 if percent else 1)
            if 0 < share <= 1:
                return LabelFraction(stripped, share=share)
    raise UsageError(f"--labels {text!r} is not a label fraction: {_ALLOWED}")


def check(labels: Sequence[str], repeats: int) -> None:
    """Refuse label fractions that cannot be drawn, before anything is computed.

    Raises:
        UsageError: a label fraction is invalid, or there is none, or no repeat.
    """
    for text in labels:
        parse(text)
    if repeats < 1 or not labels:
        raise UsageError("an evaluation needs at least one of --labels and at least one of --repeats")


def draw(order: Callable[[int], "Ordering"], labels: Sequence[str], *, repeats: int, seed: int) -> list[list[Subset]]:
    """The labelled subsets of every repeat, in ascending order of size, by orderings of seeds that count up from one.

    Raises:
        UsageError: as in `Ordering.take`.
    """
    fractions, drawn = [parse(text) for text in labels], []
    for repeat in range(repeats):
        ordering = order(seed + repeat)
        drawn.append(sorted((ordering.take(one) for one in fractions), key=lambda subset: len(subset.rows)))
    return drawn


def order(manifest: Manifest, *, target: str, unit: Unit = "patient", seed: int = 0) -> Ordering:
    """Order the labelled training units so that every prefix is a fair sample; readable records of `train` count.

    Raises:
        MedclError: no training record is labelled, or a class has no positive (or no negative) one.
        UsageError: there is no such target.
    """
    labels, target_of = manifest.labels(target), manifest.targets[target]
    train = manifest.split_rows("train")
    train = train[manifest.column("status")[train] == "ok"]
    columns, known = label_columns(labels[train], target_of.kind, len(target_of.classes))
    rows, columns = train[known], columns[known]
    if not len(rows):
        raise MedclError(f"no record of the training split has a label for {target!r}")
    unit_of_row = UNITS[unit](manifest, rows)
    n_units = int(unit_of_row.max()) + 1
    needed = _needed(columns, target_of)
    units, minimum = _order_units(
        any_of(columns, unit_of_row, n_units), any_of(needed, unit_of_row, n_units), np.random.default_rng(seed)
    )
    minimum = min(2, n_units) if target_of.kind == "regression" else minimum
    return Ordering(
        units, rows, unit_of_row, UNITS["patient"](manifest, rows), columns, minimum, unit, target_of.classes
    )


def random_order(manifest: Manifest, rows: Ints, *, unit: Unit = "patient", seed: int = 0) -> Ordering:
    """Order the units of training rows (R,) at random: of a target without classes, such as label maps.

    Raises:
        MedclError: there is no row.
    """
    if not len(rows):
        raise MedclError("no volume of the training split has a label map that can be used")
    unit_of_row = UNITS[unit](manifest, rows)
    units = np.random.default_rng(seed).permutation(int(unit_of_row.max()) + 1)
    nothing = np.zeros((len(rows), 0), dtype=bool)
    return Ordering(units, rows, unit_of_row, UNITS["patient"](manifest, rows), nothing, 1, unit, ())


def _needed(columns: Bools, target: Target) -> Bools:
    """What every fraction has to show: of each class a positive and, for multilabel, a negative record."""
    if target.kind == "regression":
        return columns[:, :0]
    sides = {"positive": columns, "negative": ~columns} if target.kind == "multilabel" else {"positive": columns}
    for side, present in sides.items():
        absent = [name for name, some in zip(target.classes, present.max(axis=0), strict=True) if not some]
        if absent:
            raise MedclError(
                f"target {target.name!r}: no {side} record of {', '.join(absent)} in the training split; "
                "split again with stratification, or leave the class out of the target"
            )
    return np.concatenate(list(sides.values()), axis=1)


def _order_units(columns: Bools, needed: Bools, rng: np.random.Generator) -> tuple[Ints, int]:
    """Order units: first a cover of the needed properties (units, properties), then greedily by proportions.

    Columns (units, classes) are kept in proportion; `rng` makes every choice that the labels leave open.

    Returns:
        (units,) the order, and the length of the beginning.
    """
    n_units = len(columns)
    cover: list[int] = []
    missing = needed.sum(axis=0) > 0
    rarity = np.argsort(needed.sum(axis=0), kind="stable")
    for column in rarity:
        # A random bearer of the rarest missing property: the fewest bearers overall would be the patients with many
        # diseases, who are not typical.
        if missing[column]:
            cover.append(int(rng.choice(np.flatnonzero(needed[:, column]))))
            missing &= ~needed[cover[-1]]

    kinds, kind_of_unit = np.unique(columns, axis=0, return_inverse=True)
    left = rng.permutation(n_units)
    left = left[~np.isin(left, cover)]
    by_kind = left[np.argsort(kind_of_unit[left], kind="stable")]
    end = np.cumsum(np.bincount(kind_of_unit[left], minlength=len(kinds)))
    position = end - np.bincount(kind_of_unit[left], minlength=len(kinds))  # by_kind[position:end] of a kind is left

    y = kinds.astype(np.float64)
    share, kind_share = columns.mean(axis=0), np.bincount(kind_of_unit, minlength=len(kinds)) / n_units
    held = columns[cover].sum(axis=0).astype(np.float64)
    kind_held = np.bincount(kind_of_unit[cover], minlength=len(kinds))
    # Adding kind g changes the squared distance |held + y_g - n share|^2 by this constant and a term linear in y_g.
    constant = (y**2).sum(axis=1) + rng.random(len(kinds)) * 1e-9
    constant[position >= end] = np.inf
    result = np.concatenate([np.asarray(cover, dtype=np.int64), np.empty(len(left), dtype=np.int64)])
    for n in range(len(cover), n_units):
        excess = held - (n + 1) * share
        cost = constant + 2 * (y @ excess) + 2 * _COMBINATION_WEIGHT * (kind_held - (n + 1) * kind_share)
        g = int(np.argmin(cost))
        result[n] = by_kind[position[g]]
        position[g] += 1
        held += y[g]
        kind_held[g] += 1
        if position[g] == end[g]:
            constant[g] = np.inf
    return result, len(cover)
