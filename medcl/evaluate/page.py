"""The page of an experiment: the finding, its curves and tables, and the procedure; of one evaluation or of several."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

from medcl.evaluate import figures
from medcl.evaluate.page_parts import (
    SegmentImages,
    calibrations,
    confusions,
    learning_charts,
    own_notes,
    sizes,
    survivals,
)
from medcl.evaluate.results import Difference, Estimate, Results
from medcl.evaluate.styles import Style, styles_of
from medcl.evaluate.wording import (
    arm_name,
    baseline_clause,
    deterministic,
    estimate,
    finding,
    gap,
    headline_fraction,
    headline_protocol,
    interval_words,
    main_metric,
    metric_name,
    other_repeats,
    own_protocol,
    p_value,
    protocol_name,
    repeats_bounds,
    repeats_words,
)
from medcl.show import page
from medcl.stats.metrics import LOWER_IS_BETTER
from medcl.wording import NOTHING, count, number

if TYPE_CHECKING:
    # It loads torch, which a page of results that are there does not need.
    from medcl.evaluate.heat_strips import HeatStrips

DOTS = 3
"""Arms with single repeats as dots, at most: of more they would hide the means."""
ASIDES = 3
"""Protocols whose finding is told in a sentence, at most."""


@dataclass(frozen=True)
class Cell:
    """An estimate in words: mean and main interval, the interval over repeats, and the p-value of a difference."""

    value: str
    repeats: str = ""
    p: str = ""
    clear: bool = False


@dataclass(frozen=True)
class Row:
    """A row of a table; `style` is of the arm, a cell a column."""

    name: str
    style: Style
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Panel:
    """One protocol and metric: a chart, and the rows of the arms, of the first arm's differences, and of all others."""

    protocol: str
    chart: str
    arms: tuple[Row, ...]
    gaps: tuple[Row, ...]
    others: tuple[Row, ...]


@dataclass(frozen=True)
class Group:
    """One metric, folded unless it is a main one; `glance` is what is told of it while it is folded."""

    metric: str
    main: bool
    glance: str
    lower: bool
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class ClassTable:
    """Values by class: one protocol, metric and fraction; the rows are classes, the columns arms."""

    protocol: str
    metric: str
    label: str
    arms: tuple[tuple[str, Style], ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]


def write_page(
    results: Results,
    path: Path,
    images: SegmentImages | None = None,
    overlays: Sequence[tuple[str, str]] = (),
    strips: "Sequence[HeatStrips]" = (),
) -> None:
    """Write the page as one self-contained HTML file.

    Args:
        results: of an experiment.
        path: of the file.
        images: of segmented volumes.
        overlays: (image, overlay) as data URIs, in the order of `results.grounding`.
        strips: how much each sample of a test item counts, where that is learned.

    Raises:
        UsageError: the results have no label fraction.
    """
    page.write(path, render_page(results, images, overlays, strips))


def render_page(
    results: Results,
    images: SegmentImages | None = None,
    overlays: Sequence[tuple[str, str]] = (),
    strips: "Sequence[HeatStrips]" = (),
) -> str:
    """The page as HTML; see `write_page`."""
    charts: dict[str, page.Figure] = {}
    main, styles, many = headline_protocol(results), styles_of(results), results.procedure
    headline = finding(results, main)
    legend = [
        (" / ".join(dict.fromkeys(arm_name(p, arm) for p in results.protocols)), styles[arm.name])
        for arm in results.arms
    ]
    classes = list(_class_tables(results, styles))
    return page.render(
        "evaluate/evaluation.html",
        figures=charts,
        results=results,
        headline=headline,
        main=protocol_name(main),
        asides=[f"{protocol_name(p)}: {finding(results, p)}" for p in results.protocols[:ASIDES] if p != main],
        clause=baseline_clause(results),
        test=results.splits["test"],
        legend=legend,
        groups=list(_groups(results, styles, charts)),
        classes=classes,
        class_labels=[f.label for f in results.fractions if any(t.label == f.label for t in classes)],
        calibration=calibrations(results, styles, charts),
        confusion=confusions(results),
        survival=survivals(results, styles, charts),
        images=images or SegmentImages(),
        strips=strips,
        grounding=list(zip(results.grounding, overlays, strict=False)),
        protocol_name=protocol_name,
        learning=learning_charts(results, styles, charts),
        facts=list(dict.fromkeys(name for arm in results.arms for name in arm.facts)),
        sizes=sizes(results),
        notes=[*results.notes, *own_notes(results), *other_repeats(results), *deterministic(results)],
        created=page.moment(results.created),
        config=page.settings(results.config),
        over=interval_words(many),
        interval=bool(many.bootstrap) or many.folds > 1 or many.repeats > 1,
        both=bool(many.bootstrap) and many.repeats > 1,
        arm_name=lambda arm: arm_name(main, arm),
        number=number,
        count=count,
        repeats_words=repeats_words,
    )


def _groups(results: Results, styles: Mapping[str, Style], charts: dict[str, page.Figure]) -> Iterator[Group]:
    main = {main_metric(results, protocol) for protocol in results.protocols}
    for i, metric in enumerate(
        m for m in results.metrics if any(r.metric == m and not r.class_name for r in results.summary)
    ):
        name = metric_name(metric, results.target)
        lines = {p: _lines(results, p, metric, styles) for p in results.protocols}
        gaps = {p: _gaps(results, p, metric, styles) for p in results.protocols}
        # One range for all protocols of a metric, so that panels side by side compare.
        every = [figures.value_range([one for some in lines.values() for one in some])]
        every.append(figures.value_range([one for some in gaps.values() for one in some], with_zero=True))
        draw = figures.curve if len(results.fractions) > 1 else figures.forest
        panels = []
        shown = [p for p in results.protocols if lines[p]]
        for j, protocol in enumerate(shown):
            chart = f"curve-{i}-{j}"
            charts[chart] = draw(results.fractions, lines[protocol], gaps[protocol], name, every)
            arms, first, others = _rows(results, protocol, metric, styles)
            panels.append(Panel(protocol_name(protocol), chart, arms, first, others))
        yield Group(name, metric in main, _glance(results, metric, shown), metric in LOWER_IS_BETTER, tuple(panels))


def _lines(results: Results, protocol: str, metric: str, styles: Mapping[str, Style]) -> list[figures.Series]:
    lines = []
    for arm in results.arms:
        own = own_protocol(results, protocol, arm.name)
        rows = [results.find(own, arm.name, f.label, metric) for f in results.fractions]
        single = figures.singles(results, own, arm.name, metric) if len(results.arms) <= DOTS else []
        if any(rows):
            lines.append(figures.Series(arm_name(protocol, arm), styles[arm.name], rows, single))
    return lines


def _gaps(results: Results, protocol: str, metric: str, styles: Mapping[str, Style]) -> list[figures.Series]:
    """The differences of the first arm from each other one, in the colour of the other."""
    first, found = results.arms[0].name, []
    for arm in results.arms[1:]:
        rows = [gap(results, protocol, first, arm.name, f.label, metric) for f in results.fractions]
        style = styles[arm.name] if len(results.arms) > 2 else replace(styles[first], colour="var(--difference)")
        if any(rows):
            found.append(figures.Series(f"minus {arm_name(protocol, arm)}", style, rows))
    return found


def _rows(
    results: Results, protocol: str, metric: str, styles: Mapping[str, Style]
) -> tuple[tuple[Row, ...], tuple[Row, ...], tuple[Row, ...]]:
    arms, gaps, first = [], [], results.arms[0].name
    for arm in results.arms:
        own = own_protocol(results, protocol, arm.name)
        cells = [_cell(results.find(own, arm.name, f.label, metric)) for f in results.fractions]
        if any(cell.value != NOTHING for cell in cells) or arm.name == first:
            arms.append(Row(arm_name(protocol, arm), styles[arm.name], tuple(cells)))
    for one, other in combinations(results.arms, 2):
        rows = [gap(results, protocol, one.name, other.name, f.label, metric) for f in results.fractions]
        if any(rows):
            name = f"minus {arm_name(protocol, other)}"
            name = name if one.name == first else f"{arm_name(protocol, one)} {name}"
            gaps.append((one.name == first, Row(name, styles[other.name], tuple(map(_cell, rows)))))
    return tuple(arms), tuple(row for own, row in gaps if own), tuple(row for own, row in gaps if not own)


def _cell(row: Estimate | None) -> Cell:
    """A difference is signed, and clear where its main interval excludes zero."""
    over = repeats_bounds(row)
    over = "" if row is None or over == NOTHING or (row.repeats_low, row.repeats_high) == (row.low, row.high) else over
    if not isinstance(row, Difference):
        return Cell(estimate(row), over)
    return Cell(estimate(row, signed=True), over, p_value(row.p_holm), row.excludes_zero)


def _glance(results: Results, metric: str, protocols: Sequence[str]) -> str:
    """The means of the first two arms at the headline's fraction, of the headline's protocol if it has the metric."""
    main, label = headline_protocol(results), headline_fraction(results).label
    protocol = main if main in protocols else protocols[0]
    told = []
    for arm in results.arms[:2]:
        row = results.find(own_protocol(results, protocol, arm.name), arm.name, label, metric)
        told += [f"{arm_name(protocol, arm)} {number(row.mean)}"] if row and not math.isnan(row.mean) else []
    where = label if protocol == main and results.target.kind != "retrieval" else protocol_name(protocol)
    return f"{', '.join(told)} ({where})" if told else ""


def _class_tables(results: Results, styles: Mapping[str, Style]) -> Iterator[ClassTable]:
    """A class or a metric that no score has is left out."""
    rows = {(r.protocol, r.arm, r.label, r.metric, r.class_name): r for r in results.summary if r.class_name}
    every = dict.fromkeys([*results.target.classes, *(key[4] for key in rows)])
    for fraction in results.fractions:
        for protocol in results.protocols:
            for metric in dict.fromkeys(key[3] for key in rows):
                keys = {
                    arm.name: (own_protocol(results, protocol, arm.name), arm.name, fraction.label, metric)
                    for arm in results.arms
                }
                names = [name for name in every if any((*key, name) in rows for key in keys.values())]
                arms = [arm for arm in results.arms if any((*keys[arm.name], name) in rows for name in names)]
                if arms:
                    yield ClassTable(
                        protocol_name(protocol),
                        metric_name(metric, results.target).removeprefix("macro-"),
                        fraction.label,
                        tuple((arm_name(protocol, arm), styles[arm.name]) for arm in arms),
                        tuple((n, tuple(_cell(rows.get((*keys[a.name], n))) for a in arms)) for n in names),
                    )
