"""The results of an experiment, as in `results.json`: every score, its summary and the procedure."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from medcl import files
from medcl.documents import build, plain, read_json, sealed
from medcl.errors import MedclError
from medcl.evaluate import results_tables as tables
from medcl.evaluate import retrieval_results_version_1 as retrieval
from medcl.evaluate.results_tables import ArmKind, TaskKind
from medcl.evaluate.results_version_1 import upgraded

VERSION = 2


@dataclass(frozen=True)
class ResultTarget:
    """What was predicted.

    Args:
        name: of the column.
        kind: of the task; `retrieval` with zero-shot classification, which use no labels.
        classes: names in order; of a segmentation the structures without the background.
        unit: of a regression, of the time of survival; empty where it is not known.
    """

    name: str
    kind: TaskKind
    classes: tuple[str, ...] = ()
    unit: str = ""


@dataclass(frozen=True)
class Split:
    """The size of a split; `records` and `per_class` count labelled records.

    Args:
        patients: number of patients.
        records: number of labelled records (of bags and time steps: of these).
        per_class: class -> number of records that carry it; empty where there are no classes.
        fingerprint: hash of the record ids and their labels, in the manifest's order: two results with one fingerprint
            were measured on the same records. Empty where it is not known.
    """

    patients: float
    records: float
    per_class: dict[str, float] = field(default_factory=dict)
    fingerprint: str = ""


@dataclass(frozen=True)
class Fraction:
    """The size of a label fraction: the median over the repeats, as some patients have more records than others.

    Args:
        label: as it was requested, for example `10%` or `50`.
        patients: number of training patients whose labels were used.
        records: number of their labelled records.
        per_class: class -> number of records that carry it; empty where there are no classes.
        raised: whether the minimum per class made it larger than requested.
    """

    label: str
    patients: float
    records: float
    per_class: dict[str, float] = field(default_factory=dict)
    raised: bool = False


@dataclass(frozen=True)
class ArmInfo:
    """One arm of the comparison.

    Args:
        name: unique; `Score.arm`.
        kind: a pretrained `run`, the same network from `random` weights, a simple `baseline`, or a `foreign` encoder.
        title: in words; empty: it follows from the kind.
        run: run folder, for `run`.
        method: how it was pretrained, for example `comet`.
        facts: more about it in numbers, such as the steps and seconds of a pretraining.
    """

    name: str
    kind: ArmKind
    title: str = ""
    run: str = ""
    method: str = ""
    facts: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Score:
    """The test metrics of one model: one protocol, arm, fraction, repeat and fold.

    Args:
        protocol: `probe`, `knn` or `finetune`.
        arm: name of the arm.
        label: label of the fraction.
        repeat: number of the drawn subset; the same number means the same patients for all arms.
        seed: seed of the subset and of the training.
        metrics: metric -> value, macro means over the classes; NaN where it is not defined.
        per_class: class -> {metric: value}.
        fold: number of the test fold, 0 where there is one.
    """

    protocol: str
    arm: str
    label: str
    repeat: int
    seed: int
    metrics: dict[str, float]
    per_class: dict[str, dict[str, float]] = field(default_factory=dict)
    fold: int = 0


@dataclass(frozen=True)
class Estimate:
    """A mean over repeats with two 95% intervals; their ends are NaN where there is no interval.

    Args:
        label: label of the fraction.
        metric: name of the metric.
        mean: mean over the repeats.
        low: lower end of the main interval, over test patients crossed with repeats.
        high: its upper end.
        repeats: number of repeats.
        repeats_low: lower end of the interval over repeats alone: other labelled subsets, the same test patients.
        repeats_high: its upper end.
    """

    label: str
    metric: str
    mean: float
    low: float
    high: float
    repeats: int
    repeats_low: float = math.nan
    repeats_high: float = math.nan

    @property
    def excludes_zero(self) -> bool:
        """Whether the main interval lies on one side of zero; False where there is none."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True, kw_only=True)
class MetricSummary(Estimate):
    """The mean of a metric for one protocol, arm and fraction; of one class where `class_name` says so."""

    protocol: str
    arm: str
    class_name: str = ""


@dataclass(frozen=True, kw_only=True)
class Difference(Estimate):
    """The paired difference arm - other of a metric, on the same subsets, seeds and test patients.

    Args:
        protocol: of both; where `other` is a baseline without this protocol, that of `arm`.
        arm: name of the first arm.
        other: name of the second.
        p: two-sided, consistent with the main interval; NaN where there is none.
        p_holm: adjusted by Holm's method over the pairs of arms of one protocol, fraction and metric.
    """

    protocol: str
    arm: str
    other: str
    p: float = math.nan
    p_holm: float = math.nan


@dataclass(frozen=True)
class Results:
    """Everything that one experiment measured.

    Args:
        target: what was predicted.
        arms: in the order in which they are shown; the first is the one of the headline.
        protocols: in the order in which they are shown.
        metric: the main metric, a key of `Score.metrics`.
        config: the full configuration.
        splits: `test`, and where there are such `train` and `val`.
        notes: limitations that a reader has to know: overlap of patients, raised fractions, classes that are missing.
        fractions: in ascending order.
        procedure: how the intervals were computed.
        scores: one a protocol, arm, fraction, repeat and fold.
        summary: of the scores.
        differences: of paired scores.
        calibration: curves of the test predictions.
        confusion: at the largest fraction.
        survival: curves of halves by predicted risk; of a survival task.
        learning: of segmentations with validation volumes.
        speed: how soon pretrained weights are as good as random ones in the end; of segmentations.
        queries: numbers of queries and candidates; of retrieval and zero-shot classification.
        grounding: images with a phrase of their report; of retrieval.
        items: what is counted as a record, in the plural: `records`, `volumes`, `patients`.
        software: package -> version.
        created: when, in ISO 8601; empty where it is not known.
        version: of this schema.
    """

    target: ResultTarget
    arms: tuple[ArmInfo, ...]
    protocols: tuple[str, ...]
    metric: str
    config: dict[str, Any]
    splits: dict[str, Split]
    notes: tuple[str, ...]
    fractions: tuple[Fraction, ...]
    procedure: tables.Procedure
    scores: tuple[Score, ...]
    summary: tuple[MetricSummary, ...]
    differences: tuple[Difference, ...]
    calibration: tuple[tables.CalibrationCurve, ...] = ()
    confusion: tuple[tables.Confusion, ...] = ()
    survival: tuple[tables.SurvivalCurve, ...] = ()
    learning: tuple[tables.LearningCurve, ...] = ()
    speed: tuple[tables.Speed, ...] = ()
    queries: tuple[tables.Queries, ...] = ()
    grounding: tuple[tables.Grounded, ...] = ()
    items: str = "records"
    software: dict[str, str] = field(default_factory=dict)
    created: str = ""
    version: int = VERSION

    def __post_init__(self) -> None:
        if "test" not in self.splits:
            raise MedclError("results need a test split: nothing was measured without one")

    @property
    def metrics(self) -> tuple[str, ...]:
        """Every metric that is summarised, the main one first."""
        return tuple(dict.fromkeys([self.metric, *(row.metric for row in self.summary)]))

    def arm(self, name: str) -> ArmInfo:
        """The arm of a name."""
        return next(one for one in self.arms if one.name == name)

    def find(self, protocol: str, arm: str, label: str, metric: str, class_name: str = "") -> MetricSummary | None:
        """The summary of one cell, None where it was not measured."""
        return self._cells.get((protocol, arm, label, metric, class_name))

    @cached_property
    def _cells(self) -> dict[tuple[str, str, str, str, str], MetricSummary]:
        return {(r.protocol, r.arm, r.label, r.metric, r.class_name): r for r in self.summary}

    def difference(self, protocol: str, arm: str, other: str, label: str, metric: str) -> Difference | None:
        """The paired difference of two arms, None where it was not measured."""
        return self._gaps.get((protocol, arm, other, label, metric))

    @cached_property
    def _gaps(self) -> dict[tuple[str, str, str, str, str], Difference]:
        return {(d.protocol, d.arm, d.other, d.label, d.metric): d for d in self.differences}

    def repeats(self, protocol: str, arm: str, label: str) -> Iterator[Score]:
        """The scores of one protocol, arm and fraction."""
        return (s for s in self.scores if (s.protocol, s.arm, s.label) == (protocol, arm, label))

    def save(self, path: Path) -> None:
        """Write the results as JSON, whole or not at all; NaN becomes null; private with phrases of reports."""
        text = json.dumps(sealed(plain(self)), indent=1, ensure_ascii=False, allow_nan=False)
        files.write(path, text + "\n", private=bool(self.grounding))

    @classmethod
    def load(cls, path: Path) -> "Results":
        """Read results that `save` wrote, of this version of the schema or an older one.

        Raises:
            MedclError: there is no such file, it holds something else, or a newer medcl wrote it.
        """
        try:
            content = read_json(path, "evaluate again, or pass the results.json of a finished evaluation")
        except FileNotFoundError as error:
            raise MedclError(f"{path}: not found; pass the results.json of a finished evaluation") from error
        version = content.get("version")
        if not isinstance(version, int):
            raise MedclError(
                f"{path}: states no version, so it is no results file of medcl, or one of `medcl reduce --evaluate` by "
                "version 0.1: evaluate again"
            )
        if version > VERSION:
            raise MedclError(
                f"{path}: written in version {version} of the format, this medcl reads up to {VERSION}; update medcl"
            )
        try:
            if version == 1:
                content = retrieval.upgraded(content) if retrieval.is_old(content) else upgraded(content)
            loaded: Results = build(cls, content, "results")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise MedclError(f"{path}: not a complete medcl results file ({error})") from error
        return loaded
