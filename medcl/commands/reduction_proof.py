"""Whether a reduction helped: quality and time of every arm, as a table and a file."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from medcl import files
from medcl.checksums import read_json, sealed
from medcl.errors import MedclError
from medcl.evaluate.wording import METRICS
from medcl.show.wording import NOTHING, bounds, count, number
from medcl.stats.intervals import Interval, mean_interval, paired_interval

UNTRAINED = "random weights"


@dataclass(frozen=True)
class Cell:
    """One pretraining of one seed, tested in one fold.

    Args:
        by: the reduction, empty where all units were trained on.
        how: `all`, `reduced`, `random` (as many units by chance), or `random weights` (not trained).
        budget: `steps` or `epochs` were those of the training on all units; empty where it makes no difference.
        fold: number.
        seed: of the pretraining.
        units: trained on.
        of: units that there are.
        steps: taken.
        seconds: of the training; where it was interrupted, as its last part was fast.
        scores: metric -> value on the test patients.
    """

    by: str
    how: str
    budget: str
    fold: int
    seed: int
    units: int
    of: int
    steps: int
    seconds: float
    scores: dict[str, float]


@dataclass(frozen=True)
class Row:
    """An arm over seeds and folds.

    Args:
        cells: of the arm.
        quality: mean over folds of each seed, then mean and 95 % interval over seeds.
        gap: the same of the difference to training on all units, seed by seed; None for that arm itself.
        control: of a reduced arm the same of the difference to as many units by chance, with the same budget.
        folds: mean over seeds of each fold.
    """

    cells: tuple[Cell, ...]
    quality: Interval
    gap: Interval | None
    control: Interval | None
    folds: tuple[float, ...]

    @property
    def first(self) -> Cell:
        """A cell that names the arm."""
        return self.cells[0]

    @property
    def units(self) -> float:
        """Mean number of units trained on."""
        return float(np.mean([one.units for one in self.cells]))

    @property
    def share(self) -> float:
        """Of the units that were trained on."""
        return float(np.mean([one.units / one.of for one in self.cells]))

    @property
    def steps(self) -> float:
        """Mean number of steps."""
        return float(np.mean([one.steps for one in self.cells]))

    @property
    def seconds(self) -> float:
        """Mean seconds of a pretraining."""
        return float(np.mean([one.seconds for one in self.cells]))

    @property
    def name(self) -> str:
        """What was trained on."""
        one = self.first
        return {"all": "all", "reduced": one.by, "random": f"random, as many as {one.by}"}.get(one.how, one.how)


@dataclass(frozen=True)
class Proof:
    """All cells of an experiment.

    Args:
        target: that was probed.
        metric: by which arms are compared.
        what: samples are: `slices`, `records`.
        method: of pretraining.
        patients: in the manifest.
        cells: of all arms, folds and seeds.
    """

    target: str
    metric: str
    what: str
    method: str
    patients: int
    cells: tuple[Cell, ...]

    def rows(self) -> list[Row]:
        """The arms: all units, each reduction with its controls, random weights; in the order of the cells."""
        arms: dict[tuple[str, str, str], list[Cell]] = {}
        for one in self.cells:
            arms.setdefault((one.by, one.how, one.budget), []).append(one)
        whole = next((by_seed_of(some, self.metric) for some in arms.values() if some[0].how == "all"), {})
        found = []
        for some in sorted(arms.values(), key=lambda cells: cells[0].how == UNTRAINED):
            by_seed = by_seed_of(some, self.metric)
            one = some[0]
            gap = _gap(by_seed, whole) if one.how != "all" else None
            chance = arms.get((one.by, "random", one.budget), []) if one.how == "reduced" else []
            control = _gap(by_seed, by_seed_of(chance, self.metric))
            folds = [
                float(np.mean([one.scores[self.metric] for one in some if one.fold == fold]))
                for fold in sorted({one.fold for one in some})
            ]
            found.append(Row(tuple(some), mean_interval(list(by_seed.values())), gap, control, tuple(folds)))
        return found

    def save(self, path: Path) -> None:
        """Write `results.json`, whole or not at all."""
        files.write(path, json.dumps(sealed(asdict(self)), indent=1) + "\n")

    @classmethod
    def read(cls, path: Path) -> "Proof":
        """Read `results.json`.

        Raises:
            MedclError: it is not one.
        """
        try:
            found = read_json(path, "evaluate the reduction again")
            return cls(**{**found, "cells": tuple(Cell(**one) for one in found["cells"])})
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise MedclError(f"{path}: no results of `medcl reduce --evaluate`") from error

    def __str__(self) -> str:
        lines = [self.headline, ""]
        table = [self.heading, *(self.words(row) for row in self.rows())]
        widths = [max(len(cell) for cell in column) for column in zip(*table, strict=True)]
        for row in table:
            cells = [
                cell.ljust(width) if i < 2 else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            lines.append("  ".join(cells).rstrip())
        return "\n".join(lines)

    @property
    def metric_name(self) -> str:
        """As it is written."""
        return METRICS.get(self.metric, self.metric)

    @property
    def heading(self) -> tuple[str, ...]:
        """Of the table."""
        name = self.metric_name
        return (
            "trained on",
            "same",
            "units",
            "steps",
            "seconds",
            f"{name} [95% over seeds]",
            "minus all",
            "minus random",
            "folds",
        )

    def words(self, row: Row) -> tuple[str, ...]:
        """A row of the table."""
        gap = NOTHING if row.gap is None else _interval(row.gap, signed=True)
        trained = row.first.how != UNTRAINED
        return (
            row.name,
            row.first.budget or NOTHING,
            f"{count(round(row.units))} ({row.share:.0%})" if trained else NOTHING,
            count(round(row.steps)) if trained else NOTHING,
            number(row.seconds, digits=1) if trained else NOTHING,
            _interval(row.quality),
            gap,
            NOTHING if row.control is None else _interval(row.control, signed=True),
            " ".join(number(one, digits=3) for one in row.folds),
        )

    @property
    def headline(self) -> str:
        """What was found, in a sentence that claims no more than its interval."""
        told = []
        rows = self.rows()
        for row in rows:
            if row.first.how != "reduced" or row.first.budget != "epochs" or row.gap is None:
                continue
            gap = row.gap
            told.append(
                f"{row.name}: {row.share:.0%} of the units and {number(row.seconds, digits=0)} instead of "
                f"{number(_seconds_of_all(rows), digits=0)} seconds change the {self.metric_name} by "
                f"{_interval(gap, signed=True)}{_verdict(gap)}"
            )
        return "; ".join(told) + "." if told else "No reduction was tested."


def by_seed_of(cells: Sequence[Cell], metric: str) -> dict[int, float]:
    """Mean over folds of each seed."""
    seeds = sorted({one.seed for one in cells})
    return {seed: float(np.mean([one.scores[metric] for one in cells if one.seed == seed])) for seed in seeds}


def _gap(values: dict[int, float], others: dict[int, float]) -> Interval | None:
    """The paired difference over the seeds that both have; None where there is none."""
    both = [seed for seed in values if seed in others]
    return paired_interval([values[seed] for seed in both], [others[seed] for seed in both]) if both else None


def _seconds_of_all(rows: Sequence[Row]) -> float:
    return next((row.seconds for row in rows if row.first.how == "all"), float("nan"))


def _interval(one: Interval, *, signed: bool = False) -> str:
    return f"{number(one.mean, digits=3, signed=signed)} {bounds(one.low, one.high, digits=3)}".rstrip()


def _verdict(gap: Interval) -> str:
    if np.isnan(gap.low):
        return ", of one seed, so nothing is shown"
    return "" if gap.low > 0 or gap.high < 0 else ", which includes zero: no difference is shown"
