"""A target as it is predicted: its labels, loss and probabilities; what predictions come to, with their intervals."""

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from medcl.archive.manifest import Manifest, Target
from medcl.errors import MedclError
from medcl.evaluate.config import EvaluateConfig
from medcl.evaluate.fractions import Subset
from medcl.evaluate.results import CalibrationCurve, Confusion, Difference, Fraction, Init, MetricSummary, Score, Split
from medcl.stats.calibration import calibration, value_calibration
from medcl.stats.intervals import Interval, mean_interval, paired_interval, patient_bootstrap, percentile_interval
from medcl.stats.metrics import Scores, confusion, measure

SELECTION = {"binary": "auroc", "multiclass": "auroc", "multilabel": "auroc", "regression": "r2"}


@dataclass(frozen=True)
class Task:
    """A target and its labels.

    Args:
        target: name, kind and classes.
        labels: of every record of the manifest: (records, classes) for multilabel, else (records,).
    """

    target: Target
    labels: NDArray[np.generic]

    @classmethod
    def of(cls, manifest: Manifest, name: str) -> "Task":
        """The task of a manifest's target.

        Raises:
            UsageError: there is no such target.
        """
        labels = manifest.labels(name)
        return cls(manifest.targets[name], labels)

    @property
    def metric(self) -> str:
        """The metric by which models are chosen on the validation patients, and the first of the page."""
        return SELECTION[self.target.kind]

    @cached_property
    def labelled(self) -> NDArray[np.bool_]:
        """(records,) whether a record has a label."""
        if self.target.kind in ("binary", "multiclass"):
            return np.asarray(self.labels.astype(np.int64) >= 0)
        values = self.labels.reshape(len(self.labels), -1).astype(np.float64)
        return np.asarray(~np.isnan(values).any(axis=1))

    @property
    def n_outputs(self) -> int:
        """Number of logits of a classifier; one for a binary target and for a regression."""
        return len(self.target.classes) if self.target.kind in ("multiclass", "multilabel") else 1

    def columns(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """The labels as (rows, outputs): indicators of the classes, or the value."""
        labels = self.labels[rows]
        if self.target.kind == "multiclass":
            return np.eye(self.n_outputs)[labels.astype(np.int64)]
        return labels.reshape(len(rows), -1).astype(np.float64)

    def score(self, rows: NDArray[np.int64], prediction: NDArray[np.float64]) -> float:
        """The selection metric of predictions (rows, outputs) for these rows; higher is better.

        Raises:
            MedclError: where the metric is undefined for these rows, since then no model could be chosen.
        """
        value = measure(self.target.kind, self.labels[rows], prediction, self.target.classes).metrics[self.metric]
        if not np.isfinite(value):
            raise MedclError(
                f"target {self.target.name!r}: {self.metric} is undefined on {len(rows)} records "
                "(no class has both positive and negative ones); "
                "split again with `medcl split --stratify`"
            )
        return value

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Loss of logits (B, outputs) against `columns` (B, outputs)."""
        if self.target.kind == "regression":
            return F.mse_loss(logits, labels)
        if self.target.kind == "multiclass":
            return F.cross_entropy(logits, labels)
        return F.binary_cross_entropy_with_logits(logits, labels)

    def predict(self, logits: Tensor) -> Tensor:
        """Probabilities (or values) of logits, (B, outputs)."""
        if self.target.kind == "regression":
            return logits
        return torch.softmax(logits, dim=1) if self.target.kind == "multiclass" else torch.sigmoid(logits)


@dataclass(frozen=True)
class Prediction:
    """The test predictions (test records, outputs) of one model, of the fraction `label`."""

    protocol: str
    init: Init
    label: str
    repeat: int
    seed: int
    probabilities: NDArray[np.float64]


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
    return estimates(values, boot)


def estimates(
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
