"""Decisions from probabilities: thresholds chosen on validation records, and confusion counts with intervals."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from medcl.errors import MedclError
from medcl.stats.class_metrics import SPECIFICITY
from medcl.stats.intervals import crossed_interval, patient_sums, patient_weights
from medcl.stats.metrics import Kind, Predictions
from medcl.stats.ranking import Bools, Floats, ratio


def youden_threshold(truth: ArrayLike, score: ArrayLike) -> float:
    """Score from which a record is called positive so that sensitivity + specificity is highest (Youden 1950).

    Of equally good thresholds it is the highest. Choose it on other patients than those tested.

    Args:
        truth: (records,) 0 or 1.
        score: (records,) higher for a positive.

    Raises:
        MedclError: there is no positive or no negative record.

    Example:
        >>> from medcl.stats.decisions import youden_threshold
        >>> round(youden_threshold([0, 0, 1, 1], [0.1, 0.3, 0.7, 0.9]), 2)
        0.7
    """
    false, true, thresholds = _roc(truth, score)
    return float(thresholds[np.argmax(true - false)])


def specificity_threshold(truth: ArrayLike, score: ArrayLike, specificity: float = SPECIFICITY) -> float:
    """Lowest score from which a record can be called positive with at least so much specificity.

    Arguments and errors as for `youden_threshold`; infinity where only calling none positive is specific enough.

    Example:
        >>> from medcl.stats.decisions import specificity_threshold
        >>> round(specificity_threshold([0, 0, 0, 1], [0.1, 0.2, 0.6, 0.9], specificity=1.0), 2)
        0.9
    """
    false, _, thresholds = _roc(truth, score)
    return float(thresholds[false <= 1 - specificity + 1e-9][-1])


def _roc(truth: ArrayLike, score: ArrayLike) -> tuple[Floats, Floats, Floats]:
    from sklearn.metrics import roc_curve

    labels = np.asarray(truth) > 0
    if not 0 < labels.sum() < labels.size:
        raise MedclError(
            f"threshold: {int(labels.sum())} of {labels.size} validation records are positive, needed are both classes"
        )
    false, true, thresholds = roc_curve(labels, np.asarray(score, dtype=np.float64), drop_intermediate=False)
    return false, true, thresholds


@dataclass(frozen=True)
class ConfusionIntervals:
    """Confusion counts of several repeats with their intervals; rows are the truth, columns the prediction.

    Args:
        count: (classes, classes), for multilabel (classes, 2, 2) with the negative first: the mean over repeats.
        low: lower end of the 95% interval of each count, of the records that there are of its true class; NaN
            where fewer than two patients have one.
        high: upper end.
    """

    count: Floats
    low: Floats
    high: Floats


def confusion_intervals(
    kind: Kind, truth: ArrayLike, predictions: ArrayLike, patients: ArrayLike, *, n_boot: int = 1000, seed: int = 0
) -> ConfusionIntervals:
    """Confusion counts with intervals over test patients crossed with repeats.

    The interval is that of the share of the true class that is predicted as each class, times its number of records.

    Args:
        kind: what the target is.
        truth: (records, ...), as in `medcl.stats.metrics.Predictions.of`.
        predictions: (repeats, records, ...): the predictions of every repeat for the same records.
        patients: (records,) id of the patient of each record.
        n_boot: number of resamples.
        seed: seed of the resamples.

    Raises:
        MedclError: as in `Predictions.of`, or the target is a regression.
    """
    if kind == "regression":
        raise MedclError("a regression target has no confusion matrix")
    every = [_tables(Predictions.of(kind, truth, one)) for one in np.asarray(predictions, dtype=np.float64)]
    true = every[0][0]  # (records, tables, classes)
    cells = np.stack([true[..., None] & called[:, :, None] for _, called in every], axis=1)
    shape = cells.shape[1:]  # repeats, tables, classes, classes
    sums = patient_sums(cells.reshape(len(true), -1).astype(np.float64), patients)

    def shares(weights: Floats) -> Floats:
        """Of each true class, the share that is predicted as each class, (*shape, resamples)."""
        counts = (sums.T @ weights).reshape(*shape, -1)
        total = np.broadcast_to(counts.sum(3, keepdims=True), counts.shape)
        return ratio(counts, total, total > 0)

    values = shares(np.ones((len(sums), 1)))[..., 0]
    parts = patient_weights(np.arange(len(sums)), n_boot=n_boot, seed=seed)
    boot = np.concatenate([np.empty((*shape[1:], 0)), *(shares(weights).mean(0) for weights in parts)], axis=3)
    n_patients = (sums.reshape(-1, *shape)[:, 0].sum(3) > 0).sum(0)  # that have a record of the class
    total = true.sum(0)
    found = np.full((3, *shape[1:]), np.nan)
    for cell in np.ndindex(*shape[1:]):
        interval = crossed_interval(values[:, *cell], boot[cell], (0.0, 1.0), int(n_patients[cell[:2]]))
        found[:, *cell] = total[cell[:2]] * np.array([interval.mean, interval.low, interval.high])
    count = np.nan_to_num(found[0])  # a class without a record has no share, and a count of 0
    count, low, high = (part if kind == "multilabel" else part[0] for part in (count, found[1], found[2]))
    return ConfusionIntervals(count, low, high)


def _tables(predictions: Predictions) -> tuple[Bools, Bools]:
    """True and predicted class as indicators, (records, tables, classes): for multilabel a table a label."""
    truth, decision = predictions.truth.astype(bool), predictions.decision
    if predictions.kind in ("multiclass", "ordinal"):
        return truth[:, None], decision[:, None]
    return np.stack([~truth, truth], axis=2), np.stack([~decision, decision], axis=2)
