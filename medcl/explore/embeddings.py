"""Embeddings of a file: read, project, plot; their map as columns of the file."""

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from medcl import files, parquet
from medcl.archive.manifest import Manifest
from medcl.embed.embeddings import EmbeddingsFile, parquet_file, parquet_writer
from medcl.embed.vectors import sample
from medcl.errors import UsageError
from medcl.explore.cache import projection_of
from medcl.explore.columns import columns_of
from medcl.explore.confounders import taken
from medcl.explore.page import Categories, Column
from medcl.explore.project import NAMES, Method, Plane, Projection

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")
"""Okabe and Ito's colours, which colour-blind people can distinguish."""
SYMBOLS = ("circle", "diamond", "square", "cross", "x", "triangle-up")
"""Of each seven further classes."""
MISSING = "#9a9a9a"
Drawn: TypeAlias = tuple[str, NDArray[np.int64], dict[str, object]]
_MANY = len(PALETTE) * len(SYMBOLS)


def figure(
    xy: Plane, method: Method, ids: NDArray[np.object_], title: str, color: str = "", column: Column | None = None
) -> "Figure":
    """Draw a map of points (N, 2) in WebGL, which draws half a million of them.

    The mouse over a point shows its id (N,); a column (N,) colours, if there is one.

    Raises:
        UsageError: the column has more classes than there are colours and marks.
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
        title=f"{title}: {NAMES[method]}" + (f", {color}" if color else ""),
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
        raise UsageError(
            f"column {color!r} has {len(order)} classes, more than the {_MANY} combinations of colour and mark"
        )
    drawn: list[Drawn] = [("missing", every[codes < 0], grey)] if (codes < 0).any() else []
    for number, code in enumerate(order):
        marker: dict[str, object] = {"color": PALETTE[number % len(PALETTE)], "symbol": SYMBOLS[number // len(PALETTE)]}
        drawn.append((column.names[code], every[codes == code], marker))
    return drawn


_DRAWN = 500_000
"""Points of a figure."""


class Embeddings(EmbeddingsFile):
    """Embeddings of the records of an archive, as `medcl embed` wrote them.

    ```python
    e = medcl.Embeddings.read("embeddings.parquet")
    e.project("tsne")
    e.plot(color="diagnosis")
    ```
    """

    def project(self, method: Method = "tsne", *, seed: int = 0) -> Projection:
        """Lay the embeddings out on a plane; what was computed once is kept in the folder `FILE.explore`.

        Args:
            method: `tsne`, `pca`, or `umap` where umap-learn is installed.
            seed: random seed.

        Returns:
            The projection: `xy` (N, 2), `note`, and `transform` for new embeddings of the same run. `plot` draws the
            last one.

        Raises:
            UsageError: no such method, or too few embeddings for it.
            MedclError: there is no embedding, or some hold NaN.
        """
        known = self._projections.pop((method, seed), None)
        # Behind the others: it is the last one that is drawn.
        self._projections[method, seed] = known or projection_of(self, method, seed=seed)
        return self._projections[method, seed]

    def plot(self, color: str = "", method: Method | None = None) -> "Figure":
        """Draw the map.

        Args:
            color: a column, such as a label, site or split; empty for one colour.
            method: a projection; default: the last one that was made, else t-SNE.

        Returns:
            A plotly figure, which a notebook shows.

        Raises:
            UsageError: there is no such column, or it has too many classes; or see `project`.
            MedclError: there is no embedding, or some hold NaN.
        """
        # Before the map, which may take minutes.
        column = self._colours(color) if color else None
        if method is not None or not self._projections:
            self.project(method or "tsne")
        projection = next(reversed(self._projections.values()))
        rows = sample(len(self), _DRAWN, 0)
        names = self.column("record_id")
        title = self.about.run_name or self.paths[0].stem
        if len(rows) < len(self):
            title += f", {len(rows):,} of {len(self):,} embeddings drawn at random"
        shown = None if column is None else taken(column, rows)
        return figure(projection.xy[rows], projection.method, names[rows], title, color, shown)

    @cached_property
    def _projections(self) -> dict[tuple[Method, int], Projection]:
        return {}

    def _colours(self, color: str) -> Column:
        # One class of several that a record may have is `finding: effusion`.
        name = color if color in self.columns else color.partition(": ")[0]
        table = self.table([name])
        found = columns_of(table, Manifest(table, Path(self.about.root), self.about.archive))
        if color not in found:
            there = f": it has {', '.join(found)}" if found else ", being an id, or the same everywhere"
            raise UsageError(f"column {color!r} cannot colour points{there}")
        return found[color]


X, Y = "x", "y"
_ROWS = 65536  # of a row group


def write_xy(embeddings: EmbeddingsFile, xy: Plane) -> None:
    """Write the columns `x` and `y` (float32) of (N, 2), instead of those that are there; each file in one move.

    Raises:
        UsageError: there is not one place for each embedding, or a label of this name is in the way.
        MedclError: a file cannot be written.
    """
    if xy.shape != (len(embeddings), 2):
        raise UsageError(f"places of shape {xy.shape}, for {len(embeddings)} embeddings they must be (N, 2)")
    targets = [name for name in (X, Y) if name in embeddings.about.archive.get("targets", {})]
    if targets:
        raise UsageError(f"{embeddings.paths[0]}: the label {targets[0]!r} would be lost: give the label another name")
    at = 0
    for path in embeddings.paths:
        with files.draft(path, private=True) as place:
            file = parquet_file(path)
            old = file.schema
            names = [name for name in old.names if name not in (X, Y)]
            own = [pa.field(X, pa.float32()), pa.field(Y, pa.float32())]
            schema = pa.schema([*(old.field(name) for name in names), *own], metadata=old.metadata)
            with parquet_writer(place, schema) as writer:
                for batch in file.iter_batches(_ROWS, names):
                    part = xy[at : at + len(batch)].astype("float32")
                    at += len(batch)
                    columns = [*(batch.column(name) for name in names), pa.array(part[:, 0]), pa.array(part[:, 1])]
                    writer.write_batch(pa.record_batch(columns, schema=schema))
            parquet.seal(place)
