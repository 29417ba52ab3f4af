"""Samples of prepared tables, as batches of tensors."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medcl.errors import MedclError, UsageError
from medcl.modality.rows import Ints, Rows, of_levels
from medcl.modality.sampling import NumberedSamples, within
from medcl.modality.storing import records_of
from medcl.modality.table.config import TableConfig
from medcl.modality.table.prepare import TableStore, fit_scale
from medcl.modality.table.record import Floats

CUT = 3.0
"""Where values scaled by percentiles are cut off."""
_SAMPLES_OF_A_RECORD = 1 << 24
_LEVELS = ("patient", "study", "session", "trial")


class TableSamples(NumberedSamples):
    """Tables, or windows of tables with times, on a grid of steps.

    A window without any value is left out; one with some holds NaN where there is none.

    Args:
        store: prepared tables.
        manifest: whose records are wanted; those that the store has quarantined are left out.
        config: of samples. Where it has no `scale`, that is fitted on these records, which then have to be those that
            are trained on: take `config` of their samples for others.

    Attributes:
        config: complete, with `scale`.
        rows: (S,) row of the manifest of each sample, ascending.
        starts: (S,) hours at which it begins; 0 in a table without times.
        ids: {level: (S,) int64} for patient, study, session, trial where they are known, and sample.

    Raises:
        UsageError: the configuration is invalid.
        MedclError: the store was prepared from other records or for other variables, or no sample is left.
    """

    def __init__(self, store: TableStore, manifest: Rows, config: TableConfig) -> None:
        config.check()
        for name, own in (("columns", store.columns), ("classes", store.classes)):
            if getattr(config, name) not in (None, own):
                raise MedclError(f"{store.folder}: the store was prepared with other data.{name}; prepare it anew")
        config = replace(config, columns=store.columns, units=store.units, classes=store.classes)
        self.store = store
        records = records_of(store, manifest, "table")
        rows = np.flatnonzero(records >= 0)
        begins = [_begins(store.times[record], config) for record in records[rows].tolist()]
        counts = np.array([len(one) for one in begins], dtype=np.int64)
        if not counts.sum():
            raise MedclError("no table has a value in a window: see data.window and data.start")
        self.rows: Ints = np.repeat(rows, counts)
        self._records: Ints = records[self.rows]
        self.starts: Floats = np.concatenate(begins)
        self.ids = of_levels(manifest, self.rows, _LEVELS)
        self.ids["sample"] = self.rows * _SAMPLES_OF_A_RECORD + within(counts)
        if config.scale is None:
            data = (store.read(record) for record in records[rows].tolist())
            config = replace(config, scale=fit_scale(data, config))
        self.config = config
        self._grid = Grid.of(config)

    def read(self, numbers: Ints) -> Tensor:
        """Samples (B, C, T) float32, scaled, categories as codes, NaN where there is no value."""
        records = self._records[numbers]
        data = {record: self.store.read(record) for record in np.unique(records).tolist()}
        parts = zip(records.tolist(), self.starts[numbers].tolist(), strict=True)
        x = np.stack([self._grid.sample(data[record], start) for record, start in parts])
        return torch.from_numpy(x.astype(np.float32))

    def places(self, numbers: Ints) -> list[list[float]] | None:
        """Where windows begin, (n,) of [hours]; None of tables without times."""
        return None if self.config.window is None else [[float(start)] for start in self.starts[numbers]]


samples = TableSamples


@dataclass(frozen=True)
class Grid:
    """Rows at any times -> (variables, steps), scaled.

    Args:
        n_steps: of a sample.
        step: hours.
        numbers: (C,) whether a variable is one of numbers; categories take the last value of a step.
        centre: (C,) what is subtracted.
        spread: (C,) what is divided by; infinite for a variable that never changes.
        cut: what lies beyond is cut off; None for nothing.
        timed: whether the rows have times.
        quantiles: {column: (Q,) ascending} of variables that are ranked.
    """

    n_steps: int
    step: float
    numbers: NDArray[np.bool_]
    centre: Floats
    spread: Floats
    cut: float | None
    timed: bool
    quantiles: dict[int, Floats]

    @classmethod
    def of(cls, config: TableConfig) -> "Grid":
        """The grid of a complete configuration."""
        names, classes, scale = config.columns or [], config.classes or {}, config.scale or {}
        ranked = {
            column: np.array(scale[name])
            for column, name in enumerate(names)
            if config.scaling == "rank" and name in scale
        }
        plain = [[0.0, 1.0] if n in ranked else scale.get(name, [0.0, 1.0]) for n, name in enumerate(names)]
        centre, spread = np.array(plain, dtype=np.float64).T
        return cls(
            config.n_steps,
            config.step,
            np.array([name not in classes for name in names]),
            centre,
            np.where(spread > 0, spread, np.inf),
            CUT if config.scaling == "percentile" else None,
            config.window is not None,
            ranked,
        )

    def sample(self, data: Floats, start: float) -> Floats:
        """One sample (C, T).

        Args:
            data: (rows, 1 + C) of the record, in order of time.
            start: hours at which it begins.
        """
        values = (data[:, 1:] - self.centre) / self.spread
        for place, quantiles in self.quantiles.items():
            # Equal values have the middle of their ranks; NaN stays.
            own = values[:, place]
            ranks = np.searchsorted(quantiles, own, "left") + np.searchsorted(quantiles, own, "right")
            values[:, place] = np.where(np.isnan(own), np.nan, ranks / len(quantiles) - 1)
        if self.cut is not None:
            values[:, self.numbers] = np.clip(values[:, self.numbers], -self.cut, self.cut)
        # What is 01:00 in minutes belongs to the step that begins there, whatever the division rounds to.
        steps = np.floor((data[:, 0] - start) / self.step + 1e-9) if self.timed else np.zeros(len(data))
        inside = (steps >= 0) & (steps < self.n_steps)
        row, column = np.nonzero(~np.isnan(values) & inside[:, None])
        at, known = steps[row].astype(np.int64), values[row, column]
        total, count = np.zeros((2, values.shape[1], self.n_steps))
        np.add.at(total, (column, at), known)
        np.add.at(count, (column, at), 1)
        out: Floats = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
        category = ~self.numbers[column]
        # Of several assignments to one place numpy keeps the last.
        out[column[category], at[category]] = known[category]
        return out


def _begins(times: Floats, config: TableConfig) -> Floats:
    """Hours at which the windows of a record begin that have a value."""
    if config.window is None:
        return np.zeros(min(1, len(times)))
    stride = config.stride or np.inf
    length = config.n_steps * config.step
    last = times.max(initial=-np.inf)
    number = 0 if config.stride is None else max(0, int(np.floor((last - config.start) / stride + 1e-9)))
    begins = config.start + (np.arange(number + 1) * (config.stride or 0.0))
    first, behind = (np.searchsorted(times + 1e-9 * config.step, begins + shift) for shift in (0.0, length))
    return np.asarray(begins[behind > first], dtype=np.float64)


def pieces(record: object, config: TableConfig) -> Tensor:
    """Not of a table in memory.

    Raises:
        UsageError: always.
    """
    raise UsageError("the encoder takes tables with their units: give a manifest of them")
