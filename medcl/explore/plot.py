"""A map of embeddings as a plotly figure, for a notebook."""

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from medcl.errors import UsageError
from medcl.explore.page import Categories, Column
from medcl.explore.project import Method, Plane

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")
"""Okabe and Ito's colours, which colour-blind people tell apart."""
SYMBOLS = ("circle", "diamond", "square", "cross", "x", "triangle-up")
"""Of each seven further classes."""
MISSING = "#9a9a9a"
Drawn: TypeAlias = tuple[str, NDArray[np.int64], dict[str, object]]
_MANY = len(PALETTE) * len(SYMBOLS)
_NAMES = {"pca": "PCA", "tsne": "t-SNE", "umap": "UMAP"}


def figure(
    xy: Plane, method: Method, ids: NDArray[np.object_], title: str, color: str = "", column: Column | None = None
) -> "Figure":
    """Draw a map.

    Args:
        xy: (N, 2), where the points are.
        method: by which they were placed.
        ids: (N,) what a point is named as the mouse is over it.
        title: of the figure.
        color: name of the column that colours, empty for one colour.
        column: that column, (N,).

    Returns:
        The figure; one in WebGL, which draws half a million points.

    Raises:
        UsageError: the column has more classes than can be told apart.
    """
    import plotly.graph_objects as go

    size = 4 if len(ids) > 5000 else 7
    traces = []
    for name, rows, marker in _groups(color, column, len(ids)):
        traces.append(
            go.Scattergl(
                x=xy[rows, 0],
                y=xy[rows, 1],
                mode="markers",
                name=name,
                showlegend=bool(name),
                text=ids[rows],
                hovertemplate="%{text}" + (f"<br>{name}" if name else "") + "<extra></extra>",
                marker={"size": size, "opacity": 0.8, **marker},
            )
        )
    axis = {"showticklabels": False, "zeroline": False, "title": None}
    layout = go.Layout(
        title=f"{title}: {_NAMES[method]}" + (f", {color}" if color else ""),
        template="plotly_white",
        xaxis=axis,
        # A map has one scale.
        yaxis={**axis, "scaleanchor": "x"},
        legend={"itemsizing": "constant"},
        width=760,
        height=600,
    )
    return go.Figure(traces, layout)


def _groups(color: str, column: Column | None, count: int) -> list[Drawn]:
    """What is drawn on its own: name, rows, marker; what is missing lies below."""
    every = np.arange(count)
    if column is None:
        return [("", every, {"color": PALETTE[0]})]
    grey = {"color": MISSING, "opacity": 0.4}
    if not isinstance(column, Categories):
        known = np.isfinite(column)
        scale = {"color": column[known], "colorscale": "Cividis", "showscale": True, "colorbar": {"title": color}}
        lacking = [("missing", every[~known], grey)] if not known.all() else []
        return [*lacking, ("", every[known], scale)]
    codes = np.asarray(column.codes)
    counts = np.bincount(codes[codes >= 0], minlength=len(column.names))
    order = [code for code in np.argsort(-counts, kind="stable") if counts[code]]
    if len(order) > _MANY:
        raise UsageError(f"column {color!r} has {len(order)} classes, {_MANY} colours and marks can be told apart")
    drawn: list[Drawn] = [("missing", every[codes < 0], grey)] if (codes < 0).any() else []
    for number, code in enumerate(order):
        marker: dict[str, object] = {"color": PALETTE[number % len(PALETTE)], "symbol": SYMBOLS[number // len(PALETTE)]}
        drawn.append((column.names[code], every[codes == code], marker))
    return drawn
