"""The folds of an experiment: the splits of the manifest, folds by patient, or one value of a column at a time."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from medcl.archive.folds import fold_of, held_out
from medcl.errors import MedclError, UsageError
from medcl.evaluate.arms import Arm
from medcl.evaluate.config import EvaluateConfig
from medcl.evaluate.experiment import Fold
from medcl.evaluate.items import Items
from medcl.evaluate.tasks.base import Bools, Task


def divided(items: Items, task: Task, config: EvaluateConfig, arms: Sequence[Arm]) -> list[Fold]:
    """Divide the labelled items.

    Of folds, every item is tested once; models are chosen on a quarter of the other patients.

    Args:
        items: with their patients, splits and groups.
        task: whose labelled items are used.
        config: `folds` says how.
        arms: of every fold.

    Raises:
        UsageError: too few patients or values.
        MedclError: a split has no labelled item.
    """
    if not config.folds:
        train, validation, test = (_labelled(items, task, split) for split in ("train", "val", "test"))
        return [Fold(0, train, validation, test, tuple(arms))]
    known = np.flatnonzero(task.labelled)
    group = _groups(items, config.folds, known)
    folds = []
    for number, value in enumerate(np.unique(group)):
        test = known[group == value]
        # Somebody who was seen at two sites is tested at one, and not trained on at the other.
        others = known[(group != value) & ~np.isin(items.patient[known], items.patient[test])]
        if len(np.unique(items.patient[others])) < 2:
            raise UsageError(f"--folds {config.folds}: fewer than two patients are left to train on and to choose by")
        held = held_out(items.patient[others], number)
        folds.append(Fold(number, others[~held], others[held], test, tuple(arms)))
    return folds


def of_records(items: Items, task: Task, number: int, *parts: Bools) -> Fold:
    """The labelled items of records that are divided already, without arms.

    Args:
        items: that belong to the records.
        task: whose labelled items are used.
        number: of the fold.
        parts: (records,) those that are trained on, chosen by and tested.

    Raises:
        MedclError: none of those that are trained on carries a class, or the metric is undefined on the others.
    """
    train, validation, test = (np.flatnonzero(task.labelled & part[items.row]) for part in parts)
    task.ordering(items.patient, train, unit="patient", seed=0)
    for rows in (validation, test):
        task.score(rows, task.votes(rows))
    return Fold(number, train, validation, test, ())


def _groups(items: Items, folds: str, known: NDArray[np.int64]) -> NDArray[np.int64]:
    """(known,) the fold in which each labelled item is tested."""
    if not folds.isdigit():
        values = items.groups
        if values is None:
            raise UsageError(f"--folds {folds}: a number of folds, or a column of the manifest")
        named = values[known].astype(str)
        if len(np.unique(named)) < 2:
            raise UsageError(f"--folds {folds}: the labelled records have a single value there")
        return np.unique(named, return_inverse=True)[1]
    count, patients = int(folds), items.patient[known]
    n_patients = len(np.unique(patients))
    if count < 2 or n_patients < max(count, 3):
        raise UsageError(
            f"--folds {folds}: {n_patients} patients with labels; at least two folds, and as many patients as folds"
        )
    return fold_of(patients, count)


def _labelled(items: Items, task: Task, split: str) -> NDArray[np.int64]:
    rows = np.flatnonzero((items.split == split) & task.labelled)
    if not len(rows):
        raise MedclError(
            f"none of the usable {items.plural} of the split {split!r} has a label for {task.target.name!r}: "
            "`medcl split` makes splits, and `medcl scan` lists the records that were quarantined"
        )
    return rows
