"""From test predictions to results: scores, intervals over repeats and over patients, calibration, confusion."""

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from statistics import median

import numpy as np
from numpy.typing import NDArray

from medcl.archive.manifest import Manifest
from medcl.evaluate.config import EvaluateConfig
from medcl.evaluate.experiment import Prediction
from medcl.evaluate.fractions import Subset
from medcl.evaluate.results import CalibrationCurve, Confusion, Difference, Fraction, Init, MetricSummary, Score, Split
from medcl.evaluate.segment_results import SegmentCell
from medcl.evaluate.task import Task
from medcl.stats.intervals import (
    Interval,
    calibration,
    mean_interval,
    paired_interval,
    patient_bootstrap,
    patient_weights,
    percentile_interval,
    value_calibration,
)
from medcl.stats.metrics import Scores, confusion, measure

SEGMENT_PROTOCOL = "finetune"
SEGMENT_METRICS = ("dice", "hd95")
Floats = NDArray[np.float64]
CellKey = tuple[str, Init, str]  # protocol, initialisation, fraction


def by_cell(predictions: Sequence[Prediction]) -> dict[CellKey, list[Prediction]]:
    """Group predictions by protocol, initialisation and fraction, each in the order of its repeats."""
    cells: dict[CellKey, list[Prediction]] = defaultdict(list)
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
) -> tuple[list[MetricSummary], list[Difference]]:
    """Means with both intervals, and the paired differences pretrained - random.

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
    values: dict[tuple[CellKey, str], list[float]] = defaultdict(list)
    for score in sorted(found, key=lambda s: s.repeat):
        for metric, value in score.metrics.items():
            values[(score.protocol, score.init, score.label), metric].append(value)
    return _estimates(values, boot)


def _estimates(
    values: Mapping[tuple[CellKey, str], Sequence[float]], boot: Mapping[CellKey, Mapping[str, Floats]]
) -> tuple[list[MetricSummary], list[Difference]]:
    """Of {(cell, metric): a value a repeat} and {cell: {metric: (resamples,)}}."""
    summaries, differences = [], []
    for (cell, metric), repeats in values.items():
        protocol, init, label = cell
        over_repeats, over_patients = mean_interval(repeats), percentile_interval(boot[cell][metric])
        bounds = _bounds(over_repeats, over_patients)
        summaries.append(MetricSummary(label, metric, *bounds, protocol=protocol, init=init))
        if init == "pretrained":
            other: CellKey = (protocol, "random", label)
            gain = paired_interval(repeats, values[other, metric])
            over_patients = percentile_interval(boot[cell][metric] - boot[other][metric])
            differences.append(Difference(label, metric, *_bounds(gain, over_patients), protocol=protocol))
    return summaries, differences


def _bounds(repeats: Interval, patients: Interval) -> tuple[float, float, float, int, float, float]:
    """The numbers of an `Estimate`: mean and interval over repeats, and the interval over test patients."""
    return repeats.mean, repeats.low, repeats.high, repeats.n, patients.low, patients.high


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
        several = task.target.kind == "multilabel"
        for name, table in zip(task.target.classes if several else ("",), tables if several else [tables], strict=True):
            rows = tuple(tuple(float(v) for v in row) for row in table)
            yield Confusion(protocol, init, label, (f"no {name}", name) if several else task.target.classes, rows, name)


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


def segment_scores(cells: Sequence[SegmentCell]) -> Iterator[Score]:
    """The means of every network: over test volumes of each structure, and over these."""
    for cell in cells:
        values = {metric: _structures(cell, metric) for metric in SEGMENT_METRICS}
        per_class = {
            name: {metric: _mean(values[metric][k]) for metric in SEGMENT_METRICS} for k, name in enumerate(cell.dice)
        }
        means = {metric: _mean(values[metric]) for metric in SEGMENT_METRICS}
        yield Score(SEGMENT_PROTOCOL, cell.init, cell.label, cell.repeat, cell.seed, means, per_class)


def summarise_segmentation(
    cells: Sequence[SegmentCell], patients: NDArray[np.int64], n_boot: int, seed: int
) -> tuple[list[MetricSummary], list[Difference]]:
    """Means with both intervals, and the paired differences pretrained - random, of test volumes of patients (V,)."""
    values: dict[tuple[CellKey, str], list[float]] = {}
    boot: dict[CellKey, dict[str, Floats]] = defaultdict(dict)
    inits: tuple[Init, ...] = ("pretrained", "random")
    for label, metric, init in product(dict.fromkeys(cell.label for cell in cells), SEGMENT_METRICS, inits):
        mine = sorted((c for c in cells if (c.init, c.label) == (init, label)), key=lambda c: c.repeat)
        arrays, key = [_structures(cell, metric) for cell in mine], (SEGMENT_PROTOCOL, init, label)
        values[key, metric] = [_mean(one) for one in arrays]
        boot[key][metric] = np.mean([_resampled(one, patients, n_boot, seed) for one in arrays], axis=0)
    return _estimates(values, boot)


def missing_structures(cells: Sequence[SegmentCell]) -> list[str]:
    """A sentence an initialisation on structures that one of the maps lacks, to which there is no distance."""
    notes = []
    for init, name in (("pretrained", "pretrained weights"), ("random", "random weights")):
        values = np.concatenate([_structures(cell, "hd95").ravel() for cell in cells if cell.init == init])
        absent = int(np.isnan(values).sum())
        if absent:
            notes.append(
                f"From {name}, {absent} of {len(values)} predicted structures are in one of prediction and truth only: "
                "their Dice is 0, and they are left out of the mean Hausdorff distance."
            )
    return notes


def _structures(cell: SegmentCell, metric: str) -> Floats:
    """A metric of one network, (structures, volumes)."""
    return np.array(list(getattr(cell, metric).values()), dtype=np.float64)


def _mean(values: Floats) -> float:
    """The mean of what is defined; NaN where nothing is."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else float("nan")


def _resampled(values: Floats, patients: NDArray[np.int64], n_boot: int, seed: int) -> Floats:
    """Mean over structures and volumes in every resample of the patients, (n_boot,)."""
    defined = ~np.isnan(values)
    sums, counts = np.where(defined, values, 0.0).sum(axis=0), defined.sum(axis=0)
    parts = []
    for weights in patient_weights(patients, n_boot=n_boot, seed=seed):
        total, count = sums @ weights, counts @ weights
        parts.append(np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0))
    return np.concatenate(parts) if parts else np.empty(0)
