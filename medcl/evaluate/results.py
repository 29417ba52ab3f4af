"""The results of an evaluation, as in `results.json`: every score, its summary and the procedure."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from medcl import files
from medcl.archive.manifest import Target
from medcl.documents import build, plain, read_json, sealed
from medcl.errors import MedclError
from medcl.evaluate.config import Init as Init
from medcl.evaluate.segment_results import Segmentation

VERSION = 1


@dataclass(frozen=True)
class Split:
    """The size of a split; `records` and `per_class` count labelled records.

    Args:
        patients: number of patients.
        records: number of labelled records.
        per_class: class -> number of records that carry it; empty for regression.
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
        label: the fraction as it was requested, for example `10%` or `50`.
        patients: number of training patients whose labels were used.
        records: number of their labelled records.
        per_class: class -> number of records that carry it; empty for regression.
        raised: whether the minimum per class made it larger than requested.
    """

    label: str
    patients: float
    records: float
    per_class: dict[str, float] = field(default_factory=dict)
    raised: bool = False


@dataclass(frozen=True)
class Score:
    """The test metrics of one model: one protocol, initialisation, fraction and repeat.

    Args:
        protocol: `probe`, `knn` or `finetune`.
        init: whether the encoder started from the pretrained or from random weights.
        label: label of the fraction.
        repeat: number of the drawn subset; the same number means the same patients for both initialisations.
        seed: seed of the subset and of the training.
        metrics: metric -> value, macro means over the classes; NaN where it is not defined.
        per_class: class -> {metric: value}.
    """

    protocol: str
    init: Init
    label: str
    repeat: int
    seed: int
    metrics: dict[str, float]
    per_class: dict[str, dict[str, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Estimate:
    """A mean over repeats with two 95% intervals; their ends are NaN where there is no interval.

    Args:
        label: label of the fraction.
        metric: name of the metric.
        mean: mean over the repeats.
        low: lower end of the t interval over repeats: other labelled subsets, the same test patients.
        high: its upper end.
        repeats: number of repeats.
        patients_low: lower end of the bootstrap interval over test patients: other test patients, the same subsets.
        patients_high: its upper end.
    """

    label: str
    metric: str
    mean: float
    low: float
    high: float
    repeats: int
    patients_low: float = math.nan
    patients_high: float = math.nan

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval over repeats lies on one side of zero; False where there is none."""
        return self.low > 0 or self.high < 0

    @property
    def patients_exclude_zero(self) -> bool:
        """Whether the interval over test patients lies on one side of zero; False where there is none."""
        return self.patients_low > 0 or self.patients_high < 0


@dataclass(frozen=True, kw_only=True)
class MetricSummary(Estimate):
    """The mean of a metric for one protocol, initialisation and fraction."""

    protocol: str
    init: Init


@dataclass(frozen=True, kw_only=True)
class Difference(Estimate):
    """The paired difference pretrained - random of a metric, on the same subsets and seeds."""

    protocol: str


@dataclass(frozen=True)
class CalibrationCurve:
    """Mean prediction, observed frequency (regression: mean true value) and number of records of each bin.

    `class_name` is empty for regression.
    """

    protocol: str
    init: Init
    label: str
    class_name: str
    predicted: tuple[float, ...]
    observed: tuple[float, ...]
    count: tuple[float, ...]


@dataclass(frozen=True)
class Confusion:
    """Numbers of test records; rows are the truth, columns the prediction, both in the order of `classes`.

    A multi-label target has one 2 x 2 table a class, which `class_name` names, with the negative first; otherwise
    `class_name` is empty. The numbers are means over the repeats.
    """

    protocol: str
    init: Init
    label: str
    classes: tuple[str, ...]
    matrix: tuple[tuple[float, ...], ...]
    class_name: str = ""


@dataclass(frozen=True)
class Procedure:
    """How the intervals were computed.

    Args:
        seed: first seed of the repeats and seed of the bootstrap.
        repeats: number of labelled subsets drawn for each fraction.
        bootstrap: number of resamples of the test patients.
        unit: what a fraction counts: `patient` or `record`.
        folds: number of pooled test folds; 1 for a plain evaluation.
    """

    seed: int
    repeats: int
    bootstrap: int
    unit: Literal["patient", "record"] = "patient"
    folds: int = 1


def made_with() -> dict[str, Any]:
    """What results say of how they came about: the versions of what computed them, and when."""
    from medcl.runs import environment

    software = {name: str(value) for name, value in environment().items() if name != "run_version"}
    return {"software": software, "created": datetime.now(UTC).isoformat(timespec="seconds")}


@dataclass(frozen=True)
class Results:
    """Everything that one `medcl finetune` measured.

    Args:
        run: the run folder whose encoder was evaluated.
        method: how it was pretrained, for example `comet`.
        target: what was predicted.
        protocols: in the order in which they are shown.
        metric: the main metric, a key of `Score.metrics`.
        config: the full configuration.
        splits: `test`, and where there are such `train` and `val`.
        notes: limitations that a reader has to know: overlap of patients, raised fractions, classes that are missing.
        fractions: in ascending order.
        procedure: how the intervals were computed.
        scores: one a protocol, initialisation, fraction and repeat.
        summary: of the scores.
        differences: of the paired scores.
        calibration: curves of the test predictions.
        confusion: at the largest fraction.
        segmentation: where structures were segmented: then the target is multiclass, each voxel one of its classes, and
            a record a volume.
        software: package -> version.
        created: when, in ISO 8601; empty where it is not known.
        version: of this schema.
    """

    run: str
    method: str
    target: Target
    protocols: tuple[str, ...]
    metric: str
    config: dict[str, Any]
    splits: dict[str, Split]
    notes: tuple[str, ...]
    fractions: tuple[Fraction, ...]
    procedure: Procedure
    scores: tuple[Score, ...]
    summary: tuple[MetricSummary, ...]
    differences: tuple[Difference, ...]
    calibration: tuple[CalibrationCurve, ...] = ()
    confusion: tuple[Confusion, ...] = ()
    segmentation: Segmentation = field(default_factory=Segmentation)
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

    def find(self, protocol: str, init: str, label: str, metric: str) -> MetricSummary | None:
        """The summary of one cell, None where it was not measured."""
        wanted = (protocol, init, label, metric)
        return next((row for row in self.summary if (row.protocol, row.init, row.label, row.metric) == wanted), None)

    def difference(self, protocol: str, label: str, metric: str) -> Difference | None:
        """The paired difference of one cell, None where it was not measured."""
        wanted = (protocol, label, metric)
        return next((row for row in self.differences if (row.protocol, row.label, row.metric) == wanted), None)

    def repeats(self, protocol: str, init: str, label: str) -> Iterator[Score]:
        """The scores of one protocol, initialisation and fraction."""
        return (s for s in self.scores if (s.protocol, s.init, s.label) == (protocol, init, label))

    def save(self, path: Path) -> None:
        """Write the results as JSON, whole or not at all; NaN becomes null."""
        text = json.dumps(sealed(plain(self)), indent=1, ensure_ascii=False, allow_nan=False)
        files.write(path, text + "\n")

    @classmethod
    def load(cls, path: Path) -> "Results":
        """Read results that `save` wrote.

        Raises:
            MedclError: there is no such file, it holds something else, or a newer medcl wrote it.
        """
        try:
            content = read_json(path, "evaluate again, or pass the results.json of a finished evaluation")
        except FileNotFoundError as error:
            raise MedclError(f"{path}: not found; pass the results.json of a finished evaluation") from error
        version = content.get("version")
        if not isinstance(version, int):
            raise MedclError(f"{path}: not a medcl results file (it states no version)")
        if version > VERSION:
            raise MedclError(
                f"{path}: written in version {version} of the format, this medcl reads up to {VERSION}; update medcl"
            )
        try:
            loaded: Results = build(cls, content, "results")
        except ValueError as error:
            raise MedclError(f"{path}: not a complete medcl results file ({error})") from error
        return loaded
