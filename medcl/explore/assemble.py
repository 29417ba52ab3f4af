"""The content of a page, gathered from a file of embeddings."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from medcl.archive.manifest import Manifest
from medcl.embed.embeddings import EmbeddingsFile
from medcl.embed.metadata import START
from medcl.embed.vectors import Vectors, blocks, principal_axes, unit
from medcl.engine.progress import progress
from medcl.errors import MedclError, UsageError, did_you_mean
from medcl.explore.cache import projection_of
from medcl.explore.columns import columns_of, levels_of
from medcl.explore.measures import measure
from medcl.explore.neighbours import COMPONENTS, among
from medcl.explore.page import MOST, Column, Ints, PageData
from medcl.explore.project import NAMES, Method
from medcl.show.thumbnails import Thumbnail, thumbnails

COUNT = 1000
"""Thumbnails of a page by default."""
BUDGET = 12 << 20
"""Bytes of all thumbnails of a page at most."""
LARGE = 8 << 20
"""Bytes of the images that enlarge them, at most."""
_TOGETHER = 64
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
    query: tuple[str, Vectors] | None = None,
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
        color: column that colours first; empty for the query, or the first target.
        query: what is looked for, and the direction (dim,) in which it lies: a column of cosines with it.
        thumbnails: number of thumbnails at most; 0 for none.
        seed: random seed.

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
    asked: dict[str, Column] = {}
    if query is not None:
        asked[f"cosine with {query[0]}"] = np.concatenate([unit(part) @ query[1] for _, part in blocks(vectors)])
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
        columns={**asked, **columns},
        levels=levels,
        neighbours=near,
        thumbnails=shown,
        measures=measured.tables,
        notes=notes,
        color=color or next(iter(asked), ""),
        confounders=measured.confounders,
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


def cards(
    manifest: Manifest,
    rows: NDArray[np.int64],
    pieces: Sequence[int | None] | None = None,
    *,
    count: int = COUNT,
    budget: int = BUDGET,
    seed: int = 0,
) -> tuple[dict[int, Thumbnail], list[str]]:
    """Draw thumbnails of records: the row (N,) of the manifest that each point is of, -1 where it is of no single one.

    Of each point a slice or second is shown, the usual one by default. Of more points than `count`, those that are
    shown are drawn with the seed; all take `budget` bytes at most.

    Returns:
        Point -> thumbnail; and sentences for the page about those that there are not.
    """
    drawable = np.flatnonzero(rows >= 0)
    order = drawable
    if count < len(drawable):
        order = np.sort(np.random.default_rng(seed).permutation(drawable)[:count])
    made: dict[int, Thumbnail] = {}
    used = enlarged = 0
    shuffled = np.random.default_rng(seed).permutation(order)
    with progress("explore: thumbnails", len(shuffled), "thumbnail") as bar:
        for start in range(0, len(shuffled), _TOGETHER):
            some = shuffled[start : start + _TOGETHER]
            wanted = [(int(rows[one]), None if pieces is None else pieces[one]) for one in some]
            drawn = thumbnails(manifest, wanted, enlarged=enlarged < LARGE)
            for one, shown in zip(some, drawn, strict=True):
                made[int(one)] = shown
                enlarged += len(shown.large)
                used += 0 if shown.missing else len(shown.png) + len(shown.text.encode())
            bar.update(len(some))
            if used >= budget:
                break
    return made, _notes(made, len(drawable), len(rows), seed)


def rows_in(manifest: Manifest, ids: NDArray[np.object_]) -> NDArray[np.int64]:
    """The row (N,) of a manifest that each id (N,) is of; -1 for None, a point of several records.

    Raises:
        MedclError: the manifest does not have one of the records.
    """
    places = {one: row for row, one in enumerate(manifest.column("record_id"))}
    unknown = sum(one is not None and one not in places for one in ids)
    if unknown:
        raise MedclError(
            f"the manifest does not have {unknown} of the {len(ids)} records that were embedded: give the manifest "
            "that they were embedded with, or embed this one"
        )
    return np.array([-1 if one is None else places[one] for one in ids], dtype=np.int64)


def _notes(made: dict[int, Thumbnail], drawable: int, count: int, seed: int) -> list[str]:
    notes = []
    if len(made) < drawable:
        notes.append(f"{len(made):,} of {drawable:,} records have a thumbnail, drawn at random (seed {seed}).")
    if drawable < count:
        notes.append(f"{count - drawable:,} of {count:,} points are of several records, and have no thumbnail.")
    missing = sum(bool(one.missing) for one in made.values())
    if missing:
        verb = "has" if missing == 1 else "have"
        notes.append(
            f"{missing:,} of {len(made):,} records {verb} no image, because files are missing or cannot be read; the "
            "embeddings are shown unchanged."
        )
    return notes
