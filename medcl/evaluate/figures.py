"""Curves and differences of the pages, as plotly figures in plain dicts; the page draws them in its own colours.

A colour is named as a CSS variable (`var(--line-0)`), which the page replaces by its value, so that one figure serves
the light and the dark scheme. Text that comes from data is escaped here, because plotly reads a part of HTML in labels.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from textwrap import wrap
from typing import Any, TypeAlias

import numpy as np

from medcl.evaluate.results import Estimate, Fraction, Results
from medcl.evaluate.styles import Style
from medcl.evaluate.wording import estimate, fraction_name, repeats_bounds
from medcl.show.page import Figure
from medcl.wording import NOTHING, count

Range: TypeAlias = tuple[float, float]

UNSEEN = "rgba(0,0,0,0)"
DOTTED = {"color": "var(--muted)", "width": 1, "dash": "dot"}
AXIS = {"standoff": 6}
NAME = 24  # letters of a line of a row's name


@dataclass(frozen=True)
class Series:
    """An estimate a fraction, in the order of the axis, None where nothing was measured.

    Args:
        name: in words.
        style: of the arm.
        rows: the estimates.
        repeats: the single scores of each fraction, drawn as faint dots.
    """

    name: str
    style: Style
    rows: Sequence[Estimate | None]
    repeats: Sequence[Sequence[float]] = ()


def singles(results: Results, protocol: str, arm: str, metric: str) -> list[list[float]]:
    """The scores of the repeats of each fraction."""
    return [
        [s.metrics.get(metric, math.nan) for s in results.repeats(protocol, arm, f.label)] for f in results.fractions
    ]


def value_range(lines: Sequence[Series], *, with_zero: bool = False) -> Range | None:
    """The range of an axis that holds every interval and every repeat with some air; None where there is no number."""
    rows = [row for line in lines for row in line.rows if row]
    values = [v for r in rows for v in (r.mean, r.low, r.high, r.repeats_low, r.repeats_high)]
    values += [v for line in lines for some in line.repeats for v in some]
    finite = [v for v in values if math.isfinite(v)] + [0.0] * with_zero
    if not finite or (with_zero and len(finite) == 1):
        return None
    low, high = min(finite), max(finite)
    air = 0.06 * (high - low) or 0.05
    return low - air, high + air


def curve(
    fractions: Sequence[Fraction], lines: Sequence[Series], gaps: Sequence[Series], metric: str, ranges: Sequence[Any]
) -> Figure:
    """A label-efficiency curve over the number of labelled patients, and below it the paired differences.

    A thin bar is the main interval, a thick faint one that over repeats. The axes have the ranges of `value_range`, so
    that panels side by side compare.
    """
    patients = np.array([max(f.patients, 1) for f in fractions], dtype=float)
    decades = math.log10(patients.max() / patients.min())
    air = max(0.09 * decades, 0.12)
    data: list[Figure] = []
    for some, axis in ((lines, ""), (gaps, "2")):
        for i, line in enumerate(some):
            data += _traces(line, _aside(patients, i, len(some)), fractions, axis=axis)
    ticks, words = _patient_ticks(fractions, patients, decades)
    layout = {
        "height": 460 if gaps else 320,
        "margin": {"l": 56, "r": 12, "t": 10, "b": 62},
        "hovermode": "closest",
        "xaxis": {
            "type": "log",
            "range": [math.log10(patients.min()) - air, math.log10(patients.max()) + air],
            "tickvals": ticks,
            "ticktext": words,
            "tickangle": 0,
            "anchor": "y2" if gaps else "y",
            "title": {"text": "labelled training patients (number)", "standoff": 8},
            "showgrid": False,
        },
        "yaxis": {"domain": [0.42 if gaps else 0, 1], "title": {"text": escape(metric), **AXIS}, **_ranged(ranges[0])},
        "yaxis2": {"domain": [0, 0.33], "title": {"text": "difference", **AXIS}, **_ranged(ranges[1])},
        "shapes": [rule(0, "y2")] if gaps else [],
    }
    return {"data": data, "layout": layout}


def forest(
    fractions: Sequence[Fraction], lines: Sequence[Series], gaps: Sequence[Series], metric: str, ranges: Sequence[Any]
) -> Figure:
    """Of a single fraction: a row an arm, and below them a row a paired difference; intervals as of `curve`."""
    data: list[Figure] = []
    rows = len(lines) + len(gaps) + 2.5 * bool(gaps)
    layout: Figure = {"height": 36 * rows + 80, "margin": {"l": 10, "r": 16, "t": 8, "b": 48}, "hovermode": "closest"}
    split = (len(gaps) + 0.5) / rows if gaps else 0.0
    blocks = [(lines, "", metric, [split + 1.5 / rows if gaps else 0, 1]), (gaps, "2", "difference", [0, split])]
    for (some, axis, title, domain), held in zip(blocks, ranges, strict=True):
        if not some:
            continue
        places = list(range(len(some), 0, -1))
        for line, place in zip(some, places, strict=True):
            data += _traces(line, [place], fractions, axis=axis, across=True)
        names = ["<br>".join(map(escape, wrap(line.name, NAME))) for line in some]
        layout[f"xaxis{axis}"] = {
            "title": {"text": escape(title), **AXIS},
            "nticks": 5,
            "tickangle": 0,
            "anchor": f"y{axis}",
            **_ranged(held),
        }
        across = {"tickvals": places, "ticktext": names, "range": [0.4, len(some) + 0.6], "domain": domain}
        layout[f"yaxis{axis}"] = {**across, "showgrid": False, "anchor": f"x{axis}"}
    if gaps:
        zero = {"type": "line", "xref": "x2", "x0": 0, "x1": 0, "yref": "y2 domain", "y0": 0, "y1": 1, "line": DOTTED}
        layout["shapes"] = [zero]
    return {"data": data, "layout": layout}


def _traces(
    line: Series, places: Any, fractions: Sequence[Fraction], *, axis: str, across: bool = False
) -> list[Figure]:
    """The repeats as faint dots, the interval over them as thick faint bars, the means with the main one."""
    along, value = ("y", "x") if across else ("x", "y")
    style, signed = line.style, bool(axis)
    on: Figure = {"type": "scatter", "yaxis": f"y{axis}", **({"xaxis": f"x{axis}"} if across else {})}
    # Of a difference, a filled mark: its main interval excludes zero.
    fill = [
        style.colour if not signed or (row is not None and row.excludes_zero) else "var(--page)" for row in line.rows
    ]
    mark = {"color": fill, "size": 9, "symbol": style.symbol, "line": {"color": style.colour, "width": 2 * signed}}
    means = {
        **on,
        along: list(places),
        value: numbers(row.mean if row else math.nan for row in line.rows),
        "mode": "markers" if signed or across else "lines+markers",
        f"error_{value}": _bars(line.rows, style.colour),
        "marker": mark,
        "line": {"color": style.colour, "width": 2.25, "dash": style.dash},
        "hovertext": _hover(fractions, line, signed=signed),
        "hoverinfo": "text",
    }
    wide = {
        **means,
        "mode": "markers",
        "marker": {"color": UNSEEN, "size": 1},
        "opacity": 0.3,
        f"error_{value}": _bars(line.rows, style.colour, repeats=True),
        "hoverinfo": "skip",
    }
    dots = [(place, v) for place, some in zip(places, line.repeats, strict=False) for v in some if math.isfinite(v)]
    if len(dots) <= len(fractions):
        return [wide, means]
    faint = {"color": style.colour, "size": 4, "opacity": 0.28}
    single = {**on, "mode": "markers", "marker": faint, "hoverinfo": "skip"}
    return [{**single, along: [place for place, _ in dots], value: [v for _, v in dots]}, wide, means]


def _bars(rows: Sequence[Estimate | None], colour: str, *, repeats: bool = False) -> Figure:
    ends = [
        (math.nan, math.nan)
        if row is None
        else (
            (row.mean - row.repeats_low, row.repeats_high - row.mean)
            if repeats
            else (row.mean - row.low, row.high - row.mean)
        )
        for row in rows
    ]
    return {
        "type": "data",
        "symmetric": False,
        "array": numbers(up for _, up in ends),
        "arrayminus": numbers(down for down, _ in ends),
        "color": colour,
        "thickness": 7 if repeats else 1.75,
        "width": 0 if repeats else 4,
    }


def _hover(fractions: Sequence[Fraction], line: Series, *, signed: bool) -> list[str]:
    texts = []
    for fraction, row in zip(fractions, line.rows, strict=True):
        over = repeats_bounds(row)
        texts.append(
            f"{escape(line.name)}, {escape(fraction_name(fraction))}"
            f"<br>{estimate(row, signed=signed)}" + (f"<br>over repeats {over}" if over != NOTHING else "")
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
    spread = 0.026 * max(at[-1] - at[0], 0.8) * (n - 1)
    if len(at) > 1:
        spread = min(spread, 0.7 * np.diff(at).min())
    return patients * 10 ** (spread * (i / (n - 1) - 0.5)) if n > 1 else patients


def _ranged(held: Range | None) -> Figure:
    return {"range": list(held)} if held else {}


def rule(y: float, axis: str) -> Figure:
    """A dotted line across."""
    return {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "yref": axis, "y0": y, "y1": y, "line": DOTTED}


def numbers(values: Iterable[float]) -> list[float | None]:
    """Values as plotly takes them: None where there is no number."""
    return [float(v) if math.isfinite(v) else None for v in values]
