"""Calibration curves and confusion tables of finished models, with intervals over test patients."""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from medcl.evaluate.results_tables import CalibrationCurve, Confusion, SurvivalCurve
from medcl.evaluate.summary import Key, Tested
from medcl.evaluate.tasks.base import Floats, Task
from medcl.stats.calibration import calibration_intervals
from medcl.stats.decisions import confusion_intervals
from medcl.stats.metrics import Predictions
from medcl.stats.survival import SurvivalPredictions, kaplan_meier, log_rank

Patients = Mapping[int, NDArray[np.int64]]


def _cells(
    finished: Sequence[Tested], patients: Patients
) -> Iterator[tuple[Key, Predictions, Floats, NDArray[np.int64]]]:
    """Truth and predictions (repeats, records, columns) of every cell, those of all folds one behind the other."""
    cells: dict[Key, dict[int, dict[int, Predictions]]] = defaultdict(lambda: defaultdict(dict))
    for one in finished:
        if isinstance(one.measured, Predictions):
            cells[one.protocol, one.arm, one.label][one.repeat][one.fold] = one.measured
    for key, repeats in cells.items():
        folds = [fold for fold in sorted(patients) if all(fold in own for own in repeats.values())]
        every = np.stack([np.concatenate([own[fold].prediction for fold in folds]) for own in repeats.values()])
        yield key, next(iter(repeats.values()))[folds[0]], every, np.concatenate([patients[fold] for fold in folds])


def _truth(finished: Sequence[Tested], patients: Patients) -> Floats:
    """The labels of all folds, (records, columns)."""
    by_fold = {one.fold: one.measured.truth for one in finished if isinstance(one.measured, Predictions)}
    return np.concatenate([by_fold[fold] for fold in sorted(patients)]).astype(np.float64)


def calibration_curves(
    task: Task, finished: Sequence[Tested], patients: Patients, n_boot: int, seed: int
) -> Iterator[CalibrationCurve]:
    """Observed against predicted, of every cell and class.

    Args:
        task: whose classes are named.
        finished: models.
        patients: (records,) of the test items, by fold.
        n_boot: number of resamples of the patients.
        seed: of the resamples.
    """
    if not any(isinstance(one.measured, Predictions) for one in finished):
        return
    values = not task.class_names
    bounds = (-math.inf, math.inf) if values else (0.0, 1.0)
    truth = _truth(finished, patients)
    for (protocol, arm, label), _, predicted, ids in _cells(finished, patients):
        for column, name in enumerate(task.class_names or ("",)):
            shown = predicted[:, :, column] if values else np.clip(predicted[:, :, column], 0, 1)
            curve = calibration_intervals(truth[:, column], shown, ids, bounds, n_boot=n_boot, seed=seed)
            lists = {part: tuple(map(float, value)) for part, value in vars(curve).items()}
            yield CalibrationCurve(protocol, arm, label, name, **lists)


def survival_curves(finished: Sequence[Tested]) -> Iterator[SurvivalCurve]:
    """Of models of repeat 1 and the first fold the curves of both halves by predicted risk."""
    for one in finished:
        measured = one.measured
        if not isinstance(measured, SurvivalPredictions) or one.repeat or one.fold:
            continue
        high = measured.risk > np.median(measured.risk)
        halves = [(measured.time[half], measured.event[half]) for half in (~high, high)]
        if not high.any():
            continue
        times = np.unique(measured.time[measured.event])
        lower, higher = (tuple(map(float, kaplan_meier(*half)(times))) for half in halves)
        counts = int((~high).sum()), int(high.sum())
        at = tuple(map(float, times))
        yield SurvivalCurve(one.protocol, one.arm, one.label, at, lower, higher, counts, log_rank(*halves))


def confusions(
    task: Task, finished: Sequence[Tested], patients: Patients, n_boot: int, seed: int
) -> Iterator[Confusion]:
    """Confusion counts of every cell; arguments as of `calibration_curves`."""
    if not task.target.classes or not any(isinstance(one.measured, Predictions) for one in finished):
        return
    truth = _truth(finished, patients)
    for (protocol, arm, label), one, predicted, ids in _cells(finished, patients):
        kind, several = one.kind, one.kind == "multilabel"
        labels = truth if several else truth[:, 0] if kind == "binary" else truth.argmax(axis=1)
        found = confusion_intervals(kind, labels, predicted, ids, n_boot=n_boot, seed=seed)
        parts = [getattr(found, part) if several else getattr(found, part)[None] for part in ("count", "low", "high")]
        for number, name in enumerate(task.target.classes if several else ("",)):
            count, low, high = (tuple(tuple(map(float, row)) for row in part[number]) for part in parts)
            classes = (f"no {name}", name) if several else task.target.classes
            yield Confusion(protocol, arm, label, classes, count, name, low, high)
