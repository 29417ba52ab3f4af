"""The task of an evaluation: labels of a target, with the loss and the probabilities of its kind."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from medcl.archive.manifest import Manifest, Target
from medcl.errors import MedclError
from medcl.stats.metrics import measure

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
