"""The figures of the pages, as plotly figures in plain dicts; the page draws them in its own colours.

A colour is named as a CSS variable (`var(--pretrained)`), which the page replaces by its value, so that one figure
serves the light and the dark scheme. Text that comes from data is escaped here, because plotly reads a part of HTML in
labels.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, TypeAlias

import numpy as np

from medcl.evaluate.results import CalibrationCurve, Estimate, Fraction, Results
from medcl.evaluate.segment_results import SegmentCell
from medcl.evaluate.wording import estimate, init_name
from medcl.show.page import Figure
from medcl.wording import bounds, count, number

Range: TypeAlias = tuple[float, float]

INITS = (("pretrained", "var(--pretrained)", "circle"), ("random", "var(--scratch)", "diamond"))
UNSEEN = "rgba(0,0,0,0)"
DOTTED = {"color": "var(--muted)", "width": 1, "dash": "dot"}


@dataclass(frozen=True)
class Series:
    """One line of a label-efficiency curve: its colour is a CSS variable, symbol and dash are those of plotly.

    The rows are an estimate a fraction, in the order of the axis, None where nothing was measured; the repeats are the
    single scores of each fraction, drawn as faint dots.
    """

    name: str
    colour: str
    symbol: str
    rows: Sequence[Estimate | None]
    repeats: Sequence[Sequence[float]] = ()
    dash: str = "solid"


def series_of(results: Results, protocol: str, metric: str) -> list[Series]:
    """The pretrained and the random line of a protocol."""
    lines = []
    for init, colour, symbol in INITS:
        rows = [results.find(protocol, init, f.label, metric) for f in results.fractions]
        scores = [results.repeats(protocol, init, f.label) for f in results.fractions]
        values = [[s.metrics.get(metric, math.nan) for s in some] for some in scores]
        lines.append(Series(init_name(protocol, init), colour, symbol, rows, values))
    return lines


def value_range(lines: Sequence[Series], *, with_zero: bool = False) -> Range | None:
    """The range of an axis that holds every interval and every repeat with some air; None where there is no number."""
    rows = [row for line in lines for row in line.rows if row]
    values = [v for r in rows for v in (r.mean, r.low, r.high, r.patients_low, r.patients_high)]
    values += [v for line in lines for some in line.repeats for v in some]
    finite = [v for v in values if math.isfinite(v)] + [0.0] * with_zero
    if not finite or (with_zero and len(finite) == 1):
        return None
    low, high = min(finite), max(finite)
    air = 0.06 * (high - low) or 0.05
    return low - air, high + air


def curve(
    fractions: Sequence[Fraction],
    lines: Sequence[Series],
    gaps: Sequence[Series],
    top: Range | None,
    bottom: Range | None,
) -> Figure:
    """A label-efficiency curve over the number of labelled patients, and below it the paired differences.

    Of a difference, a thick faint bar is the interval over test patients, a thin one that over repeats. The axes have
    these ranges, so that panels side by side compare.
    """
    patients = np.array([max(f.patients, 1) for f in fractions], dtype=float)
    decades = math.log10(patients.max() / patients.min()) if len(patients) else 0.0
    air = max(0.09 * decades, 0.12)
    places = [_aside(patients, i, len(lines)) for i in range(len(lines))]
    data = [trace for line, x in zip(lines, places, strict=True) for trace in _line(fractions, x, line)]
    places = [_aside(patients, i, len(gaps)) for i in range(len(gaps))]
    data += [trace for gap, x in zip(gaps, places, strict=True) for trace in _gap(fractions, x, gap)]
    ticks, words = _patient_ticks(fractions, patients, decades)
    layout = {
        "height": 460,
        "margin": {"l": 56, "r": 12, "t": 10, "b": 62},
        "hovermode": "closest",
        "xaxis": {
            "type": "log",
            "range": [math.log10(patients.min()) - air, math.log10(patients.max()) + air],
            "tickvals": ticks,
            "ticktext": words,
            "tickangle": 0,
            "anchor": "y2",
            "title": {"text": "labelled training patients", "standoff": 8},
            "showgrid": False,
        },
        "yaxis": {"domain": [0.42, 1], **({"range": list(top)} if top else {})},
        "yaxis2": {
            "domain": [0, 0.33],
            "title": {"text": "difference", "standoff": 4},
            **({"range": list(bottom)} if bottom else {}),
        },
        "shapes": [_rule(0, "y2")],
    }
    return {"data": data, "layout": layout}


def calibration(curves: Sequence[CalibrationCurve], limits: Range) -> Figure:
    """Observed against predicted with the diagonal, and below it the number of records in each bin."""
    low, high = limits
    data: list[Figure] = []
    for init, colour, symbol in INITS:
        for one in curves:
            if one.init != init:
                continue
            name = init_name(one.protocol, init)
            hover = [
                f"{name}<br>predicted {number(p)}, observed {number(o)}<br>{count(n)} records"
                for p, o, n in zip(one.predicted, one.observed, one.count, strict=True)
            ]
            common = {"x": list(one.predicted), "hovertext": hover, "hoverinfo": "text"}
            mark = {"color": colour, "size": 7, "symbol": symbol}
            stroke = {"color": colour, "width": 2}
            line = {"type": "scatter", "mode": "lines+markers", "marker": mark, "line": stroke}
            data.append({**line, "y": _numbers(one.observed), **common})
            width = 0.014 * (high - low)
            place = {"width": width, "offset": -width if init == "pretrained" else 0, "yaxis": "y2"}
            data.append({"type": "bar", "y": list(one.count), "marker": {"color": colour}, **place, **common})
    diagonal = {"type": "line", "x0": low, "y0": low, "x1": high, "y1": high, "line": DOTTED}
    layout = {
        "height": 300,
        "margin": {"l": 46, "r": 8, "t": 6, "b": 40},
        "hovermode": "closest",
        "barmode": "overlay",
        "xaxis": {"range": [low, high], "anchor": "y2", "title": {"text": "predicted", "standoff": 6}, "nticks": 6},
        "yaxis": {"domain": [0.3, 1], "range": [low, high], "title": {"text": "observed", "standoff": 4}, "nticks": 6},
        "yaxis2": {"domain": [0, 0.19], "title": {"text": "n", "standoff": 4}, "nticks": 3, "rangemode": "tozero"},
        "shapes": [diagonal],
    }
    return {"data": data, "layout": layout}


def calibration_limits(curves: Sequence[CalibrationCurve], *, regression: bool) -> Range:
    """The axes of calibration figures: probabilities from 0 to 1, values of a regression target over what occurs."""
    values = [v for one in curves for v in (*one.predicted, *one.observed) if math.isfinite(v)]
    if not regression or not values:
        return -0.03, 1.03
    air = 0.05 * (max(values) - min(values)) or 0.5
    return min(values) - air, max(values) + air


def _line(fractions: Sequence[Fraction], x: Any, line: Series) -> list[Figure]:
    mark = {"color": line.colour, "size": 9, "symbol": line.symbol}
    stroke = {"color": line.colour, "width": 2.25, "dash": line.dash}
    means = {
        "type": "scatter",
        "mode": "lines+markers",
        "x": list(x),
        "y": _numbers(row.mean if row else math.nan for row in line.rows),
        "error_y": _bars(line.rows, line.colour, thickness=1.75),
        "marker": mark,
        "line": stroke,
        "hovertext": _hover(fractions, line),
        "hoverinfo": "text",
    }
    dots = [(place, v) for place, some in zip(x, line.repeats, strict=False) for v in some if math.isfinite(v)]
    if len(dots) <= len(fractions):
        return [means]
    faint = {"color": line.colour, "size": 4, "opacity": 0.28}
    single = {"type": "scatter", "mode": "markers", "marker": faint, "hoverinfo": "skip"}
    return [{**single, "x": [place for place, _ in dots], "y": [v for _, v in dots]}, means]


def _gap(fractions: Sequence[Fraction], x: Any, gap: Series) -> list[Figure]:
    # A filled marker: the interval over repeats excludes zero.
    fill = [gap.colour if row is not None and row.excludes_zero else "var(--page)" for row in gap.rows]
    mark = {"color": fill, "size": 9, "symbol": gap.symbol, "line": {"color": gap.colour, "width": 2}}
    means = _numbers(row.mean if row else math.nan for row in gap.rows)
    common = {"type": "scatter", "x": list(x), "y": means, "yaxis": "y2"}
    wide = {
        **common,
        "mode": "markers",
        "marker": {"color": UNSEEN, "size": 1},
        "opacity": 0.3,
        "error_y": _bars(gap.rows, gap.colour, thickness=7, patients=True),
        "hoverinfo": "skip",
    }
    thin = {
        **common,
        "mode": "markers",
        "marker": mark,
        "error_y": _bars(gap.rows, gap.colour, thickness=1.75),
        "hovertext": _hover(fractions, gap, signed=True),
        "hoverinfo": "text",
    }
    return [wide, thin]


def _bars(rows: Sequence[Estimate | None], colour: str, *, thickness: float, patients: bool = False) -> Figure:
    up, down = [], []
    for row in rows:
        if row is None:
            up.append(math.nan)
            down.append(math.nan)
            continue
        low, high = (row.patients_low, row.patients_high) if patients else (row.low, row.high)
        up.append(high - row.mean)
        down.append(row.mean - low)
    return {
        "type": "data",
        "symmetric": False,
        "array": _numbers(up),
        "arrayminus": _numbers(down),
        "color": colour,
        "thickness": thickness,
        "width": 0 if patients else 4,
    }


def _hover(fractions: Sequence[Fraction], line: Series, *, signed: bool = False) -> list[str]:
    texts = []
    for fraction, row in zip(fractions, line.rows, strict=True):
        over = bounds(row.patients_low, row.patients_high) if row else ""
        texts.append(
            f"{escape(line.name)}, {escape(fraction.label)} ({count(fraction.patients)} patients)"
            f"<br>{estimate(row, signed=signed)}" + (f"<br>over test patients {over}" if over else "")
        )
    return texts


def _patient_ticks(fractions: Sequence[Fraction], patients: Any, decades: float) -> tuple[list[float], list[str]]:
    """Number of patients over the fraction's label; fractions too near to be written side by side share a tick."""
    groups: list[list[int]] = []
    for i in np.argsort(patients, kind="stable"):
        near = groups and math.log10(patients[i] / patients[groups[-1][0]]) <= 0.11 * decades
        groups[-1].append(int(i)) if near else groups.append([int(i)])
    ticks = [float(np.exp(np.log(patients[group]).mean())) for group in groups]
    words = []
    for group in groups:
        held = dict.fromkeys(count(fractions[i].patients) for i in group)
        asked = [fractions[i].label for i in group if fractions[i].label.endswith("%")]
        words.append(", ".join(held) + (f"<br>{escape(', '.join(asked))}" if asked else ""))
    return ticks, words


def _aside(patients: Any, i: int, n: int) -> Any:
    """The places of line i of n, moved aside to keep intervals apart, yet never into those of the next fraction."""
    at = np.unique(np.log10(patients))
    spread = 0.018 * max(at[-1] - at[0], 0.8) * (n - 1)
    if len(at) > 1:
        spread = min(spread, 0.7 * np.diff(at).min())
    return patients * 10 ** (spread * (i / (n - 1) - 0.5)) if n > 1 else patients


def _rule(y: float, axis: str) -> Figure:
    return {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "yref": axis, "y0": y, "y1": y, "line": DOTTED}


def _numbers(values: Any) -> list[float | None]:
    return [float(v) if math.isfinite(v) else None for v in values]


def learning(cells: Sequence[SegmentCell], level: float) -> Figure:
    """The validation Dice of cells of one fraction over the iterations: the mean, and each repeat as a faint line.

    The final Dice of training from random weights is a dotted line.
    """
    data: list[Figure] = []
    for init, colour, _ in INITS:
        curves = [cell.curve for cell in cells if cell.init == init and cell.curve.iterations]
        if not curves:
            continue
        line = {"type": "scatter", "mode": "lines", "line": {"color": colour, "width": 1}}
        for curve in curves if len(curves) > 1 else ():
            faint = {"x": list(curve.iterations), "y": list(curve.dice), "opacity": 0.22, "hoverinfo": "skip"}
            data.append({**line, **faint})
        iterations, mean = curves[0].iterations, np.mean([curve.dice for curve in curves], axis=0)
        name = init_name("finetune", init)
        hover = [f"{name}<br>{i} iterations: {number(float(v))}" for i, v in zip(iterations, mean, strict=True)]
        strong = {"line": {"color": colour, "width": 2.25}, "hovertext": hover, "hoverinfo": "text"}
        data.append({**line, **strong, "x": list(iterations), "y": mean.tolist()})
    end = max((cell.curve.iterations[-1] for cell in cells if cell.curve.iterations), default=1)
    layout = {
        "height": 300,
        "margin": {"l": 46, "r": 8, "t": 6, "b": 40},
        "hovermode": "closest",
        "xaxis": {"range": [0, end], "title": {"text": "iterations", "standoff": 6}, "showgrid": False},
        "yaxis": {"title": {"text": "validation Dice", "standoff": 4}, "nticks": 6},
        "shapes": [{"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": level, "y1": level, "line": DOTTED}],
    }
    return {"data": data, "layout": layout}
