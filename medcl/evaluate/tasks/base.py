"""What every task is: labels of items, a loss and a linear model that learn them, and the metrics of predictions."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from medcl.errors import MedclError
from medcl.evaluate.fractions import Ordering, order
from medcl.evaluate.results import ResultTarget
from medcl.stats.intervals import Measured

Floats: TypeAlias = NDArray[np.float64]
Bools: TypeAlias = NDArray[np.bool_]
Rows: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True)
class Linear:
    """A linear model of standardised embeddings: logits = ((z - mean) / scale) @ weight.T + bias.

    Args:
        mean: (dim,) of the training embeddings.
        scale: (dim,) their standard deviation, 1 where that is 0.
        weight: (outputs, dim).
        bias: (outputs,).
    """

    mean: Floats
    scale: Floats
    weight: Floats
    bias: Floats

    def logits(self, z: Floats) -> Floats:
        """(n, dim) to (n, outputs)."""
        # A sum of its own for each row: a matrix product depends in its last digit on how many rows there are.
        return np.asarray(np.einsum("nd,kd->nk", (z - self.mean) / self.scale, self.weight) + self.bias)


@dataclass(frozen=True)
class Calibrator:
    """What is fitted to the predictions of the validation items, and stays with a model.

    Args:
        temperature: by which logits are divided; 1 changes nothing.
        thresholds: rule (`youden`, `specificity`) -> probability of each column from which its class is decided for.
        baseline: of a Cox model times and the cumulative hazard from each on, and the risk of which it is the hazard.
    """

    temperature: float = 1.0
    thresholds: dict[str, tuple[float, ...]] = field(default_factory=dict)
    baseline: tuple[tuple[float, ...], ...] = ()


@dataclass(frozen=True)
class Task(ABC):
    """Labels of items (records, bags, slices or time steps), and what is learned from them.

    Args:
        target: name, kind and classes.
        labels: of every item: (items, columns) where there are several columns, else (items,).
    """

    target: ResultTarget
    labels: NDArray[Any]

    metric = "auroc"
    """By which models are chosen on the validation patients, and the first of the page."""
    protocols: ClassVar[tuple[str, ...]] = ("probe", "knn", "finetune")
    """By which it can be measured."""
    one_class = False
    """Whether an item has one of several classes."""
    calibrated = True
    """Whether predictions are probabilities, to which a temperature and thresholds are fitted."""

    @cached_property
    def labelled(self) -> Bools:
        """(items,) whether an item has a label."""
        return np.asarray(~np.isnan(self.labels.reshape(len(self.labels), -1).astype(np.float64)).any(axis=1))

    @property
    def settings(self) -> dict[str, Any]:
        """What it is made of beside target and labels, by name."""
        return {}

    @property
    def about(self) -> Any:
        """What its models depend on beside target and labels, in JSON's types."""
        return None

    def ordering(
        self,
        patients: Rows,
        train: Rows,
        *,
        unit: Literal["patient", "record"],
        seed: int,
        minutes: Floats | None = None,
    ) -> Ordering:
        """An order of the labelled training items whose prefixes are fair samples; see `fractions.order`."""
        target = self.target
        return order(
            self.labels,
            target.kind,
            target.classes,
            patients,
            train,
            unit=unit,
            seed=seed,
            name=target.name,
            minutes=minutes,
        )

    @property
    def n_outputs(self) -> int:
        """Number of logits of a model."""
        return 1

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the columns of values by class; empty where there are none."""
        return ()

    def columns(self, rows: Rows) -> Floats:
        """The labels that a model is trained on, (rows, columns)."""
        return self.labels[rows].reshape(len(rows), -1).astype(np.float64)

    def votes(self, rows: Rows) -> Floats:
        """What nearest neighbours average, in the shape of a prediction: the labels themselves."""
        return self.columns(rows)

    def classes_of(self, rows: Rows) -> Floats:
        """Which classes the items carry, (rows, classes) of 0 and 1: what a split or a fraction holds of each."""
        return np.zeros((len(rows), 0))

    @abstractmethod
    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Loss of logits (B, outputs) against `columns` (B, columns), a scalar."""

    def criterion(self) -> Callable[[Tensor, Tensor], Tensor]:
        """The loss of one training, which may remember earlier batches; by default `loss`."""
        return self.loss

    @abstractmethod
    def predict(self, logits: Tensor) -> Tensor:
        """What is predicted, (B, ...), from logits (B, outputs)."""

    @abstractmethod
    def linear(self, x: Floats, labels: Floats, penalty: float) -> tuple[Floats, Floats]:
        """Fit a linear model with an L2 penalty: inputs (n, dim), labels (n, columns) -> weight (outputs, dim), bias.

        Args:
            x: standardised.
            labels: as in `columns`.
            penalty: the inverse of its strength, scikit-learn's C.
        """

    @abstractmethod
    def measured(self, rows: Rows, prediction: Floats) -> Measured:
        """Predictions (rows, ...) beside the labels of these rows.

        Raises:
            MedclError: a prediction is not finite.
        """

    def together(self, prediction: Floats, group: Rows, count: int, *, largest: bool) -> Floats:
        """Predictions of samples (N, ...) of items (N,) as those of items (count, ...): their mean or their maximum."""
        found = np.full((count, *prediction.shape[1:]), -np.inf if largest else 0.0)
        if largest:
            np.maximum.at(found, group, prediction)
            return found
        np.add.at(found, group, prediction)
        return found / np.bincount(group, minlength=count).reshape(-1, *[1] * (prediction.ndim - 1))

    def finished(self, validation: Rows, predicted: Floats, test: Floats, protocol: str) -> Floats:
        """The predictions of the test items as they are reported, after what is fitted on the validation items.

        Args:
            validation: rows.
            predicted: of them.
            test: predictions of the test items.
            protocol: by which the model was trained.
        """
        if protocol == "knn":
            return test
        return self.adjusted(test, self.calibrator(validation, predicted))

    def calibrator(self, validation: Rows, predicted: Floats) -> Calibrator:
        """What is fitted to the predictions of the validation items; by default nothing."""
        return Calibrator()

    def adjusted(self, prediction: Floats, by: Calibrator) -> Floats:
        """Predictions with the temperature or the baseline hazard of a calibrator; by default as they are."""
        return prediction

    def outputs(self, prediction: Floats, thresholds: Sequence[float] = ()) -> dict[str, Any]:
        """Predictions (n, ...) as the columns of a table, {name: (n,)}.

        Args:
            prediction: adjusted.
            thresholds: of a calibrator, for the decision; empty where there are none.
        """
        flat = prediction.reshape(len(prediction), -1)
        names = ["value"] if flat.shape[1] == 1 else [f"value_{k}" for k in range(flat.shape[1])]
        return dict(zip(names, flat.T, strict=True))

    def score(self, rows: Rows, prediction: Floats) -> float:
        """The selection metric of predictions for these rows; higher is better.

        Raises:
            MedclError: the metric is undefined for these rows, since then no model could be chosen.
        """
        value = float(self.measured(rows, prediction).metrics(np.ones((len(rows), 1)))[0][self.metric][0])
        if not np.isfinite(value):
            raise MedclError(
                f"target {self.target.name!r}: {self.metric} is undefined on {len(rows)} {self.undefined}; "
                "split again with `medcl split --stratify`"
            )
        return value

    undefined = "records (no class has both positive and negative ones)"
    """Of which records the metric is undefined, for the error."""
