"""Metrics of predicted probabilities and values, each weighted by record, so that a bootstrap is one more axis.

Weights have the shape (records, resamples): a column of ones gives the plain metric, a column of counts gives the
metric of a resample in which a record occurs that often. Every ranking metric sorts a class once for all resamples.

A metric is a function of `Predictions` and weights, a line in `BY_CLASS`, `OVERALL`, `OF_GRADES` or `OF_VALUES` below,
and its `BOUNDS`: from there evaluations, intervals, tables and pages take it.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medcl.errors import MedclError
from medcl.stats import class_metrics, value_metrics
from medcl.stats.ranking import Bools, Floats, Ints, Ranks, mean_defined

Kind: TypeAlias = Literal["binary", "multiclass", "multilabel", "ordinal", "regression"]
THRESHOLD = 0.5
"""Probability from which a class of a binary or multilabel target is predicted."""


@dataclass(frozen=True)
class Scores:
    """The metrics of a set of predictions.

    Args:
        metrics: those of `BY_CLASS` (each the macro mean over the defined classes) and `OVERALL`; those of `OF_GRADES`
            for an ordinal target, of `OF_VALUES` for regression.
        per_class: class -> {metric of `BY_CLASS`}; NaN where the class has no positive (for AUROC and sensitivity: or
            no negative) record. Empty for an ordinal target and for regression.
        undefined: the classes left out of at least one macro mean for that reason. A page of results has to name them.
    """

    metrics: dict[str, float]
    per_class: dict[str, dict[str, float]]
    undefined: tuple[str, ...]


@dataclass(frozen=True)
class Predictions:
    """Truth and prediction, a column a class; one column for a binary target and for a regression.

    Args:
        kind: what the target is.
        truth: (records, columns) of True and False, of a regression the values.
        prediction: (records, columns) probabilities or values.
        decision: (records, columns), True where the class is predicted; of a regression empty.
    """

    kind: Kind
    truth: NDArray[np.generic]
    prediction: Floats
    decision: Bools

    @classmethod
    def of(cls, kind: Kind, truth: ArrayLike, prediction: ArrayLike) -> "Predictions":
        """Check and arrange truth and prediction.

        Args:
            kind: what the target is.
            truth: (records, classes) of 0/1 for multilabel, (records,) class numbers for binary and multiclass,
                (records,) grades from 0 for ordinal, (records,) values for regression.
            prediction: probabilities (records, classes) for multilabel, multiclass and ordinal; for binary the
                probability of class 1, (records,) or the last column of (records, 2); values (records,) for regression.

        Raises:
            MedclError: shapes do not match, a record is unlabelled, or a prediction is not finite.
        """
        labels, probability = _checked(kind, truth, prediction)
        if kind == "regression":
            values = labels.reshape(len(labels), -1)
            return cls(kind, values, probability.reshape(values.shape), np.zeros((len(labels), 0), dtype=bool))
        if kind == "binary":
            column = probability.reshape(len(probability), -1)[:, -1:]
            return cls(kind, labels[:, None] == 1, column, column >= THRESHOLD)
        if probability.ndim != 2:
            raise MedclError(f"{kind} probabilities have the shape {probability.shape}, expected (records, classes)")
        numbers = np.arange(probability.shape[1])
        if kind in ("multiclass", "ordinal"):
            if labels.size and labels.max() >= len(numbers):
                raise MedclError(f"class number {labels.max():g} has no column among {len(numbers)} probabilities")
            return cls(kind, labels[:, None] == numbers, probability, probability.argmax(1)[:, None] == numbers)
        if labels.shape != probability.shape:
            raise MedclError(f"truth has the shape {labels.shape}, probabilities {probability.shape}")
        return cls(kind, labels == 1, probability, probability >= THRESHOLD)

    @property
    def n_items(self) -> int:
        """Number of records."""
        return len(self.truth)

    @cached_property
    def ranks(self) -> tuple[Ranks, ...]:
        """The order of the records in each column."""
        return tuple(Ranks.of(t, p) for t, p in zip(self.truth.T.astype(bool), self.prediction.T, strict=True))

    def counts(self, weights: Floats) -> tuple[Floats, Floats, Floats]:
        """True positives, positives and predicted positives of each class, of a binary target of both, as rows."""
        truth, decision = self.truth.astype(bool), self.decision
        if self.kind == "binary":
            truth, decision = (np.concatenate([~side, side], axis=1) for side in (truth, decision))
        first, second, third = (side.T.astype(np.float64) @ weights for side in (truth & decision, truth, decision))
        return first, second, third

    def metrics(self, weights: Floats) -> tuple[dict[str, Floats], dict[str, Floats]]:
        """Every metric of the kind under every column of weights (records, resamples), which are not negative.

        Returns:
            Macro means {metric: (resamples,)} and values by class {metric: (classes, resamples)}; a binary target has
            one class here, the positive one.
        """
        if self.kind in ("ordinal", "regression"):
            chosen = OF_GRADES if self.kind == "ordinal" else OF_VALUES
            return {name: metric(self, weights)[0] for name, metric in chosen.items()}, {}
        by_class = {name: metric(self, weights) for name, metric in BY_CLASS.items()}
        macro = {name: mean_defined(rows) for name, rows in by_class.items()}
        macro |= {name: metric(self, weights)[0] for name, metric in OVERALL.items()}
        columns = self.truth.shape[1]
        return macro, {name: rows[-columns:] for name, rows in by_class.items()}


Metric: TypeAlias = Callable[[Predictions, Floats], Floats]
"""(truth and prediction, weights (records, resamples)) -> (rows, resamples), NaN where it is undefined."""


BY_CLASS: dict[str, Metric] = {
    "auroc": class_metrics.auroc,
    "auprc": class_metrics.auprc,
    "f1": class_metrics.f1,
    "sensitivity_at_90_specificity": class_metrics.sensitivity_at_specificity,
}
"""Metrics of each class (rows), of which the macro mean over the defined classes is taken."""
OVERALL: dict[str, Metric] = {
    "accuracy": class_metrics.accuracy,
    "balanced_accuracy": class_metrics.balanced_accuracy,
    "brier": class_metrics.brier,
    "ece": class_metrics.ece,
}
"""Metrics of all classes together, one row."""
OF_GRADES: dict[str, Metric] = {
    "kappa": class_metrics.kappa,
    "mae": class_metrics.grade_error,
    "accuracy": class_metrics.accuracy,
}
"""Metrics of an ordinal target, one row."""
OF_VALUES: dict[str, Metric] = {
    "r2": value_metrics.r2,
    "mae": value_metrics.mae,
    "rmse": value_metrics.rmse,
    "spearman": value_metrics.spearman,
}
"""Metrics of a regression, one row."""

_SHARE, _CORRELATION, _SIZE = (0.0, 1.0), (-1.0, 1.0), (0.0, math.inf)
BOUNDS: dict[str, tuple[float, float]] = {
    "auroc": _SHARE,
    "auprc": _SHARE,
    "f1": _SHARE,
    "sensitivity_at_90_specificity": _SHARE,
    "accuracy": _SHARE,
    "balanced_accuracy": _SHARE,
    "brier": (0.0, 2.0),
    "ece": _SHARE,
    "kappa": _CORRELATION,
    "r2": (-math.inf, 1.0),
    "mae": _SIZE,
    "rmse": _SIZE,
    "spearman": _CORRELATION,
    "harrell_c": _SHARE,
    "uno_c": _SHARE,
    "ibs": _SHARE,
    "dice": _SHARE,
    "hd95": _SIZE,
    "recall": _SHARE,
    "precision": _SHARE,
    "mAP": _SHARE,
    "ndcg": _SHARE,
    "median_rank": (1.0, math.inf),
    "centroid_distance": (0.0, 2.0),
    "variance_between": _SHARE,
    "alignment": (0.0, 4.0),
    "alignment_all": (0.0, 4.0),
    "uniformity": (-8.0, 0.0),
    "uniformity_first": (-8.0, 0.0),
    "uniformity_second": (-8.0, 0.0),
    "separability": _SHARE,
    "pointing": _SHARE,
    "cnr": (-math.inf, math.inf),
    "pixel_auroc": _SHARE,
    "miou": _SHARE,
    "iou_both": _SHARE,
    "perplexity": (1.0, math.inf),
    "perplexity_elsewhere": (1.0, math.inf),
}
"""The lowest and the highest value that a metric can take; a metric that is not here is not bounded."""
LOWER_IS_BETTER = frozenset({"brier", "ece", "mae", "rmse", "ibs", "hd95", "median_rank", "perplexity"})
"""The metrics that are errors or ranks; of all others the higher value is the better one."""


def bounds_of(metric: str) -> tuple[float, float]:
    """The bounds of a metric, of `recall@5` those of `recall`."""
    return BOUNDS.get(metric.partition("@")[0], (-math.inf, math.inf))


def measure(kind: Kind, truth: ArrayLike, prediction: ArrayLike, classes: Sequence[str] = ()) -> Scores:
    """The metrics of a set of predictions, with scikit-learn's definitions.

    AUROC, AUPRC (average precision) and sensitivity are one-versus-rest and macro-averaged; a binary target has one of
    each, of its second class. F1 is macro-averaged (binary: over both classes). Multilabel accuracy is the share of
    records with every class right. Different from scikit-learn: a class without a positive record counts neither as 0
    nor as 1 but is left out of the mean and listed in `undefined`.

    Args:
        kind: what the target is.
        truth: as in `Predictions.of`.
        prediction: as in `Predictions.of`.
        classes: names of the classes, in the order of the columns; not needed for ordinal and regression.

    Raises:
        MedclError: as in `Predictions.of`.

    Example:
        >>> from medcl.stats.metrics import measure
        >>> found = measure("binary", [0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8], ["healthy", "ill"])
        >>> round(found.metrics["auroc"], 2), round(found.metrics["auprc"], 2)
        (0.75, 0.83)
    """
    macro, per_class = Predictions.of(kind, truth, prediction).metrics(np.ones((len(np.asarray(truth)), 1)))
    metrics = {metric: float(found[0]) for metric, found in macro.items()}
    if not per_class:
        return Scores(metrics, {}, ())
    names = tuple(classes[-1:] if kind == "binary" else classes)
    if len(names) != len(per_class["auroc"]):
        raise MedclError(f"{len(names)} class names for {len(per_class['auroc'])} columns of probabilities")
    table = {name: {m: float(found[k, 0]) for m, found in per_class.items()} for k, name in enumerate(names)}
    return Scores(metrics, table, tuple(name for name, row in table.items() if np.isnan(list(row.values())).any()))


def confusion(kind: Kind, truth: ArrayLike, prediction: ArrayLike) -> Ints:
    """Confusion counts (classes, classes), for multilabel (classes, 2, 2) with the negative first.

    Rows are the truth, columns the prediction.

    Raises:
        MedclError: as in `Predictions.of`, or the target is a regression.

    Example:
        >>> from medcl.stats.metrics import confusion
        >>> confusion("binary", [0, 0, 1, 1], [0.1, 0.6, 0.4, 0.8]).tolist()
        [[1, 1], [1, 1]]
    """
    from sklearn.metrics import confusion_matrix, multilabel_confusion_matrix

    if kind == "regression":
        raise MedclError("a regression target has no confusion matrix")
    predictions = Predictions.of(kind, truth, prediction)
    if kind == "multilabel":
        return np.asarray(multilabel_confusion_matrix(predictions.truth, predictions.decision), dtype=np.int64)
    if kind == "binary":
        sides, classes = (predictions.truth[:, 0], predictions.decision[:, 0]), 2
    else:
        sides, classes = (predictions.truth.argmax(1), predictions.decision.argmax(1)), predictions.truth.shape[1]
    return np.asarray(confusion_matrix(*sides, labels=np.arange(classes)), dtype=np.int64)


def _checked(kind: Kind, truth: ArrayLike, prediction: ArrayLike) -> tuple[Floats, Floats]:
    labels, predicted = np.asarray(truth), np.asarray(prediction, dtype=np.float64)
    if len(labels) != len(predicted) or len(labels) == 0:
        raise MedclError(f"{len(labels)} labels and {len(predicted)} predictions: both have to cover the same records")
    # -1 is the manifest's code for an unlabelled record, where the label is a class number.
    unlabelled = labels < 0 if kind in ("binary", "multiclass", "ordinal") else np.isnan(labels)
    if unlabelled.any():
        raise MedclError("unlabelled records were passed to the metrics: leave them out before predicting")
    if not np.isfinite(predicted).all():
        count = int((~np.isfinite(predicted.reshape(len(predicted), -1))).any(1).sum())
        raise MedclError(f"{count} of {len(predicted)} predictions are not finite: the model has diverged")
    return labels.astype(np.float64), predicted
