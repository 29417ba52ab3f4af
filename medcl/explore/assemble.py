"""The content of a page, gathered from a file of embeddings."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from medcl.archive.manifest import Manifest
from medcl.embed.embeddings import EmbeddingsFile
from medcl.embed.metadata import START
from medcl.embed.vectors import Vectors
from medcl.errors import UsageError
from medcl.explore.axes import principal_axes
from medcl.explore.cache import projection_of
from medcl.explore.columns import columns_of, levels_of
from medcl.explore.measures import measure
from medcl.explore.neighbours import COMPONENTS, among
from medcl.explore.page import MOST, Ints, PageData
from medcl.explore.project import Method
from medcl.explore.thumbnails import COUNT, cards, rows_in
from medcl.show.thumbnails import Thumbnail
from medcl.suggest import did_you_mean

NAMES = {"tsne": "t-SNE", "pca": "PCA", "umap": "UMAP"}
NEIGHBOURS = 10
"""Of each point, where they are not too many for a page."""
_NEIGHBOURS = 2_000_000  # of all points, of 4 bytes each
_POINTS = {"window": "windows", "record": "records", "patient": "patients"}


def page_data(
    embeddings: EmbeddingsFile,
    vectors: Vectors,
    *,
    methods: Sequence[Method] = ("tsne", "pca"),
    manifest: Manifest | None = None,
    color: str = "",
    thumbnails: int = COUNT,
    seed: int = 0,
) -> PageData:
    """Gather what a page shows.

    Args:
        embeddings: of a run.
        vectors: theirs, checked.
        methods: projections, the first of which is shown first.
        manifest: that they are of, which may have more columns, and another root where the archive has moved; None
            for what the file itself says.
        color: column that colours first; empty for the first target.
        thumbnails: number of thumbnails at most; 0 for none.
        seed: random seed.

    Returns:
        The data.

    Raises:
        UsageError: more rows than a page holds, no such column, or the manifest is of other records.
        MedclError: the manifest does not have a record that was embedded.
    """
    path = embeddings.paths[0]
    if len(embeddings) > MOST:
        raise UsageError(
            f"{path}: a page shows {MOST:,} points at most, these are {len(embeddings):,}: embed one --split, or "
            "--level patient"
        )
    about, table = embeddings.about, embeddings.table()
    records = np.array(table["record_id"].to_pylist(), dtype=object)
    if manifest is None:
        of = Manifest(table, root=Path(about.root), metadata=about.archive)
        rows = np.where(np.array([one is None for one in records]), -1, np.arange(len(records)))
    else:
        embeddings.check(manifest)
        of, rows = manifest, rows_in(manifest, records)
        table = _joined(table, manifest, rows)
    columns = columns_of(table, of)
    if color and color not in columns:
        hint = did_you_mean(color, columns)
        raise UsageError(f"{path}: no column {color!r} to colour by: there are {', '.join(columns) or 'none'}{hint}")
    axes = principal_axes(vectors, COMPONENTS)
    with ThreadPoolExecutor(1) as pool:
        # t-SNE uses one core for the most part: the numbers are computed meanwhile.
        mapped = {
            one: pool.submit(projection_of, embeddings, one, seed=seed, vectors=vectors, axes=axes)
            for one in dict.fromkeys(methods)
        }
        levels = levels_of(table)
        measured = measure(vectors, columns, levels, joint=about.joint, seed=seed)
        near = among(vectors, min(NEIGHBOURS, _NEIGHBOURS // len(records)), seed, axes)
    projections = {one: done.result() for one, done in mapped.items()}
    starts = table[START].to_pylist() if START in table.column_names else [None] * len(records)
    shown: dict[int, Thumbnail] = {}
    notes = [*(one.note for one in projections.values() if one.note), *measured.notes]
    if thumbnails:
        # Where a tile begins is told in voxels of the prepared volume, which are not slices of the file.
        pieces = [int(start[0]) if start is not None and len(start) == 1 else None for start in starts]
        shown, said = cards(of, rows, pieces, count=thumbnails, seed=seed)
        notes += said
    if about.n_left_out:
        notes.append(f"{about.n_left_out:,} records have no embedding, because they could not be read.")
    return PageData(
        title=f"{about.run_name or path.stem}: {len(records):,} {_POINTS.get(about.level, 'points')}",
        file=path.name,
        ids=_ids(records, starts),
        projections={NAMES[name]: one.xy for name, one in projections.items()},
        columns=columns,
        levels=levels,
        neighbours=near,
        thumbnails=shown,
        measures=measured.tables,
        notes=notes,
        color=color,
    )


def _joined(table: pa.Table, manifest: Manifest, rows: Ints) -> pa.Table:
    """The table with those columns of the manifest that were joined after it was embedded."""
    for name in manifest.table.column_names:
        if name not in table.column_names:
            values = manifest.table[name].combine_chunks().take(pa.array(rows, mask=rows < 0))
            table = table.append_column(name, values)
    return table


def _ids(records: Any, starts: Sequence[Sequence[float] | None]) -> list[str]:
    """Names of rows: the record, of a window where it begins as well, of a patient the row of the file."""
    names = []
    for row, (record, start) in enumerate(zip(records, starts, strict=True)):
        if record is None:
            names.append(f"row {row}")
        elif start is None:
            names.append(str(record))
        else:
            names.append(f"{record} @ {' '.join(f'{value:g}' for value in start)}")
    return names
