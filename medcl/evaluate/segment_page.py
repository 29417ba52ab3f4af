"""What the page shows of a segmentation: slices of volumes, and learning curves as a figure."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medcl.evaluate.figures import DOTTED, INITS
from medcl.evaluate.segment_results import SegmentCell
from medcl.evaluate.wording import init_name
from medcl.show.page import Figure
from medcl.wording import number


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


def learning(cells: Sequence[SegmentCell], level: float) -> Figure:
    """The validation Dice over the iterations: the mean over the repeats, and each repeat as a faint line.

    Args:
        cells: of one fraction, of both initialisations.
        level: the final Dice of training from random weights, drawn as a dotted line.
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
