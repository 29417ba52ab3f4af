"""The page of one evaluation: the finding, its curves and tables, and the procedure."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medcl.evaluate import figures
from medcl.evaluate.results import CalibrationCurve, Confusion, Fraction, Results, Split
from medcl.evaluate.wording import (
    estimate,
    finding,
    headline_protocol,
    init_name,
    metric_name,
    other_repeats,
    patient_bounds,
    patients_clause,
    protocol_name,
    repeats_words,
)
from medcl.show import page
from medcl.wording import NOTHING, count, number

CLASSES_WITH_A_CHART = 12


@dataclass(frozen=True)
class CurveRow:
    """A row of the table below a curve."""

    fraction: Fraction
    pretrained: str
    random: str
    difference: str
    patients: str
    clear: bool


@dataclass(frozen=True)
class Panel:
    """A curve with its table: one protocol and metric."""

    metric: int
    protocol: str
    baseline: str
    chart: str
    rows: tuple[CurveRow, ...]


@dataclass(frozen=True)
class ClassTable:
    """Means by class: one protocol and metric; `rows` are (class, initialisation, its name, one cell a fraction)."""

    protocol: str
    metric: str
    rows: tuple[tuple[str, str, str, tuple[str, ...]], ...]


@dataclass(frozen=True)
class Charts:
    """The charts of one choice; `items` are (class, chart)."""

    name: str
    items: tuple[tuple[str, str], ...]
    left_out: int


@dataclass(frozen=True)
class ConfusionCell:
    """A cell of a confusion table: records, and their share among those of the true class."""

    records: str
    percent: str
    share: float


@dataclass(frozen=True)
class Matrix:
    """A confusion table; `rows` are (true class, cells)."""

    init_name: str
    classes: tuple[str, ...]
    rows: tuple[tuple[str, tuple[ConfusionCell, ...]], ...]


@dataclass(frozen=True)
class ShownVolume:
    """One test volume; `panels` are (caption, image as a data URI)."""

    title: str
    panels: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class SegmentImages:
    """The rows, and the structures with the colours in which they are drawn, as CSS."""

    rows: tuple[ShownVolume, ...] = ()
    colours: tuple[tuple[str, str], ...] = ()


def write_page(results: Results, path: Path, images: SegmentImages | None = None) -> None:
    """Write the page as one self-contained HTML file.

    Raises:
        UsageError: the results have no label fraction.
    """
    page.write(path, render_page(results, images))


def render_page(results: Results, images: SegmentImages | None = None) -> str:
    """The page as HTML; see `write_page`."""
    charts: dict[str, page.Figure] = {}
    main = headline_protocol(results)
    calibration = _calibration(results, charts)
    names = [one.name for one in calibration]
    largest = _choice_name(main, results.fractions[-1].label) if results.fractions else ""
    return page.render(
        "evaluate/evaluation.html",
        figures=charts,
        results=results,
        headline=finding(results, main),
        clause=patients_clause(results, main),
        main=protocol_name(main),
        others=[
            (protocol_name(p), finding(results, p), patients_clause(results, p)) for p in results.protocols if p != main
        ],
        over_patients=any(not math.isnan(row.patients_low) for row in results.differences),
        test=results.splits["test"],
        metrics=[metric_name(m, results.target) for m in results.metrics],
        panels=_panels(results, charts),
        class_tables=_class_tables(results),
        calibration=calibration,
        calibration_chosen=names.index(largest) if largest in names else max(len(names) - 1, 0),
        confusion=_confusion(results),
        images=images or SegmentImages(),
        learning=_learning(results, charts),
        number=number,
        sizes=_sizes(results),
        notes=[*results.notes, *_own_notes(results), *other_repeats(results)],
        created=page.moment(results.created),
        config=page.settings(results.config),
        count=count,
        repeats_words=repeats_words,
    )


def _panels(results: Results, charts: dict[str, page.Figure]) -> list[Panel]:
    panels = []
    for i, metric in enumerate(results.metrics):
        lines = {p: figures.series_of(results, p, metric) for p in results.protocols}
        paired = {p: [results.difference(p, f.label, metric) for f in results.fractions] for p in results.protocols}
        gaps = {p: figures.Series("difference", "var(--difference)", "circle", rows) for p, rows in paired.items()}
        # One range for all protocols of a metric, so that panels side by side compare.
        top = figures.value_range([line for both in lines.values() for line in both])
        bottom = figures.value_range(list(gaps.values()), with_zero=True)
        for j, protocol in enumerate(results.protocols):
            chart = f"curve-{i}-{j}"
            charts[chart] = figures.curve(results.fractions, lines[protocol], [gaps[protocol]], top, bottom)
            rows = tuple(_row(results, protocol, fraction, metric) for fraction in results.fractions)
            panels.append(Panel(i, protocol_name(protocol), init_name(protocol, "random"), chart, rows))
    return panels


def _row(results: Results, protocol: str, fraction: Fraction, metric: str) -> CurveRow:
    pretrained, random = (
        estimate(results.find(protocol, init, fraction.label, metric)) for init in ("pretrained", "random")
    )
    paired = results.difference(protocol, fraction.label, metric)
    clear = paired is not None and paired.excludes_zero
    return CurveRow(fraction, pretrained, random, estimate(paired, signed=True), patient_bounds(paired), clear)


def _class_tables(results: Results) -> list[ClassTable]:
    """Means over the repeats; a class or a metric that no score has is left out."""
    classes = [name for name in results.target.classes if any(name in s.per_class for s in results.scores)]
    metrics = dict.fromkeys(m for s in results.scores for values in s.per_class.values() for m in values)
    tables = []
    for protocol in results.protocols:
        for metric in metrics:
            rows = [
                (
                    name,
                    init,
                    init_name(protocol, init),
                    tuple(_class_mean(results, protocol, init, f.label, name, metric) for f in results.fractions),
                )
                for name in classes
                for init in ("pretrained", "random")
            ]
            if rows:
                name = metric_name(metric, results.target).removeprefix("macro-")
                tables.append(ClassTable(protocol_name(protocol), name, tuple(rows)))
    return tables


def _class_mean(results: Results, protocol: str, init: str, label: str, name: str, metric: str) -> str:
    values = [s.per_class.get(name, {}).get(metric, math.nan) for s in results.repeats(protocol, init, label)]
    defined = [v for v in values if not math.isnan(v)]
    return number(float(np.mean(defined))) if defined else NOTHING


def _calibration(results: Results, charts: dict[str, page.Figure]) -> list[Charts]:
    groups: dict[tuple[str, str], dict[str, list[CalibrationCurve]]] = {}
    for one in results.calibration:
        groups.setdefault((one.protocol, one.label), {}).setdefault(one.class_name, []).append(one)
    regression = results.target.kind == "regression"
    shown = []
    for i, ((protocol, label), by_class) in enumerate(groups.items()):
        limits = figures.calibration_limits([c for some in by_class.values() for c in some], regression=regression)
        items = []
        for j, (name, curves) in enumerate(list(by_class.items())[:CLASSES_WITH_A_CHART]):
            charts[f"calibration-{i}-{j}"] = figures.calibration(curves, limits)
            items.append((name or results.target.name, f"calibration-{i}-{j}"))
        shown.append(Charts(_choice_name(protocol, label), tuple(items), len(by_class) - len(items)))
    return shown


def _learning(results: Results, charts: dict[str, page.Figure]) -> list[tuple[str, str]]:
    """The learning curves of each fraction of a segmentation: (fraction, chart)."""
    items = []
    for i, speed in enumerate(results.segmentation.speed):
        cells = [cell for cell in results.segmentation.cells if cell.label == speed.label]
        charts[f"learning-{i}"] = figures.learning(cells, speed.level)
        items.append((speed.label, f"learning-{i}"))
    return items


def _choice_name(protocol: str, label: str) -> str:
    return f"{protocol_name(protocol)}, {label}"


def _confusion(results: Results) -> list[tuple[str, list[tuple[str, list[Matrix]]]]]:
    """The tables by protocol and fraction, there by class, both initialisations side by side."""
    groups: dict[str, dict[str, list[Matrix]]] = {}
    for one in results.confusion:
        by_class = groups.setdefault(_choice_name(one.protocol, one.label), {})
        by_class.setdefault(one.class_name, []).append(_matrix(one))
    return [(name, list(by_class.items())) for name, by_class in groups.items()]


def _matrix(one: Confusion) -> Matrix:
    rows = []
    for name, values in zip(one.classes, one.matrix, strict=True):
        total = sum(values)
        shares = [value / total if total else 0.0 for value in values]
        percents = [f"{share:.0%}" if total else NOTHING for share in shares]
        cells = zip(map(count, values), percents, (round(share, 4) for share in shares), strict=True)
        rows.append((name, tuple(ConfusionCell(*cell) for cell in cells)))
    return Matrix(init_name(one.protocol, one.init), one.classes, tuple(rows))


def _sizes(results: Results) -> list[tuple[str, list[str]]]:
    """Rows of the table of sizes: (name, its number in each split and fraction)."""
    held: list[Split | Fraction] = [*results.splits.values(), *results.fractions]
    rows = [("patients", [count(one.patients) for one in held]), ("records", [count(one.records) for one in held])]
    return rows + [
        (name, [count(one.per_class.get(name, math.nan)) for one in held])
        for name in results.target.classes
        if any(name in one.per_class for one in held)
    ]


def _own_notes(results: Results) -> list[str]:
    """Notes that follow from the numbers, in addition to those of the evaluation."""
    notes = []
    for one in results.fractions:
        missing = [name for name in results.target.classes if one.per_class and not one.per_class.get(name, 0)]
        if one.raised:
            held = f"{count(one.patients)} patients with {count(one.records)} records"
            reason = "fewer do not have every class often enough" if one.per_class else "fewer are too few to train on"
            notes.append(f"The label fraction {one.label} was raised to {held}: {reason}.")
        if missing:
            notes.append(f"No record of the label fraction {one.label} has {', '.join(missing)}.")
    return notes
