"""Figures of single models: calibration, and the validation score while training; see `figures` for their colours."""

import math
from collections.abc import Sequence
from html import escape

import numpy as np

from medcl.evaluate.figures import AXIS, DOTTED, Range, numbers, rule
from medcl.evaluate.results_tables import CalibrationCurve, LearningCurve, SurvivalCurve
from medcl.evaluate.styles import Style
from medcl.show.page import Figure
from medcl.wording import bounds, count, number


def calibration(curves: Sequence[tuple[str, Style, CalibrationCurve]], limits: Range, unit: str) -> Figure:
    """Observed against predicted with the diagonal, and below it the number of records in each bin.

    Args:
        curves: (name, style, curve) of each arm.
        limits: of both axes.
        unit: of a regression; empty for probabilities.
    """
    low, high = limits
    data: list[Figure] = []
    width = 0.028 * (high - low) / max(len(curves), 1)
    for i, (name, style, one) in enumerate(curves):
        ends = list(zip(one.low, one.high, strict=True)) or [(math.nan, math.nan)] * len(one.observed)
        hover = [
            f"{escape(name)}<br>predicted {number(p)}, observed {number(o)} {bounds(a, b)}<br>{count(n)} records"
            for p, o, n, (a, b) in zip(one.predicted, one.observed, one.count, ends, strict=True)
        ]
        common = {"x": list(one.predicted), "hovertext": hover, "hoverinfo": "text"}
        bars = {
            "type": "data",
            "symmetric": False,
            "array": numbers(b - o for (_, b), o in zip(ends, one.observed, strict=True)),
            "arrayminus": numbers(o - a for (a, _), o in zip(ends, one.observed, strict=True)),
            **{"color": style.colour, "thickness": 1.25, "width": 2},
        }
        line = {
            "type": "scatter",
            "mode": "lines+markers",
            "marker": {"color": style.colour, "size": 7, "symbol": style.symbol},
            "line": {"color": style.colour, "width": 2, "dash": style.dash},
        }
        data.append({**line, "y": numbers(one.observed), "error_y": bars, **common})
        place = {"width": width, "offset": (i - len(curves) / 2) * width, "yaxis": "y2"}
        data.append({"type": "bar", "y": list(one.count), "marker": {"color": style.colour}, **place, **common})
    of = f" ({escape(unit)})" if unit else ""
    what = ("predicted", "observed") if unit else ("predicted probability", "observed frequency")
    layout = {
        "height": 320,
        "margin": {"l": 46, "r": 8, "t": 6, "b": 40},
        "hovermode": "closest",
        "barmode": "overlay",
        "xaxis": {"range": [low, high], "anchor": "y2", "title": {"text": what[0] + of, **AXIS}, "nticks": 6},
        "yaxis": {"domain": [0.3, 1], "range": [low, high], "title": {"text": what[1] + of, **AXIS}, "nticks": 6},
        "yaxis2": {"domain": [0, 0.19], "title": {"text": "records", **AXIS}, "nticks": 3, "rangemode": "tozero"},
        "shapes": [{"type": "line", "x0": low, "y0": low, "x1": high, "y1": high, "line": DOTTED}],
    }
    return {"data": data, "layout": layout}


def calibration_limits(curves: Sequence[CalibrationCurve], *, values: bool) -> Range:
    """The axes of calibration figures: probabilities from 0 to 1, values of a regression over what occurs."""
    found = [v for one in curves for v in (*one.predicted, *one.observed) if math.isfinite(v)]
    if not values or not found:
        return -0.03, 1.03
    air = 0.05 * (max(found) - min(found)) or 0.5
    return min(found) - air, max(found) + air


def survival(curve: SurvivalCurve, style: Style, unit: str) -> Figure:
    """Kaplan-Meier curves of the lower (solid) and the higher predicted risk (dashed)."""
    data: list[Figure] = []
    halves = (("lower", curve.lower, "solid", curve.records[0]), ("higher", curve.higher, "dash", curve.records[1]))
    for name, values, dash, records in halves:
        line = {"color": style.colour, "width": 2, "dash": dash, "shape": "hv"}
        x, y = (0.0, *curve.times), (1.0, *values)
        told = f"{name} predicted risk, {count(records)} records"
        hover = [f"{told}<br>{number(t)}: {number(v)}" for t, v in zip(x, y, strict=True)]
        data.append(
            {"type": "scatter", "mode": "lines", "line": line, "x": list(x), "y": list(y), "hovertext": hover}
            | {"hoverinfo": "text"}
        )
    of = f" ({escape(unit)})" if unit else ""
    layout = {
        "height": 300,
        "margin": {"l": 46, "r": 8, "t": 6, "b": 40},
        "hovermode": "closest",
        "xaxis": {"title": {"text": f"time{of}", **AXIS}, "rangemode": "tozero", "showgrid": False},
        "yaxis": {"range": [0, 1.02], "title": {"text": "without an event (share)", **AXIS}, "nticks": 6},
    }
    return {"data": data, "layout": layout}


def learning(arms: Sequence[tuple[str, Style, Sequence[LearningCurve]]], level: float) -> Figure:
    """The validation score over the iterations: the mean, and each repeat as a faint line.

    The final score of training from random weights is a dotted line.
    """
    data: list[Figure] = []
    for name, style, curves in arms:
        line = {"type": "scatter", "mode": "lines", "line": {"color": style.colour, "width": 1}}
        for one in curves if len(curves) > 1 else ():
            faint = {"x": list(one.iterations), "y": list(one.values), "opacity": 0.22, "hoverinfo": "skip"}
            data.append({**line, **faint})
        iterations, mean = curves[0].iterations, np.mean([one.values for one in curves], axis=0)
        hover = [f"{escape(name)}<br>{i} iterations: {number(float(v))}" for i, v in zip(iterations, mean, strict=True)]
        strong = {"line": {"color": style.colour, "width": 2.25}, "hovertext": hover, "hoverinfo": "text"}
        data.append({**line, **strong, "x": list(iterations), "y": mean.tolist()})
    end = max((one.iterations[-1] for _, _, curves in arms for one in curves), default=1)
    layout = {
        "height": 300,
        "margin": {"l": 46, "r": 8, "t": 6, "b": 40},
        "hovermode": "closest",
        "xaxis": {"range": [0, end], "title": {"text": "training (iterations)", **AXIS}, "showgrid": False},
        "yaxis": {"title": {"text": "validation Dice", **AXIS}, "nticks": 6},
        "shapes": [rule(level, "y")] if math.isfinite(level) else [],
    }
    return {"data": data, "layout": layout}
