"""The evaluations of one method on the folds of a cross-validation, pooled into one."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from medcl.errors import UsageError
from medcl.evaluate.results import Fraction, Results, Score, Split
from medcl.evaluate.results_tables import CalibrationCurve, Confusion
from medcl.evaluate.summary import differences, summaries, table_of

T = TypeVar("T")
BINS = 10


def combine_folds(paths: Sequence[Path]) -> Results:
    """Pool the results of one method on the folds of a cross-validation, each of which had a pretraining of its own.

    A mean is over all folds and repeats. Its interval is Student's t over the means of the folds: repeats within a fold
    share their test patients, so that counting each of them as a result of its own would make the interval far too
    narrow. What remains is that the folds share training patients, which a note says.

    Returns:
        The pooled results, to be saved, shown or compared like any other.

    Raises:
        UsageError: fewer than two files, or they are not folds of one evaluation.
    """
    folds = [Results.load(path) for path in paths]
    _check_folds(folds, paths)
    first = folds[0]
    scores: list[Score] = [replace(s, fold=k) for k, one in enumerate(folds) for s in one.scores]
    table = table_of(scores)
    note = (
        f"Pooled from {len(folds)} folds: intervals are over the means of the folds. The folds overlap in training "
        "patients, so the intervals are somewhat too narrow."
    )
    arms = tuple(
        replace(arm, run=", ".join(dict.fromkeys(one.arm(arm.name).run for one in folds))) if arm.run else arm
        for arm in first.arms
    )
    return replace(
        first,
        arms=arms,
        splits={name: _pool_split(name, [fold.splits[name] for fold in folds]) for name in first.splits},
        notes=tuple(dict.fromkeys([note, *(one for fold in folds for one in fold.notes)])),
        fractions=tuple(_pool_fraction([fold.fractions[i] for fold in folds]) for i in range(len(first.fractions))),
        procedure=replace(first.procedure, bootstrap=0, folds=len(folds)),
        scores=tuple(scores),
        summary=tuple(summaries(table, 0)),
        differences=tuple(differences(table, arms, 0)),
        calibration=tuple(_pool_curves(folds)),
        confusion=tuple(_pool_tables(folds)),
        learning=tuple(replace(c, fold=k) for k, one in enumerate(folds) for c in one.learning),
        survival=(),
        speed=(),
    )


def _check_folds(folds: Sequence[Results], paths: Sequence[Path]) -> None:
    if len(folds) < 2:
        raise UsageError("pooling needs the results.json of at least two folds")
    ways: dict[str, Callable[[Results], object]] = {
        "target": lambda r: r.target,
        "method": lambda r: [arm.method for arm in r.arms],
        "arms": lambda r: [arm.name for arm in r.arms],
        "protocols": lambda r: r.protocols,
        "metric": lambda r: r.metric,
        "label fractions": lambda r: [f.label for f in r.fractions],
        "number of repeats": lambda r: r.procedure.repeats,
    }
    for what, value in ways.items():
        for path, fold in zip(paths[1:], folds[1:], strict=True):
            if value(fold) != value(folds[0]):
                raise UsageError(
                    f"{path}: its {what} differs from {paths[0]} ({value(fold)} and {value(folds[0])}), "
                    "so they are not folds of one evaluation"
                )
    seen: dict[str, Path] = {}
    for path, fold in zip(paths, folds, strict=True):
        mark = fold.splits["test"].fingerprint
        if mark and mark in seen:
            raise UsageError(f"{path} and {seen[mark]} were tested on the same records: a fold may be pooled once only")
        seen[mark] = path


def _grouped(items: Iterable[T], *fields: str) -> Iterable[list[T]]:
    groups: dict[tuple[Any, ...], list[T]] = {}
    for item in items:
        groups.setdefault(tuple(getattr(item, field) for field in fields), []).append(item)
    return groups.values()


def _pool_curves(folds: Sequence[Results]) -> Iterable[CalibrationCurve]:
    """Bins of all folds, put into equally wide bins of the prediction and averaged by their counts; no intervals."""
    for parts in _grouped((c for fold in folds for c in fold.calibration), "protocol", "arm", "label", "class_name"):
        predicted, observed, counts = (
            np.concatenate([getattr(part, name) for part in parts]) for name in ("predicted", "observed", "count")
        )
        low, high = (0.0, 1.0) if parts[0].class_name else (predicted.min(), predicted.max())
        place = np.searchsorted(np.linspace(low, high, BINS + 1)[1:-1], predicted, side="right")
        total = np.bincount(place, counts, minlength=BINS)
        used = total > 0
        means = [np.bincount(place, v * counts, minlength=BINS)[used] / total[used] for v in (predicted, observed)]
        lists = [tuple(map(float, one)) for one in (*means, total[used])]
        yield replace(parts[0], predicted=lists[0], observed=lists[1], count=lists[2], low=(), high=())


def _pool_tables(folds: Sequence[Results]) -> Iterable[Confusion]:
    """Counts of all folds together; no intervals."""
    for parts in _grouped((c for fold in folds for c in fold.confusion), "protocol", "arm", "label", "class_name"):
        matrix = np.sum([part.matrix for part in parts], axis=0)
        rows = tuple(tuple(map(float, row)) for row in matrix)
        yield replace(parts[0], matrix=rows, low=(), high=())


def _pool_split(name: str, parts: Sequence[Split]) -> Split:
    """Test folds add up; training and validation parts overlap, so that only their mean says something."""
    merge: Callable[[list[float]], float] = math.fsum if name == "test" else _mean
    classes = dict.fromkeys(c for part in parts for c in part.per_class)
    marks = [part.fingerprint for part in parts]
    return Split(
        merge([part.patients for part in parts]),
        merge([part.records for part in parts]),
        {c: merge([part.per_class.get(c, 0.0) for part in parts]) for c in classes},
        "+".join(sorted(marks)) if all(marks) else "",
    )


def _pool_fraction(parts: Sequence[Fraction]) -> Fraction:
    classes = dict.fromkeys(c for part in parts for c in part.per_class)
    per_class = {c: _mean([part.per_class.get(c, 0.0) for part in parts]) for c in classes}
    raised = any(part.raised for part in parts)
    return Fraction(
        parts[0].label, _mean([p.patients for p in parts]), _mean([p.records for p in parts]), per_class, raised
    )


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))
