"""What an encoder of tables has to beat: the values themselves, of tables in time their last, mean and extremes."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from medcl.modality.baselines import Baseline, Floats, State, batches, mean_of_records
from medcl.modality.rows import Ints
from medcl.modality.sampling import SampleSet
from medcl.modality.table.config import TableConfig


@dataclass(frozen=True)
class TableColumns:
    """The variables of a table, scaled, and which of them are missing.

    Of a variable of numbers that is its value; in time the last, mean, lowest and highest one and the share of the
    steps that have one, or the last alone. Of a category it is one feature a class, 1 where it holds (in time, last),
    and that share. What is missing has the mean of the training samples.

    Args:
        n_classes: of each variable, 0 for numbers.
        timed: whether samples have steps, of which more than the last value counts.
        title: in words, for tables.
    """

    n_classes: tuple[int, ...]
    timed: bool
    title: str

    def fit(self, samples: SampleSet, rows: Ints) -> State:
        """`fill` (features,): the mean of each feature over the samples that have it, 0 where none does."""
        total, count = np.zeros((2, self._width))
        for _, x in batches(samples, rows):
            found = self._features(x)
            total += np.nansum(found, axis=0)
            count += (~np.isnan(found)).sum(axis=0)
        return {"fill": total / np.maximum(count, 1)}

    def transform(self, samples: SampleSet, rows: Ints, state: State) -> Floats:
        """(R, features + variables): the features, then 1 for each variable without a value."""

        def filled(x: Tensor) -> Floats:
            found = self._features(x)
            missing = np.isnan(x.numpy()).all(axis=2)
            return np.concatenate([np.where(np.isnan(found), state["fill"], found), missing], axis=1)

        return mean_of_records(samples, rows, filled)

    @property
    def _width(self) -> int:
        return sum((classes or (4 if self.timed else 1)) + self.timed for classes in self.n_classes)

    def _features(self, x: Tensor) -> Floats:
        """Samples (B, C, T) -> (B, features), NaN where a variable has no value."""
        values = x.double().numpy()
        known = ~np.isnan(values)
        count = known.sum(axis=2)
        # The first of the steps in reverse that has a value; of none, any step is NaN.
        latest = values.shape[2] - 1 - known[:, :, ::-1].argmax(axis=2)
        last = np.take_along_axis(values, latest[:, :, None], axis=2)[:, :, 0]
        lowest, highest = np.where(known, values, np.inf).min(axis=2), np.where(known, values, -np.inf).max(axis=2)
        mean = np.where(known, values, 0).sum(axis=2) / np.maximum(count, 1)
        numbers = [last, *(np.where(count > 0, one, np.nan) for one in (mean, lowest, highest))]
        parts = []
        for column, classes in enumerate(self.n_classes):
            code = last[:, column, None]
            holds = np.where(np.isnan(code), np.nan, code == np.arange(classes))
            own = [one[:, column, None] for one in numbers[: 4 if self.timed else 1]]
            share = [count[:, column, None] / values.shape[2]] if self.timed else []
            parts += [*([holds] if classes else own), *share]
        return np.concatenate(parts, axis=1)


def baselines(config: TableConfig) -> dict[str, Baseline]:
    """See `Wing.baselines`."""
    timed = config.window is not None
    if not timed:
        return {"columns": TableColumns(config.n_classes, timed, "the columns themselves")}
    return {
        "columns": TableColumns(config.n_classes, timed, "last, mean, lowest and highest values"),
        "last": TableColumns(config.n_classes, False, "last values"),
    }
