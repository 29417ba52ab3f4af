"""The folds of an experiment: the splits of the manifest, folds by patient, or one value of a column at a time."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from medcl.errors import MedclError, UsageError
from medcl.evaluate.arms import Arm
from medcl.evaluate.config import EvaluateConfig
from medcl.evaluate.experiment import Fold
from medcl.evaluate.items import Items
from medcl.evaluate.tasks.base import Task

HELD_OUT = 0.25
"""Share of the patients who are not tested by whom models are chosen."""


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
        patients = np.unique(items.patient[others], return_index=True)[1]
        order = np.random.default_rng([1, number]).permutation(items.patient[others][np.sort(patients)])
        held = np.isin(items.patient[others], order[: max(1, round(HELD_OUT * len(order)))])
        if len(order) < 2:
            raise UsageError(f"--folds {config.folds}: fewer than two patients are left to train on and to choose by")
        folds.append(Fold(number, others[~held], others[held], test, tuple(arms)))
    return folds


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
    count, code = int(folds), items.patient[known]
    first = np.sort(np.unique(code, return_index=True)[1])
    patients = code[first]
    if count < 2 or len(patients) < max(count, 3):
        raise UsageError(
            f"--folds {folds}: {len(patients)} patients with labels; at least two folds, and as many patients as folds"
        )
    order = np.random.default_rng(0).permutation(len(patients))
    of_patient = {int(patients[i]): k for k, part in enumerate(np.array_split(order, count)) for i in part}
    return np.array([of_patient[int(one)] for one in code])


def _labelled(items: Items, task: Task, split: str) -> NDArray[np.int64]:
    rows = np.flatnonzero((items.split == split) & task.labelled)
    if not len(rows):
        raise MedclError(
            f"no usable record of the split {split!r} has a label for {task.target.name!r}: `medcl split` makes "
            "splits, and `medcl scan` lists the records that were quarantined"
        )
    return rows
