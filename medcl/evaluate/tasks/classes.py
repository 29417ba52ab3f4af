"""Tasks with classes: binary, multiclass, multilabel; and ordinal, whose classes have an order."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from medcl.evaluate.tasks.base import Bools, Calibrator, Floats, Rows, Task
from medcl.stats.calibration import fit_temperature, tempered, to_logits
from medcl.stats.decisions import specificity_threshold, youden_threshold
from medcl.stats.metrics import THRESHOLD, Predictions

_LARGEST = 25.0
"""Largest logit that a temperature may make of a validation item: beyond 36 probabilities are 1, and ranks are lost."""


class _Classes(Task):
    @property
    def n_outputs(self) -> int:
        """See `Task`."""
        return len(self.target.classes)

    @property
    def class_names(self) -> tuple[str, ...]:
        """See `Task`."""
        return self.target.classes

    def classes_of(self, rows: Rows) -> Floats:
        """See `Task`."""
        return self.columns(rows)

    def measured(self, rows: Rows, prediction: Floats) -> Predictions:
        """See `Task`."""
        return Predictions.of(self.target.kind, self.labels[rows], prediction)  # type: ignore[arg-type]

    by_threshold = True
    """Whether each class is decided on by itself; else the most probable one is decided for."""

    def calibrator(self, validation: Rows, predicted: Floats) -> Calibrator:
        """A temperature, and thresholds of the probabilities after it; `THRESHOLD` for a class that cannot have one.

        The temperature keeps the ranks of binary and multilabel predictions, and the most probable class of others.
        """
        if not self.calibrated:
            return Calibrator()
        kind: Any = self.target.kind
        logits = to_logits(kind, predicted)
        lowest = float(np.abs(logits).max()) / _LARGEST
        found = Calibrator(max(fit_temperature(kind, self.labels[validation], logits), lowest))
        if not self.by_threshold:
            return found
        both = zip(self.columns(validation).T, self.adjusted(predicted, found).T, strict=True)
        # A class of which the validation items have no positive or no negative one has no threshold of its own.
        known = [(true, p) if 0 < true.sum() < len(true) else None for true, p in both]
        rules = {"youden": youden_threshold, "specificity": specificity_threshold}
        thresholds = {
            name: tuple(THRESHOLD if one is None else float(rule(*one)) for one in known)
            for name, rule in rules.items()
        }
        return replace(found, thresholds=thresholds)

    def adjusted(self, prediction: Floats, by: Calibrator) -> Floats:
        """See `Task`."""
        kind: Any = self.target.kind
        return tempered(kind, to_logits(kind, prediction), by.temperature) if self.calibrated else prediction

    def outputs(self, prediction: Floats, thresholds: Sequence[float] = ()) -> dict[str, Any]:
        """See `Task`."""
        names = self.target.classes
        both = np.column_stack([1 - prediction, prediction]) if prediction.shape[1] < len(names) else prediction
        found = {f"probability_{name}": column for name, column in zip(names, both.T, strict=True)}
        return {**found, "decision": self.decided(prediction, np.asarray(thresholds or (THRESHOLD,)))}

    def decided(self, prediction: Floats, thresholds: Floats) -> list[Any]:
        """The class, or the list of classes, that is decided for."""
        return [self.target.classes[k] for k in prediction.argmax(axis=1)]


class _Numbered(_Classes):
    """Labels are numbers of classes, -1 where there is none."""

    one_class = True

    @cached_property
    def labelled(self) -> Bools:
        """See `Task`."""
        return np.asarray(self.labels.astype(np.int64) >= 0)

    def classes_of(self, rows: Rows) -> Floats:
        """See `Task`."""
        return np.eye(len(self.target.classes))[self.labels[rows].astype(np.int64)]

    def together(self, prediction: Floats, group: Rows, count: int, *, largest: bool) -> Floats:
        """See `Task`; the maxima of classes are divided by their sum, since an item has one."""
        found = super().together(prediction, group, count, largest=largest)
        return np.asarray(found / found.sum(axis=1, keepdims=True)) if found.shape[1] > 1 else found


class Multilabel(_Classes):
    """Any number of classes a record: one logistic regression each."""

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """See `Task`."""
        return F.binary_cross_entropy_with_logits(logits, labels)

    def predict(self, logits: Tensor) -> Tensor:
        """See `Task`."""
        return torch.sigmoid(logits)

    def linear(self, x: Floats, labels: Floats, penalty: float) -> tuple[Floats, Floats]:
        """See `Task`."""
        models = [_logistic(x, column, penalty) for column in labels.T]
        return np.concatenate([model.coef_ for model in models]), np.concatenate([one.intercept_ for one in models])

    def decided(self, prediction: Floats, thresholds: Floats) -> list[Any]:
        """See `Task`."""
        names = np.array(self.target.classes, dtype=object)
        return [names[row].tolist() for row in prediction >= thresholds]


class Binary(_Numbered, Multilabel):
    """Two classes; the second is the positive one, whose probability is predicted."""

    @property
    def n_outputs(self) -> int:
        """See `Task`."""
        return 1

    @property
    def class_names(self) -> tuple[str, ...]:
        """See `Task`."""
        return self.target.classes[-1:]

    def decided(self, prediction: Floats, thresholds: Floats) -> list[Any]:
        """See `Task`."""
        return [self.target.classes[int(positive)] for positive in (prediction >= thresholds)[:, 0]]

    def columns(self, rows: Rows) -> Floats:
        """See `Task`."""
        return self.labels[rows].reshape(len(rows), -1).astype(np.float64)


class Risk(Binary):
    """Whether an event follows a time step within the horizon."""

    undefined = "time steps (none is followed by the event, or all are)"

    def measured(self, rows: Rows, prediction: Floats) -> Predictions:
        """See `Task`."""
        return Predictions.of("binary", self.labels[rows], prediction)


class Multiclass(_Numbered):
    """One class of several a record."""

    by_threshold = False

    def columns(self, rows: Rows) -> Floats:
        """See `Task`."""
        return self.classes_of(rows)

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """See `Task`."""
        return F.cross_entropy(logits, labels)

    def predict(self, logits: Tensor) -> Tensor:
        """See `Task`."""
        return torch.softmax(logits, dim=1)

    def linear(self, x: Floats, labels: Floats, penalty: float) -> tuple[Floats, Floats]:
        """See `Task`."""
        classes = labels.argmax(axis=1)
        model = _logistic(x, classes, penalty)
        if len(model.classes_) == 2:  # of which scikit-learn keeps one row
            both = np.concatenate([np.zeros_like(model.coef_), model.coef_])
            return _all_classes(both, np.array([0.0, model.intercept_[0]]), model.classes_, labels.shape[1])
        return _all_classes(model.coef_, model.intercept_, model.classes_, labels.shape[1])


class Ordinal(_Numbered):
    """Grades: a model predicts for each but the lowest whether it is reached (Frank and Hall, 2001).

    The logits (B, grades - 1) are of "at least grade k"; `predict` makes them a distribution over the grades, (B,
    grades), in which a higher grade is never more often reached than a lower one.
    """

    metric = "kappa"
    calibrated = by_threshold = False
    undefined = "records (all have the same grade)"

    @property
    def n_outputs(self) -> int:
        """See `Task`."""
        return len(self.target.classes) - 1

    @property
    def class_names(self) -> tuple[str, ...]:
        """See `Task`."""
        return ()

    def columns(self, rows: Rows) -> Floats:
        """See `Task`."""
        grades = self.labels[rows].astype(np.int64)
        return (grades[:, None] >= np.arange(1, len(self.target.classes))).astype(np.float64)

    def votes(self, rows: Rows) -> Floats:
        """See `Task`."""
        return self.classes_of(rows)

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """See `Task`."""
        return F.binary_cross_entropy_with_logits(logits, labels)

    def predict(self, logits: Tensor) -> Tensor:
        """See `Task`."""
        reached = torch.cummin(torch.sigmoid(logits), dim=1).values
        edges = torch.cat([torch.ones_like(reached[:, :1]), reached, torch.zeros_like(reached[:, :1])], dim=1)
        return edges[:, :-1] - edges[:, 1:]

    def linear(self, x: Floats, labels: Floats, penalty: float) -> tuple[Floats, Floats]:
        """See `Task`."""
        weights, biases = [], []
        for column in labels.T:
            if column.min() == column.max():  # a grade that no training record passes, or all do
                weights.append(np.zeros(x.shape[1]))
                biases.append(np.log((column.sum() + 0.5) / (len(column) - column.sum() + 0.5)))
                continue
            model = _logistic(x, column, penalty)
            weights.append(model.coef_[0])
            biases.append(model.intercept_[0])
        return np.stack(weights), np.array(biases)


def _logistic(x: Floats, classes: NDArray[Any], penalty: float) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=penalty, max_iter=1000).fit(x, classes)


_ABSENT = -30.0
"""Logit of a class without a training record: its probability is 0 to thirteen digits."""


def _all_classes(weight: Floats, bias: Floats, present: NDArray[Any], count: int) -> tuple[Floats, Floats]:
    whole, offsets = np.zeros((count, weight.shape[1])), np.full(count, _ABSENT + bias.min())
    whole[present], offsets[present] = weight, bias
    return whole, offsets
