"""From test predictions to results: scores, intervals over repeats and over patients, calibration, confusion."""

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from statistics import median

import numpy as np
from numpy.typing import NDArray

from medcl.archive.manifest import Manifest
from medcl.evaluate.config import EvaluateConfig
from medcl.evaluate.experiment import Prediction
from medcl.evaluate.fractions import Subset
from medcl.evaluate.results import CalibrationCurve, Confusion, Difference, Fraction, Init, Score, Split, Summary
from medcl.evaluate.task import Task
from medcl.stats.calibration import calibration, value_calibration
from medcl.stats.intervals import (
    mean_interval,
    paired_interval,
    patient_bootstrap,
    percentile_interval,
)
from medcl.stats.metrics import Scores, confusion, measure

Cell = tuple[str, Init, str]  # protocol, initialisation, fraction


def by_cell(predictions: Sequence[Prediction]) -> dict[Cell, list[Prediction]]:
    """Group predictions by protocol, initialisation and fraction, each in the order of its repeats."""
    cells: dict[Cell, list[Prediction]] = defaultdict(list)
    for prediction in sorted(predictions, key=lambda p: p.repeat):
        cells[prediction.protocol, prediction.init, prediction.label].append(prediction)
    return dict(cells)


def scores(task: Task, test: NDArray[np.int64], predictions: Sequence[Prediction]) -> tuple[list[Score], set[str]]:
    """Test metrics of every model, and the classes that the test records leave undefined."""
    found: list[Score] = []
    undefined: set[str] = set()
    for p in predictions:
        result: Scores = measure(task.target.kind, task.labels[test], p.probabilities, task.target.classes)
        undefined |= set(result.undefined)
        found.append(Score(p.protocol, p.init, p.label, p.repeat, p.seed, result.metrics, result.per_class))
    return found, undefined


def summarise(
    task: Task,
    manifest: Manifest,
    test: NDArray[np.int64],
    predictions: Sequence[Prediction],
    found: Sequence[Score],
    config: EvaluateConfig,
) -> tuple[list[Summary], list[Difference]]:
    """Means with both intervals, and the paired differences pretrained - random.

    Args:
        task: what was predicted.
        manifest: whose patients are resampled.
        test: rows of the test records.
        predictions: of every model.
        found: their scores.
        config: seed and number of resamples.

    Returns:
        One summary a cell and metric, one difference a protocol, fraction and metric.
    """
    cells = by_cell(predictions)
    patients = manifest.column("patient")[test]
    boot = {
        cell: patient_bootstrap(
            task.target.kind,
            task.labels[test],
            np.stack([p.probabilities for p in members]),
            patients,
            n_boot=config.bootstrap,
            seed=config.seed,
        )
        for cell, members in cells.items()
    }
    values: dict[tuple[Cell, str], list[float]] = defaultdict(list)
    for score in sorted(found, key=lambda s: s.repeat):
        for metric, value in score.metrics.items():
            values[(score.protocol, score.init, score.label), metric].append(value)
    summaries, differences = [], []
    for (cell, metric), repeats in values.items():
        protocol, init, label = cell
        over_repeats, over_patients = mean_interval(repeats), percentile_interval(boot[cell][metric])
        bounds = (
            over_repeats.mean,
            over_repeats.low,
            over_repeats.high,
            over_repeats.n,
            over_patients.low,
            over_patients.high,
        )
        summaries.append(Summary(label, metric, *bounds, protocol=protocol, init=init))
        if init == "pretrained":
            other: Cell = (protocol, "random", label)
            gain = paired_interval(repeats, values[other, metric])
            over_patients = percentile_interval(boot[cell][metric] - boot[other][metric])
            bounds = (gain.mean, gain.low, gain.high, gain.n, over_patients.low, over_patients.high)
            differences.append(Difference(label, metric, *bounds, protocol=protocol))
    return summaries, differences


def curves(task: Task, test: NDArray[np.int64], predictions: Sequence[Prediction]) -> Iterator[CalibrationCurve]:
    """Calibration curves, the predictions of all repeats taken together."""
    truth = task.columns(test)
    names = ("",) if task.target.kind == "regression" else task.target.classes[-truth.shape[1] :]
    for (protocol, init, label), members in by_cell(predictions).items():
        for column, name in enumerate(names):
            predicted = np.concatenate([p.probabilities[:, column] for p in members])
            observed = np.tile(truth[:, column], len(members))
            if task.target.kind == "regression":
                curve = value_calibration(observed, predicted)
            else:
                curve = calibration(observed, np.clip(predicted, 0, 1))
            lists = (tuple(float(v) for v in part) for part in (curve.predicted, curve.observed, curve.count))
            yield CalibrationCurve(protocol, init, label, name, *lists)


def confusions(
    task: Task, test: NDArray[np.int64], predictions: Sequence[Prediction], label: str
) -> Iterator[Confusion]:
    """Confusion counts at one fraction, the mean over the repeats."""
    if task.target.kind == "regression":
        return
    for (protocol, init, cell_label), members in by_cell(predictions).items():
        if cell_label != label:
            continue
        tables = np.mean([confusion(task.target.kind, task.labels[test], p.probabilities) for p in members], axis=0)
        if task.target.kind == "multilabel":
            for name, table in zip(task.target.classes, tables, strict=True):
                rows = tuple(tuple(float(v) for v in row) for row in table)
                yield Confusion(protocol, init, label, (f"no {name}", name), rows, class_name=name)
        else:
            yield Confusion(
                protocol, init, label, task.target.classes, tuple(tuple(float(v) for v in row) for row in tables)
            )


def fractions(drawn: Sequence[Sequence[Subset]]) -> list[Fraction]:
    """What each label fraction holds, the median over repeats, in ascending order."""
    columns = zip(*drawn, strict=True)
    return [
        Fraction(
            column[0].label,
            median(s.n_patients for s in column),
            median(s.n_records for s in column),
            {name: median(s.per_class[name] for s in column) for name in column[0].per_class},
            any(s.raised for s in column),
        )
        for column in columns
    ]


def split_of(task: Task, manifest: Manifest, rows: NDArray[np.int64]) -> Split:
    """How many patients and labelled records, and how many of each class, are in these rows."""
    per_class: dict[str, float] = {}
    if task.target.kind != "regression":
        columns = task.columns(rows)
        columns = np.concatenate([1 - columns, columns], axis=1) if task.target.kind == "binary" else columns
        per_class = {name: float(count) for name, count in zip(task.target.classes, columns.sum(axis=0), strict=True)}
    ids = manifest.column("record_id")[rows]
    digest = hashlib.blake2b("\n".join(map(str, ids)).encode() + task.columns(rows).tobytes(), digest_size=8)
    return Split(len(np.unique(manifest.column("patient")[rows])), len(rows), per_class, digest.hexdigest())
