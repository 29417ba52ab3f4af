"""The folded parts of the page: calibration, confusion, learning curves, segmented slices, sizes and notes."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from medcl.evaluate import model_figures
from medcl.evaluate.results import Fraction, Results, Split
from medcl.evaluate.results_tables import CalibrationCurve, Confusion
from medcl.evaluate.styles import Style
from medcl.evaluate.wording import arm_name, headline_protocol, p_value, protocol_name
from medcl.show.page import Figure
from medcl.wording import NOTHING, bounds, count

CLASSES_WITH_A_CHART = 12


@dataclass(frozen=True)
class Charts:
    """The charts of one choice; `items` are (class, chart)."""

    name: str
    items: tuple[tuple[str, str], ...]
    left_out: int


@dataclass(frozen=True)
class ConfusionCell:
    """A cell of a confusion table: records, their share among those of the true class, and its interval."""

    records: str
    percent: str
    interval: str
    share: float


@dataclass(frozen=True)
class Matrix:
    """A confusion table; `rows` are (true class, cells)."""

    arm: str
    classes: tuple[str, ...]
    rows: tuple[tuple[str, tuple[ConfusionCell, ...]], ...]


@dataclass(frozen=True)
class ShownVolume:
    """One test volume, in one slice.

    Args:
        title: such as `Worst`.
        panels: (caption, image as a data URI).
        about: record and plane, in words.
        sides: letters at the left and the right edge: R and L, or A and P.
        bar: millimetres of the scale bar.
        share: its length in shares of the width of the image.
    """

    title: str
    panels: tuple[tuple[str, str], ...]
    about: str = ""
    sides: tuple[str, str] = ("", "")
    bar: float = 0.0
    share: float = 0.0


@dataclass(frozen=True)
class SegmentImages:
    """The rows, and the structures with the colours in which they are drawn, as CSS."""

    rows: tuple[ShownVolume, ...] = ()
    colours: tuple[tuple[str, str], ...] = ()


def scale_bar(width: float) -> tuple[float, float]:
    """A round length of about a quarter of an image's width in millimetres, and its share of the width."""
    size = 10.0 ** math.floor(math.log10(width / 4))
    length = max(step * size for step in (1, 2, 5) if step * size <= width / 4)
    return length, length / width


def calibrations(results: Results, styles: Mapping[str, Style], charts: dict[str, Figure]) -> tuple[list[Charts], int]:
    """The charts by protocol and fraction, and the number of the choice that is shown first."""
    groups: dict[tuple[str, str], dict[str, list[CalibrationCurve]]] = {}
    for one in results.calibration:
        groups.setdefault((one.protocol, one.label), {}).setdefault(one.class_name, []).append(one)
    unit = (results.target.unit or "value") if results.target.kind == "regression" else ""
    shown, chosen = [], 0
    for i, ((protocol, label), by_class) in enumerate(groups.items()):
        limits = model_figures.calibration_limits([c for some in by_class.values() for c in some], values=bool(unit))
        items = []
        for j, (name, curves) in enumerate(list(by_class.items())[:CLASSES_WITH_A_CHART]):
            named = [(arm_name(protocol, results.arm(one.arm)), styles[one.arm], one) for one in curves]
            charts[f"calibration-{i}-{j}"] = model_figures.calibration(named, limits, unit)
            items.append((name or results.target.name, f"calibration-{i}-{j}"))
        if (protocol, label) == (headline_protocol(results), results.fractions[-1].label):
            chosen = i
        shown.append(Charts(_choice_name(protocol, label), tuple(items), len(by_class) - len(items)))
    return shown, chosen


def survivals(results: Results, styles: Mapping[str, Style], charts: dict[str, Figure]) -> list[tuple[str, str, str]]:
    """The charts of halves by predicted risk: (model, chart, p of the log-rank test)."""
    items = []
    for i, one in enumerate(results.survival):
        charts[f"survival-{i}"] = model_figures.survival(one, styles[one.arm], results.target.unit)
        named = f"{arm_name(one.protocol, results.arm(one.arm))}, {protocol_name(one.protocol)}"
        items.append((named, f"survival-{i}", p_value(one.p)))
    return items


def learning_charts(results: Results, styles: Mapping[str, Style], charts: dict[str, Figure]) -> list[tuple[str, str]]:
    """The learning curves of each fraction: (fraction, chart)."""
    items = []
    levels = {one.label: one.level for one in results.speed}
    for i, label in enumerate(dict.fromkeys(one.label for one in results.learning)):
        arms = []
        for arm in results.arms:
            curves = [one for one in results.learning if (one.arm, one.label) == (arm.name, label)]
            if curves:
                arms.append((arm_name("finetune", arm), styles[arm.name], curves))
        charts[f"learning-{i}"] = model_figures.learning(arms, levels.get(label, math.nan))
        items.append((label, f"learning-{i}"))
    return items


def _choice_name(protocol: str, label: str) -> str:
    return f"{protocol_name(protocol)}, {label}"


def confusions(results: Results) -> list[tuple[str, list[tuple[str, list[Matrix]]]]]:
    """The tables by protocol and fraction, there by class, the arms side by side."""
    groups: dict[str, dict[str, list[Matrix]]] = {}
    for one in results.confusion:
        by_class = groups.setdefault(_choice_name(one.protocol, one.label), {})
        by_class.setdefault(one.class_name, []).append(_matrix(results, one))
    return [(name, list(by_class.items())) for name, by_class in groups.items()]


def _matrix(results: Results, one: Confusion) -> Matrix:
    rows = []
    for i, (name, values) in enumerate(zip(one.classes, one.matrix, strict=True)):
        total, cells = sum(values), []
        for j, value in enumerate(values):
            share = value / total if total else 0.0
            low, high = (one.low[i][j], one.high[i][j]) if one.low else (math.nan, math.nan)
            ends = bounds(100 * low / total, 100 * high / total, digits=0) if total else ""
            cells.append(ConfusionCell(count(value), f"{share:.0%}" if total else NOTHING, ends, round(share, 4)))
        rows.append((name, tuple(cells)))
    return Matrix(arm_name(one.protocol, results.arm(one.arm)), one.classes, tuple(rows))


def sizes(results: Results) -> list[tuple[str, list[str]]]:
    """Rows of the table of sizes: (name, its number in each split and fraction)."""
    held: list[Split | Fraction] = [*results.splits.values(), *results.fractions]
    rows = {"patients": [count(one.patients) for one in held]}
    rows.setdefault(results.items, [count(one.records) for one in held])
    return [*rows.items()] + [
        (name, [count(one.per_class.get(name, math.nan)) for one in held])
        for name in dict.fromkeys([*results.target.classes, *(name for one in held for name in one.per_class)])
        if any(name in one.per_class for one in held)
    ]


def own_notes(results: Results) -> list[str]:
    """Notes that follow from the numbers, in addition to those of the evaluation."""
    notes = []
    for one in results.fractions:
        missing = [name for name in results.target.classes if one.per_class and not one.per_class.get(name, 0)]
        if one.raised:
            held = f"{count(one.patients)} patients"
            if results.items != "patients":
                held += f" with {count(one.records)} {results.items}"
            reason = "fewer do not have every class often enough" if one.per_class else "fewer are too few to train on"
            notes.append(f"The label fraction {one.label} was raised to {held}: {reason}.")
        if missing:
            notes.append(f"No record of the label fraction {one.label} has {', '.join(missing)}.")
    return notes
