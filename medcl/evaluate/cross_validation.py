"""Pool the evaluations of one method over test folds into one result."""

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from medcl.errors import UsageError
from medcl.evaluate.results import CalibrationCurve, Confusion, Estimate, Fraction, Results, Score, Split
from medcl.evaluate.segment_results import Segmentation, speed_of
from medcl.stats.intervals import mean_interval

BINS = 10

T = TypeVar("T")
E = TypeVar("E", bound=Estimate)


def combine_folds(paths: Sequence[Path]) -> Results:
    """Pool the results of one method on the folds of a cross-validation.

    A mean is over all folds and repeats. Its interval is Student's t over the means of the folds: repeats within a fold
    share their test patients, so that counting each of them as a result of its own would make the interval far too
    narrow. What remains is that the folds share training patients, which a note says.

    Returns:
        The pooled results, to be saved, shown or compared like any other.

    Raises:
        UsageError: fewer than two files, or they are not folds of one evaluation.
    """
    folds = [Results.load(path) for path in paths]
    _check(folds, paths)
    first = folds[0]
    summaries = (row for fold in folds for row in fold.summary)
    differences = (row for fold in folds for row in fold.differences)
    return replace(
        first,
        run=", ".join(dict.fromkeys(fold.run for fold in folds)),
        splits={name: _pool_split(name, [fold.splits[name] for fold in folds]) for name in first.splits},
        notes=tuple(dict.fromkeys([_note(len(folds)), *(note for fold in folds for note in fold.notes)])),
        fractions=tuple(_pool_fraction([fold.fractions[i] for fold in folds]) for i in range(len(first.fractions))),
        procedure=replace(first.procedure, bootstrap=0, folds=len(folds)),
        scores=tuple(_numbered(folds)),
        summary=tuple(_estimates(summaries, lambda r: (r.protocol, r.init, r.label, r.metric))),
        differences=tuple(_estimates(differences, lambda r: (r.protocol, r.label, r.metric))),
        calibration=tuple(_curves(folds)),
        confusion=tuple(_confusions(folds)),
        segmentation=_segmentation(folds),
    )


def _check(folds: Sequence[Results], paths: Sequence[Path]) -> None:
    if len(folds) < 2:
        raise UsageError("pooling needs the results.json of at least two folds")
    ways: dict[str, Callable[[Results], object]] = {
        "target": lambda r: r.target,
        "method": lambda r: r.method,
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


def _note(n: int) -> str:
    return (
        f"Pooled from {n} folds: intervals are over the means of the folds. The folds overlap in training patients, "
        "so the intervals are somewhat too narrow."
    )


def _numbered(folds: Sequence[Results]) -> Iterable[Score]:
    for k, fold in enumerate(folds):
        start = k * fold.procedure.repeats
        yield from (replace(score, repeat=start + score.repeat) for score in fold.scores)


def _segmentation(folds: Sequence[Results]) -> Segmentation:
    """The networks of all folds; the repeats are numbered as those of the scores."""
    cells = tuple(
        replace(cell, repeat=k * fold.procedure.repeats + cell.repeat)
        for k, fold in enumerate(folds)
        for cell in fold.segmentation.cells
    )
    return Segmentation(cells, speed_of(cells))


def _grouped(items: Iterable[T], key: Callable[[T], Hashable]) -> Iterable[list[T]]:
    groups: dict[Hashable, list[T]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups.values()


def _estimates(every: Iterable[E], key: Callable[[E], Hashable]) -> Iterable[E]:
    """Means over the folds, of all repeats, without an interval over test patients."""
    for rows in _grouped(every, key):
        over, repeats = mean_interval([row.mean for row in rows]), sum(row.repeats for row in rows)
        pooled = replace(rows[0], mean=over.mean, low=over.low, high=over.high, repeats=repeats)
        yield replace(pooled, patients_low=math.nan, patients_high=math.nan)


def _pool_split(name: str, parts: Sequence[Split]) -> Split:
    """Test folds add up; training and validation parts overlap, so that only their mean says something."""
    merge = sum if name == "test" else _mean
    classes = dict.fromkeys(c for part in parts for c in part.per_class)
    marks = [part.fingerprint for part in parts]
    return Split(
        float(merge([part.patients for part in parts])),
        float(merge([part.records for part in parts])),
        {c: float(merge([part.per_class.get(c, 0.0) for part in parts])) for c in classes},
        "+".join(sorted(marks)) if all(marks) else "",
    )


def _pool_fraction(parts: Sequence[Fraction]) -> Fraction:
    classes = dict.fromkeys(c for part in parts for c in part.per_class)
    per_class = {c: _mean([part.per_class.get(c, 0.0) for part in parts]) for c in classes}
    raised = any(part.raised for part in parts)
    return Fraction(
        parts[0].label, _mean([p.patients for p in parts]), _mean([p.records for p in parts]), per_class, raised
    )


def _curves(folds: Sequence[Results]) -> Iterable[CalibrationCurve]:
    """Bins of all folds, put into equally wide bins of the prediction and averaged by their counts."""
    every = (curve for fold in folds for curve in fold.calibration)
    for parts in _grouped(every, lambda c: (c.protocol, c.init, c.label, c.class_name)):
        predicted = np.concatenate([part.predicted for part in parts])
        observed, count = np.concatenate([p.observed for p in parts]), np.concatenate([p.count for p in parts])
        low, high = (predicted.min(), predicted.max()) if folds[0].target.kind == "regression" else (0.0, 1.0)
        place = np.searchsorted(np.linspace(low, high, BINS + 1)[1:-1], predicted, side="right")
        total = np.bincount(place, count, minlength=BINS)
        used = total > 0
        means = [
            np.bincount(place, values * count, minlength=BINS)[used] / total[used] for values in (predicted, observed)
        ]
        yield replace(parts[0], predicted=_floats(means[0]), observed=_floats(means[1]), count=_floats(total[used]))


def _confusions(folds: Sequence[Results]) -> Iterable[Confusion]:
    every = (table for fold in folds for table in fold.confusion)
    for parts in _grouped(every, lambda c: (c.protocol, c.init, c.label, c.class_name)):
        total = np.sum([part.matrix for part in parts], axis=0)
        yield replace(parts[0], matrix=tuple(_floats(row) for row in total))


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _floats(values: Iterable[float]) -> tuple[float, ...]:
    return tuple(float(v) for v in values)
