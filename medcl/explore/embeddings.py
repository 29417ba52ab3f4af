"""A file of embeddings to look at: read, project, plot."""

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from medcl.archive.manifest import Manifest
from medcl.embed import embeddings as file
from medcl.errors import UsageError

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from medcl.explore.page import Column
    from medcl.explore.project import Method, Projection

_DRAWN = 500_000
"""Points of a figure."""


class Embeddings(file.Embeddings):
    """Embeddings of the records of an archive, as `medcl embed` wrote them.

    ```python
    e = medcl.Embeddings.read("embeddings.parquet")
    e.project("tsne")
    e.plot(color="diagnosis")
    ```
    """

    def project(self, method: "Method" = "tsne", *, seed: int = 0) -> "Projection":
        """Lay the embeddings out on a plane; what was computed once is kept in the folder `FILE.explore`.

        Args:
            method: `tsne`, `pca`, or `umap` where umap-learn is installed.
            seed: of everything random.

        Returns:
            The projection: `xy` (N, 2), `note`, and `transform` for new embeddings of the same run. `plot` draws the
            last one.

        Raises:
            UsageError: no such method, or too few embeddings for it.
            MedclError: there is no embedding, or some hold NaN.
        """
        from medcl.explore.cached import projection_of

        known = self._projections.pop((method, seed), None)
        # Behind the others: it is the last one that is drawn.
        self._projections[method, seed] = known or projection_of(self, method, seed=seed)
        return self._projections[method, seed]

    def plot(self, color: str = "", method: "Method | None" = None) -> "Figure":
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
        from medcl.embed.points import sample
        from medcl.explore.confounders import taken
        from medcl.explore.plot import figure

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
    def _projections(self) -> "dict[tuple[Method, int], Projection]":
        return {}

    def _colours(self, color: str) -> "Column":
        from medcl.explore.columns import columns_of

        # One class of several that a record may have is `finding: effusion`.
        name = color if color in self.columns else color.partition(": ")[0]
        table = self.table([name])
        found = columns_of(table, Manifest(table, Path(self.about.root), self.about.archive))
        if color not in found:
            there = f": it has {', '.join(found)}" if found else ", being an id, or the same everywhere"
            raise UsageError(f"column {color!r} cannot colour points{there}")
        return found[color]
