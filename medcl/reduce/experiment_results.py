"""Results of the experiment of a reduction: quality and time of every arm, as a table, a file and a page."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path

import numpy as np

from medcl import files
from medcl.documents import read_json, sealed
from medcl.errors import MedclError
from medcl.show import page
from medcl.show.page import Figure
from medcl.stats.intervals import Interval, mean_interval, paired_interval
from medcl.wording import METRICS, NOTHING, bounds, count, number

UNTRAINED = "random weights"


@dataclass(frozen=True)
class ArmResult:
    """One pretraining of one seed, tested in one fold.

    Args:
        by: the reduction, empty where all units were trained on.
        how: `all`, `reduced`, `random` (as many units at random), or `random weights` (not trained).
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
class ArmSummary:
    """An arm over seeds and folds, named by one of its results; numbers are means.

    Args:
        arm: a result that names it.
        units: trained on.
        share: of the units that there are.
        steps: taken.
        seconds: of a pretraining.
        by_seed: over folds of each seed.
        quality: mean and 95 % interval of `by_seed`.
        gap: the same of the difference to training on all units, seed by seed; None for that arm itself.
        control: of a reduced arm the same of the difference to as many random units, with the same budget.
        folds: over seeds of each fold.
    """

    arm: ArmResult
    units: float
    share: float
    steps: float
    seconds: float
    by_seed: dict[int, float]
    quality: Interval
    gap: Interval | None
    control: Interval | None
    folds: tuple[float, ...]

    @property
    def name(self) -> str:
        """What was trained on."""
        words = {"all": "all", "reduced": self.arm.by, "random": f"random, as many as {self.arm.by}"}
        return words.get(self.arm.how, self.arm.how)


@dataclass(frozen=True)
class ExperimentResults:
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
    cells: tuple[ArmResult, ...]

    def rows(self) -> list[ArmSummary]:
        """The arms: all units, each reduction with its controls, random weights; in the order of the cells."""
        arms: dict[tuple[str, str, str], list[ArmResult]] = {}
        for one in self.cells:
            arms.setdefault((one.by, one.how, one.budget), []).append(one)
        by_seed = {key: _by_seed(some, self.metric) for key, some in arms.items()}
        whole = next((by_seed[key] for key in arms if key[1] == "all"), {})
        found = []
        for (by, how, budget), some in sorted(arms.items(), key=lambda item: item[0][1] == UNTRAINED):
            own = by_seed[by, how, budget]
            chance = by_seed.get((by, "random", budget), {}) if how == "reduced" else {}
            found.append(
                ArmSummary(
                    some[0],
                    units=float(np.mean([one.units for one in some])),
                    share=float(np.mean([one.units / one.of for one in some])),
                    steps=float(np.mean([one.steps for one in some])),
                    seconds=float(np.mean([one.seconds for one in some])),
                    by_seed=own,
                    quality=mean_interval(list(own.values())),
                    gap=_gap(own, whole) if how != "all" else None,
                    control=_gap(own, chance),
                    folds=tuple(
                        float(np.mean([one.scores[self.metric] for one in some if one.fold == fold]))
                        for fold in sorted({one.fold for one in some})
                    ),
                )
            )
        return found

    def save(self, path: Path) -> None:
        """Write `results.json`, whole or not at all."""
        files.write(path, json.dumps(sealed(asdict(self)), indent=1) + "\n")

    @classmethod
    def read(cls, path: Path) -> "ExperimentResults":
        """Read `results.json`.

        Raises:
            MedclError: it is not one.
        """
        try:
            found = read_json(path, "evaluate the reduction again")
            return cls(**{**found, "cells": tuple(ArmResult(**one) for one in found["cells"])})
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
        quality = f"{self.metric_name} [95% CI over seeds]"
        return ("trained on", "same", "units", "steps", "seconds", quality, "minus all", "minus random", "folds")

    def words(self, row: ArmSummary) -> tuple[str, ...]:
        """A row of the table."""
        gap = NOTHING if row.gap is None else _interval(row.gap, signed=True)
        trained = row.arm.how != UNTRAINED
        return (
            row.name,
            row.arm.budget or NOTHING,
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
        rows = self.rows()
        whole = next((row.seconds for row in rows if row.arm.how == "all"), float("nan"))
        told = [
            f"{row.name}: {row.share:.0%} of the units and {number(row.seconds, digits=0)} instead of "
            f"{number(whole, digits=0)} seconds change the {self.metric_name} by "
            f"{_interval(row.gap, signed=True)}{_verdict(row.gap)}"
            for row in rows
            if row.arm.how == "reduced" and row.arm.budget == "epochs" and row.gap is not None
        ]
        return "; ".join(told) + "." if told else "No reduction was tested."


def _by_seed(cells: Sequence[ArmResult], metric: str) -> dict[int, float]:
    """Mean over folds of each seed."""
    seeds = sorted({one.seed for one in cells})
    return {seed: float(np.mean([one.scores[metric] for one in cells if one.seed == seed])) for seed in seeds}


def _gap(values: dict[int, float], others: dict[int, float]) -> Interval | None:
    """The paired difference over the seeds that both have; None where there is none."""
    both = [seed for seed in values if seed in others]
    return paired_interval([values[seed] for seed in both], [others[seed] for seed in both]) if both else None


def _interval(one: Interval, *, signed: bool = False) -> str:
    return f"{number(one.mean, digits=3, signed=signed)} {bounds(one.low, one.high, digits=3)}".rstrip()


def _verdict(gap: Interval) -> str:
    if np.isnan(gap.low):
        return ", of one seed: no interval"
    return "" if gap.low > 0 or gap.high < 0 else ", an interval that includes 0: no difference is shown"


def write_page(results: ExperimentResults, path: Path) -> None:
    """Write the table and the chart as one self-contained file."""
    seeds, folds = len({one.seed for one in results.cells}), len({one.fold for one in results.cells})
    rows = results.rows()
    page.write(
        path,
        page.render(
            "reduce/experiment.html",
            {"quality": _figure(results, rows)},
            results=results,
            heading=results.heading,
            rows=[results.words(row) for row in rows],
            facts=[
                ("Target", results.target),
                ("Tested on", f"{results.what} of {results.patients} patients, {folds} fold{'s' * (folds != 1)}"),
                ("Seeds", str(seeds)),
                ("Method", results.method),
            ],
        ),
    )


def _figure(results: ExperimentResults, rows: Sequence[ArmSummary]) -> Figure:
    """Quality of each arm with its interval, best read from the top; single seeds as faint dots."""
    names = [escape(f"{row.name}{', same ' + row.arm.budget if row.arm.budget else ''}") for row in rows]
    colours = {"all": "var(--line-6)", "reduced": "var(--line-0)", "random": "var(--line-1)"}
    ink = [colours.get(row.arm.how, "var(--muted)") for row in rows]
    places = list(range(len(rows), 0, -1))
    half = [0.0 if np.isnan(row.quality.high) else row.quality.high - row.quality.mean for row in rows]
    singles = [(value, place) for row, place in zip(rows, places, strict=True) for value in row.by_seed.values()]
    data: list[Figure] = [
        {
            "type": "scatter",
            "mode": "markers",
            "x": [value for value, _ in singles],
            "y": [place for _, place in singles],
            "marker": {"size": 5, "color": "var(--muted)", "opacity": 0.45},
            "hovertemplate": "one seed: %{x:.3f}<extra></extra>",
        },
        *(
            {
                "type": "scatter",
                "mode": "markers",
                "x": [row.quality.mean],
                "y": [place],
                "error_x": {"type": "data", "array": [spread], "color": colour, "thickness": 1.5, "width": 3},
                "marker": {"size": 10, "color": colour},
                "hovertemplate": f"{name}: %{{x:.3f}}<extra></extra>",
            }
            for row, place, spread, colour, name in zip(rows, places, half, ink, names, strict=True)
        ),
    ]
    values = [value for value, _ in singles]
    # An interval of two or three seeds may be far wider than anything that was seen: the axis need not hold all of it.
    spread = max(values) - min(values)
    air = max(0.15 * spread, min(max(half), spread)) or 0.02
    layout = {
        "height": 90 + 34 * len(rows),
        "margin": {"l": 10, "r": 16, "t": 8, "b": 48},
        "xaxis": {
            "title": {"text": results.metric_name, "standoff": 6},
            "range": [min(values) - air, max(values) + air],
        },
        "yaxis": {"tickvals": places, "ticktext": names, "range": [0.4, len(rows) + 0.6]},
    }
    return {"data": data, "layout": layout}
