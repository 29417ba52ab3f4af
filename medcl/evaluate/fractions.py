"""How label fractions are drawn: which training patients are labelled when only 1%, 10% or 50 of them are.

All fractions of a seed are prefixes of one ordering, so the 1% lies inside the 10% whatever the numbers. The ordering
begins with patients who together have every class, and then takes in each step a patient after whom the prefix has
the classes in the proportions of the whole.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from medcl.archive.stratify import Bools, Ints, any_of, first_appearance, label_columns
from medcl.errors import MedclError, UsageError
from medcl.evaluate.label_fraction import LabelFraction, parse

Unit = Literal["patient", "record"]
UNITS: dict[str, Callable[[Ints], Ints]] = {
    "patient": lambda patients: first_appearance(patients)[0],
    "record": lambda patients: np.arange(len(patients)),
}
"""What a fraction counts: (rows,) patient of each row -> (rows,) number of the unit that each row belongs to."""

# Labels come before exact combinations of labels: this decides between those that serve them about equally.
_COMBINATION_WEIGHT = 0.1


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
        minutes: (records,) length of each recording; None where records have none.
    """

    units: Ints
    rows: Ints
    unit_of_row: Ints
    patient_of_row: Ints
    columns: Bools
    minimum: int
    unit: Unit
    classes: tuple[str, ...]
    minutes: NDArray[np.float64] | None = None

    def take(self, fraction: LabelFraction) -> Subset:
        """The subset of a fraction: a share is rounded to the nearest number of units, and raised to `minimum`.

        Raises:
            UsageError: a count is below the minimum or above what there is.
        """
        wanted = self._wanted(fraction)
        size = wanted if isinstance(wanted, int) else len(wanted)
        if isinstance(wanted, int):
            size = max(wanted, self.minimum)
            wanted = self.units[:size]
        raised = fraction.share is not None and size > round(fraction.share * len(self.units))
        chosen = np.isin(self.unit_of_row, wanted)
        counts = self.columns[chosen].sum(axis=0)
        return Subset(
            label=fraction.label,
            rows=self.rows[chosen],
            n_patients=len(np.unique(self.patient_of_row[chosen])),
            n_records=int(chosen.sum()),
            per_class={name: int(count) for name, count in zip(self.classes, counts, strict=False)},
            raised=raised,
        )

    def _wanted(self, fraction: LabelFraction) -> int | Ints:
        """A number of units from the beginning, or certain units."""
        n_units = len(self.units)
        if fraction.per_class is not None:
            return self._of_each_class(fraction.label, fraction.per_class)
        if fraction.minutes is not None:
            return self._within(fraction.label, fraction.minutes)
        if fraction.count is None:
            return round((fraction.share or 0) * n_units)
        if not self.minimum <= fraction.count <= n_units:
            bound = (
                f"at least {self.minimum} are needed to include every class in this draw"
                if fraction.count < self.minimum
                else f"the training split has {n_units} that are labelled"
            )
            raise UsageError(f"--labels {fraction.label}: {fraction.count} {self.unit}s, but {bound}")
        return fraction.count

    def _of_each_class(self, label: str, count: int) -> Ints:
        """The first units of the order that a class still lacks, until each class has enough."""
        if not self.classes:
            raise UsageError(f"--labels {label}: the target has no classes")
        carries = any_of(self.columns[:, : len(self.classes)], self.unit_of_row, len(self.units))
        fewest = int(carries.sum(axis=0).min())
        if fewest < count:
            raise UsageError(f"--labels {label}: the rarest class has {fewest} {self.unit}s in the training split")
        held, chosen = np.zeros(carries.shape[1], dtype=np.int64), []
        for unit in self.units.tolist():
            if (carries[unit] & (held < count)).any():
                chosen.append(unit)
                held += carries[unit]
        return np.array(chosen, dtype=np.int64)

    def _within(self, label: str, minutes: float) -> int:
        """As many units from the beginning as their recordings last no longer than this together."""
        if self.minutes is None:
            raise UsageError(f"--labels {label}: records of this kind have no length in time")
        length = np.bincount(self.unit_of_row, self.minutes, minlength=len(self.units))[self.units].cumsum()
        size = int(np.searchsorted(length, minutes, side="right"))
        if size < self.minimum:
            raise UsageError(
                f"--labels {label}: the first {self.minimum} {self.unit}s, which it takes to include every class in "
                f"this draw, last {length[self.minimum - 1]:.1f} minutes"
            )
        return size


def draw(order: Callable[[int], "Ordering"], labels: Sequence[str], *, repeats: int, seed: int) -> list[list[Subset]]:
    """The labelled subsets of every repeat, in ascending order of size, by orderings of seeds that count up from one.

    Raises:
        UsageError: as in `Ordering.take`.

    Example:
        >>> import numpy as np
        >>> from medcl.evaluate.fractions import draw, random_order
        >>> patients = np.repeat(np.arange(20), 3)  # three records each
        >>> order = lambda seed: random_order(patients, np.arange(60), seed=seed)
        >>> first, second = draw(order, ["10%", "50%"], repeats=2, seed=0)
        >>> [(one.label, one.n_patients, one.n_records) for one in first]
        [('10%', 2, 6), ('50%', 10, 30)]
    """
    fractions, drawn = [parse(text) for text in labels], []
    for repeat in range(repeats):
        ordering = order(seed + repeat)
        drawn.append(sorted((ordering.take(one) for one in fractions), key=lambda subset: len(subset.rows)))
    return drawn


def order(
    labels: NDArray[np.generic],
    kind: str,
    classes: tuple[str, ...],
    patients: Ints,
    train: Ints,
    *,
    unit: Unit = "patient",
    seed: int = 0,
    name: str = "",
    minutes: NDArray[np.float64] | None = None,
) -> Ordering:
    """Order the labelled training units so that every prefix is a fair sample.

    Args:
        labels: of all items, as `Manifest.labels` returns them.
        kind: of the target; of one without classes the order is random, or follows fifths of the values.
        classes: names.
        patients: (items,) of all items.
        train: rows of the training items.
        unit: what is counted.
        seed: of the order.
        name: of the target, for errors.
        minutes: (items,) length of each, if it has one.

    Raises:
        MedclError: no training item is labelled, or a class has no positive (or no negative) one.
    """
    known_kind = kind if kind in ("binary", "multiclass", "multilabel") else "multiclass" if classes else "regression"
    if kind == "survival":
        known_kind, (columns, known) = kind, _of_events(labels[train])
    else:
        columns, known = label_columns(labels[train], known_kind, len(classes))  # type: ignore[arg-type]
    rows, columns = train[known], columns[known]
    if not len(rows):
        raise MedclError(f"no record of the training split has a label for {name!r}")
    unit_of_row = UNITS[unit](patients[rows])
    n_units = int(unit_of_row.max()) + 1
    needed = _needed(columns, known_kind, classes, name)
    units, minimum = _order_units(
        any_of(columns, unit_of_row, n_units), any_of(needed, unit_of_row, n_units), np.random.default_rng(seed)
    )
    minimum = min(2, n_units) if known_kind == "regression" else minimum
    length = None if minutes is None else minutes[rows]
    return Ordering(units, rows, unit_of_row, UNITS["patient"](patients[rows]), columns, minimum, unit, classes, length)


def random_order(patients: Ints, rows: Ints, *, unit: Unit = "patient", seed: int = 0) -> Ordering:
    """Order the units of training rows (R,) at random: of a target without classes, such as label maps.

    Raises:
        MedclError: there is no row.
    """
    if not len(rows):
        raise MedclError("no volume of the training split has a label map that can be used")
    unit_of_row = UNITS[unit](patients[rows])
    units = np.random.default_rng(seed).permutation(int(unit_of_row.max()) + 1)
    nothing = np.zeros((len(rows), 0), dtype=bool)
    return Ordering(units, rows, unit_of_row, UNITS["patient"](patients[rows]), nothing, 1, unit, ())


def _of_events(labels: NDArray[Any]) -> tuple[Bools, Bools]:
    """Columns of (records, 2) times and events: the event, then events and censored by fifths of time."""
    fifths, known = label_columns(np.where(np.isnan(labels[:, 1]), np.nan, labels[:, 0]), "regression", 0)
    event = labels[:, 1:] == 1
    return np.concatenate([event, fifths & event, fifths & ~event], axis=1), known


def _needed(columns: Bools, kind: str, classes: tuple[str, ...], target: str) -> Bools:
    """What every fraction has to show: of each class a positive and, for multilabel, a negative record."""
    if kind == "regression":
        return columns[:, :0]
    if kind == "survival":
        columns = columns[:, :1]
    sides = {"positive": columns, "negative": ~columns} if kind == "multilabel" else {"positive": columns}
    for side, present in sides.items():
        absent = [name for name, some in zip(classes, present.max(axis=0), strict=True) if not some]
        if absent:
            raise MedclError(
                f"target {target!r}: no {side} record of {', '.join(absent)} in the training split; "
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
