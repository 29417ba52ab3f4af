"""Metrics of predicted probabilities and values, each weighted by record, so that a bootstrap is one more axis.

Weights have the shape (records, resamples): a column of ones gives the plain metric, a column of counts gives the
metric of a resample in which a record occurs that often. Every ranking metric sorts a class once for all resamples.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medcl.errors import MedclError

Kind: TypeAlias = Literal["binary", "multiclass", "multilabel", "regression"]
Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class Scores:
    """What a set of predictions is worth.

    Args:
        metrics: `auroc`, `auprc`, `f1` (each the macro mean over the defined classes) and `accuracy`; `r2` and `mae`
            for regression.
        per_class: class -> {`auroc`, `auprc`, `f1`}; NaN where the class has no positive (for AUROC: or no negative)
            record. Empty for regression.
        undefined: the classes left out of at least one macro mean for that reason. A report has to name them.
    """

    metrics: dict[str, float]
    per_class: dict[str, dict[str, float]]
    undefined: tuple[str, ...]


def ranking(truth: NDArray[np.bool_], score: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Weighted area under the ROC curve and average precision of one class, ties counted as scikit-learn does.

    Args:
        truth: (records,), True for a positive.
        score: (records,), higher means more likely positive.
        weights: (records, resamples), non-negative.

    Returns:
        AUROC (resamples,), NaN without a positive or without a negative; average precision (resamples,), NaN without
        a positive.
    """
    positive = np.flatnonzero(truth)[np.argsort(-score[truth], kind="stable")]
    negative = np.flatnonzero(~truth)[np.argsort(-score[~truth], kind="stable")]
    # Scores are negated so that both lists ascend, as searchsorted needs: "left" counts what ranks above, "right"
    # also what ties.
    key, other = -score[positive], -score[negative]
    hits, false_alarms = _running_sum(weights[positive]), _running_sum(weights[negative])
    above, level = false_alarms[np.searchsorted(other, key, "left")], false_alarms[np.searchsorted(other, key, "right")]
    found = hits[np.searchsorted(key, key, "right")]
    n_positive, n_negative = hits[-1], false_alarms[-1]
    with np.errstate(invalid="ignore", divide="ignore"):
        discordant = np.einsum("nb,nb->b", weights[positive], above + level) / 2
        auroc = 1 - discordant / (n_positive * n_negative)
        # 0/0 is a threshold that no drawn record passes; its positive has weight 0 as well.
        precision = np.divide(found, found + level, out=np.zeros_like(found), where=found > 0)
        auprc = np.einsum("nb,nb->b", weights[positive], precision) / n_positive
    return np.where(n_positive * n_negative > 0, auroc, np.nan), np.where(n_positive > 0, auprc, np.nan)


def weighted_metrics(
    kind: Kind, truth: ArrayLike, prediction: ArrayLike, weights: Floats, *, threshold: float | Floats = 0.5
) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """Every metric of a target kind under every column of weights.

    Args:
        kind: what the target is.
        truth: (records, classes) of 0/1 for multilabel, (records,) class numbers for binary and multiclass,
            (records,) values for regression.
        prediction: probabilities (records, classes) for multilabel and multiclass; for binary the probability of
            class 1, (records,) or the last column of (records, 2); values (records,) for regression.
        weights: (records, resamples), non-negative.
        threshold: probability from which a class is predicted (binary, multilabel); a number, or one a class.

    Returns:
        macro means {metric: (resamples,)} and values by class {metric: (classes, resamples)}; a binary target has one
        class here, the positive one.

    Raises:
        MedclError: shapes do not match, a record is unlabelled, or a prediction is not finite.
    """
    if kind == "regression":
        return _regression(*_checked(kind, truth, prediction), weights), {}
    indicator, probability, predicted = _one_column_a_class(kind, truth, prediction, threshold)
    ranked = [ranking(t, p, weights) for t, p in zip(indicator.T, probability.T, strict=True)]
    auroc, auprc = (np.stack(part) for part in zip(*ranked, strict=True))
    f1 = _f1(indicator, predicted, weights)
    # A binary target has two classes for F1 (scikit-learn's macro average) and one ranking.
    f1_all = np.concatenate([f1, _f1(~indicator, ~predicted, weights)]) if kind == "binary" else f1
    exact = (indicator == predicted).all(1).astype(np.float64)
    macro = {"auroc": _mean_defined(auroc), "auprc": _mean_defined(auprc), "f1": _mean_defined(f1_all)}
    macro["accuracy"] = exact @ weights / weights.sum(0)
    return macro, {"auroc": auroc, "auprc": auprc, "f1": f1}


def measure(
    kind: Kind, truth: ArrayLike, prediction: ArrayLike, classes: Sequence[str] = (), *, threshold: float | Floats = 0.5
) -> Scores:
    """The metrics of a set of predictions, with scikit-learn's definitions.

    AUROC and AUPRC (average precision) are one-versus-rest and macro-averaged; a binary target has one of each, of
    its second class. F1 is macro-averaged (binary: over both classes). Multilabel accuracy is the share of records
    with every class right. Different from scikit-learn: a class without a positive record counts neither as 0 nor as
    1 but is left out of the mean and listed in `undefined`.

    Args:
        kind: what the target is.
        truth: as in `weighted_metrics`.
        prediction: as in `weighted_metrics`.
        classes: names of the classes, in the order of the columns; not needed for regression.
        threshold: as in `weighted_metrics`.

    Returns:
        The scores.

    Raises:
        MedclError: as in `weighted_metrics`.
    """
    once = np.ones((len(np.asarray(truth)), 1))
    macro, per_class = weighted_metrics(kind, truth, prediction, once, threshold=threshold)
    metrics = {metric: float(values[0]) for metric, values in macro.items()}
    if kind == "regression":
        return Scores(metrics, {}, ())
    names = tuple(classes[-1:] if kind == "binary" else classes)
    if len(names) != len(per_class["auroc"]):
        raise MedclError(f"{len(names)} class names for {len(per_class['auroc'])} columns of probabilities")
    table = {name: {m: float(values[k, 0]) for m, values in per_class.items()} for k, name in enumerate(names)}
    return Scores(metrics, table, tuple(name for name, row in table.items() if np.isnan(list(row.values())).any()))


def confusion(
    kind: Kind, truth: ArrayLike, prediction: ArrayLike, *, threshold: float | Floats = 0.5
) -> NDArray[np.int64]:
    """Confusion counts; rows are the truth, columns the prediction.

    Args:
        kind: binary, multiclass or multilabel.
        truth: as in `weighted_metrics`.
        prediction: as in `weighted_metrics`.
        threshold: as in `weighted_metrics`.

    Returns:
        (classes, classes), for multilabel (classes, 2, 2) with the negative first.

    Raises:
        MedclError: as in `weighted_metrics`, or the target is a regression.
    """
    if kind == "regression":
        raise MedclError("a regression target has no confusion matrix")
    indicator, _, predicted = _one_column_a_class(kind, truth, prediction, threshold)
    if kind == "multiclass":
        return indicator.T.astype(np.int64) @ predicted.astype(np.int64)
    sides_t, sides_p = (np.stack([~side, side]).astype(np.int64) for side in (indicator, predicted))
    tables: NDArray[np.int64] = np.einsum("tnk,pnk->ktp", sides_t, sides_p)
    return tables[0] if kind == "binary" else tables


def _one_column_a_class(
    kind: Kind, truth: ArrayLike, prediction: ArrayLike, threshold: float | Floats
) -> tuple[NDArray[np.bool_], Floats, NDArray[np.bool_]]:
    """Truth, probability and decision as (records, classes); one column for a binary target."""
    labels, probability = _checked(kind, truth, prediction)
    if kind == "binary":
        column = probability.reshape(len(probability), -1)[:, -1:]
        return labels[:, None] == 1, column, column >= threshold
    if probability.ndim != 2:
        raise MedclError(f"{kind} probabilities have the shape {probability.shape}, expected (records, classes)")
    numbers = np.arange(probability.shape[1])
    if kind == "multiclass":
        if labels.size and labels.max() >= len(numbers):
            raise MedclError(f"class number {labels.max():g} has no column among {len(numbers)} probabilities")
        return labels[:, None] == numbers, probability, probability.argmax(1)[:, None] == numbers
    if labels.shape != probability.shape:
        raise MedclError(f"truth has the shape {labels.shape}, probabilities {probability.shape}")
    return labels == 1, probability, probability >= threshold


def _checked(kind: Kind, truth: ArrayLike, prediction: ArrayLike) -> tuple[Floats, Floats]:
    labels, predicted = np.asarray(truth), np.asarray(prediction, dtype=np.float64)
    if len(labels) != len(predicted) or len(labels) == 0:
        raise MedclError(f"{len(labels)} labels and {len(predicted)} predictions: both have to cover the same records")
    # -1 is the manifest's code for an unlabelled record, where the label is a class number.
    unlabelled = labels < 0 if kind in ("binary", "multiclass") else np.isnan(labels)
    if unlabelled.any():
        raise MedclError("unlabelled records were passed to the metrics: leave them out before predicting")
    if not np.isfinite(predicted).all():
        count = int((~np.isfinite(predicted.reshape(len(predicted), -1))).any(1).sum())
        raise MedclError(f"{count} of {len(predicted)} predictions are not finite: the model has diverged")
    return labels.astype(np.float64), predicted


def _regression(truth: Floats, prediction: Floats, weights: Floats) -> dict[str, Floats]:
    prediction = prediction.reshape(truth.shape)
    total = weights.sum(0)
    centred = truth - truth.mean()  # the spread is a difference of two sums: small numbers keep its digits
    spread = centred**2 @ weights - (centred @ weights) ** 2 / total
    residual = (truth - prediction) ** 2 @ weights
    # A resample of one value has no variance to explain; rounding must not turn that into a number.
    defined = spread > 1e-12 * (centred**2).max() * total
    r2 = np.full(len(total), np.nan)
    r2[defined] = 1 - residual[defined] / spread[defined]
    return {"r2": r2, "mae": np.abs(truth - prediction) @ weights / total}


def _f1(truth: NDArray[np.bool_], predicted: NDArray[np.bool_], weights: Floats) -> Floats:
    hits = (truth & predicted).T.astype(np.float64) @ weights
    positives, calls = truth.T.astype(np.float64) @ weights, predicted.T.astype(np.float64) @ weights
    f1 = np.full_like(hits, np.nan)
    np.divide(2 * hits, positives + calls, out=f1, where=positives > 0)
    return f1


def _running_sum(weights: Floats) -> Floats:
    total = np.zeros((len(weights) + 1, weights.shape[1]))
    np.cumsum(weights, axis=0, out=total[1:])
    return total


def _mean_defined(values: Floats) -> Floats:
    """Mean over the first axis, NaN left out; NaN where nothing is left."""
    defined = ~np.isnan(values)
    count = defined.sum(0)
    mean = np.full(values.shape[1], np.nan)
    np.divide(np.where(defined, values, 0).sum(0), count, out=mean, where=count > 0)
    return mean
