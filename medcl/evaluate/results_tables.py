"""Parts of results beside the scores: procedure, calibration, confusion, course of training, queries, grounding."""

from dataclasses import dataclass
from typing import Literal

ArmKind = Literal["run", "random", "baseline", "foreign"]
TaskKind = Literal[
    "binary", "multiclass", "multilabel", "ordinal", "regression", "survival", "risk", "segmentation", "retrieval"
]
SETTLED = 5
"""Number of last evaluations whose mean is the final validation score: a single one of two volumes is noisy."""


@dataclass(frozen=True)
class Procedure:
    """How the intervals were computed.

    Args:
        seed: first seed of the repeats and seed of the bootstrap.
        repeats: number of labelled subsets drawn for each fraction.
        bootstrap: number of resamples of the test patients.
        unit: what a fraction counts: `patient` or `record`.
        folds: number of test folds; 1 for a plain evaluation.
    """

    seed: int
    repeats: int
    bootstrap: int
    unit: str = "patient"
    folds: int = 1


@dataclass(frozen=True)
class CalibrationCurve:
    """Mean prediction, observed frequency (regression: mean true value) and number of records of each bin.

    `class_name` is empty for regression; `low` and `high` are 95% intervals of `observed` over patients, empty where
    there are none. Repeats are averaged, so that `count` is that of one test split.
    """

    protocol: str
    arm: str
    label: str
    class_name: str
    predicted: tuple[float, ...]
    observed: tuple[float, ...]
    count: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()


@dataclass(frozen=True)
class SurvivalCurve:
    """Kaplan-Meier curves of the test records of the lower and the higher predicted risk, divided at the median.

    They are those of repeat 1 and the first fold, of the largest fraction. `p` is that of the log-rank test of both
    halves, NaN where one of them is empty.
    """

    protocol: str
    arm: str
    label: str
    times: tuple[float, ...]
    lower: tuple[float, ...]
    higher: tuple[float, ...]
    records: tuple[int, int]
    p: float


@dataclass(frozen=True)
class Confusion:
    """Numbers of test records; rows are the truth, columns the prediction, both in the order of `classes`.

    A multi-label target has one 2 x 2 table a class, which `class_name` names, with the negative first; otherwise
    `class_name` is empty. The numbers are means over the repeats; `low` and `high` are their 95% intervals over
    patients: those of the shares of a row, times its number of records; empty where there are none.
    """

    protocol: str
    arm: str
    label: str
    classes: tuple[str, ...]
    matrix: tuple[tuple[float, ...], ...]
    class_name: str = ""
    low: tuple[tuple[float, ...], ...] = ()
    high: tuple[tuple[float, ...], ...] = ()


@dataclass(frozen=True)
class LearningCurve:
    """The validation score of one network while training.

    Args:
        arm: name of the arm.
        label: label of the fraction.
        repeat: number of the repeat.
        iterations: of the evaluations, ascending.
        values: of each: the mean Dice over structures and validation volumes.
        best: iteration whose weights were kept.
        fold: number of the test fold.
    """

    arm: str
    label: str
    repeat: int
    iterations: tuple[int, ...]
    values: tuple[float, ...]
    best: int
    fold: int = 0


@dataclass(frozen=True)
class Speed:
    """Number of iterations until the final validation score of training from scratch, the median over the pairs.

    Args:
        label: label of the fraction.
        arm: name of the pretrained arm.
        level: the mean validation score of the last evaluations from scratch, a mean over the repeats.
        pretrained: iterations until the score is first that high, from pretrained weights; NaN where it was not reached
            in half of the pairs.
        random: from random weights.
        ratio: of both, the median of the pairs.
        pairs: number of pairs.
        never: number of pairs in which pretrained weights did not reach it.
    """

    label: str
    arm: str
    level: float
    pretrained: float
    random: float
    ratio: float
    pairs: int
    never: int


@dataclass(frozen=True)
class Queries:
    """What one direction of retrieval, or a zero-shot classification, was measured on.

    Args:
        protocol: name of the direction or classification.
        records: number of queries that have a hit among the candidates; of a classification, of labelled records.
        patients: number of their patients.
        candidates: number of candidates; of a classification, of classes.
        without_hit: number of queries without a hit among the candidates, which are not counted.
    """

    protocol: str
    records: int
    patients: int
    candidates: int
    without_hit: int = 0


@dataclass(frozen=True)
class Grounded:
    """A grounding image: the similarity of its cells with a phrase.

    Args:
        arm: name of the arm.
        title: `best` or `worst`.
        phrase: of the de-identified report.
        record_id: of the image: a code, or public.
        rank: of the image among all, when its whole report is the query.
        similarity: of image and report.
        low: smallest similarity of a cell with the phrase.
        high: largest.
        file: of the overlay, in the folder of the results.
    """

    arm: str
    title: str
    phrase: str
    record_id: str
    rank: int
    similarity: float
    low: float
    high: float
    file: str
