"""Regression: a number a record."""

import re

import numpy as np
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from medcl.evaluate.tasks.base import Floats, Rows, Task
from medcl.stats.metrics import Predictions


class Regression(Task):
    """A number a record, in the unit of the target."""

    metric = "r2"
    calibrated = False
    undefined = "records (all have the same value)"

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """See `Task`."""
        return F.mse_loss(logits, labels)

    def predict(self, logits: Tensor) -> Tensor:
        """See `Task`."""
        return logits

    def linear(self, x: Floats, labels: Floats, penalty: float) -> tuple[Floats, Floats]:
        """See `Task`."""
        from sklearn.linear_model import Ridge

        model = Ridge(alpha=1 / penalty).fit(x, labels[:, 0])
        return np.asarray(model.coef_, dtype=np.float64).reshape(1, -1), np.array([float(model.intercept_)])

    def measured(self, rows: Rows, prediction: Floats) -> Predictions:
        """See `Task`."""
        return Predictions.of("regression", self.labels[rows], prediction)


_WORDS = "years?|months?|weeks?|days?|hours?|min|s|ms|mmhg|bpm|kg|g|cm|mm|ml"
_UNIT = re.compile(rf"[\[(]\s*([^\])\s]+)\s*[\])]$|_({_WORDS})$", re.IGNORECASE)


def unit_of(column: str) -> str:
    """The unit that the name of a column states, as `age_years`, `EF [%]` and `time (days)` do; else nothing."""
    found = _UNIT.search(column)
    return (found[1] or found[2]) if found else ""
