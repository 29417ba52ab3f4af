"""Embeddings of an archive: embed, explore."""

import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from medcl.commands import next_step, queries
from medcl.commands.arguments import (
    Column,
    EmbeddingsSource,
    Inputs,
    ManifestSource,
    PathSource,
    Result,
    config_of,
    named_or_scanned,
    one_or_many,
    quarantined,
    unknown,
)
from medcl.errors import UsageError

if TYPE_CHECKING:
    from medcl.explore.embeddings import Embeddings


@one_or_many
def explore(
    embeddings: EmbeddingsSource,
    manifest: ManifestSource | None = None,
    output: PathSource | None = None,
    *,
    color: Column = "",
    text: Sequence[str] = (),
    not_text: Sequence[str] = (),
    near: Sequence[Annotated[str, "ID"]] = (),
    far: Sequence[Annotated[str, "ID"]] = (),
    run: PathSource | None = None,
    projection: Sequence[Literal["tsne", "pca", "umap"]] = ("tsne", "pca"),
    open: bool = False,
    thumbnails: Annotated[int | None, "N"] = 1000,
    write_xy: bool = False,
    unusual: Annotated[PathSource | None, "PNG"] = None,
    seed: int = 0,
) -> Result[Path]:
    """Write a page that shows embeddings as a map, next to what is known of the records.

    Args:
        embeddings: file that `medcl embed` wrote.
        manifest: manifest of what was embedded, where it has more labels now or has moved.
        output: the page; default: explore.html beside the embeddings.
        color: column that colours the map at first; default: the query, or the first label.
        text: texts that are to apply; the map shows the cosine of each record with the query.
        not_text: texts that are not to apply.
        near: ids of records that are examples of what is looked for.
        far: ids of records that are examples of what is not looked for.
        run: run folder that the embeddings are of, which reads the texts.
        projection: maps, in their order; they are kept in a cache.
        open: show the page in the browser.
        thumbnails: number of records with a thumbnail, drawn at random, or `none`.
        write_xy: write the first map into the file of embeddings, as columns x and y.
        unusual: contact sheet (PNG) of the 20 records furthest from those of training.
        seed: random seed.

    Returns:
        The page.

    Raises:
        UsageError: there is no such column, or the page is no .html file.
        MedclError: the embeddings cannot be read or projected.
    """
    from medcl.archive.manifest import Manifest
    from medcl.embed.embeddings import EmbeddingsFile
    from medcl.embed.vectors import vectors_of
    from medcl.explore.assemble import page_data
    from medcl.explore.in_run import note_in_run
    from medcl.explore.page import write_page
    from medcl.run_card import CARD

    if thumbnails is not None and thumbnails < 0:
        raise UsageError(f"--thumbnails {thumbnails}: a number, or none")
    beside = embeddings.paths[0] if isinstance(embeddings, EmbeddingsFile) else Path(embeddings)
    page = beside.with_name("explore.html") if output is None else Path(output)
    if page.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"-o {page}: a page is an .html file")
    found = embeddings if isinstance(embeddings, EmbeddingsFile) else EmbeddingsFile.read(beside)
    of = manifest if isinstance(manifest, Manifest | None) else Manifest.read(Path(manifest))
    vectors = vectors_of(found)
    asked = None
    if text or not_text or near or far:
        from medcl.embed.query import Query
        from medcl.explore.index import EmbeddingIndex

        query = Query(tuple(text), tuple(not_text), tuple(near), tuple(far))
        source = None if run is None else Path(run)
        asked = str(query), queries.direction_of(query, found, EmbeddingIndex.open(found), source)
    data = page_data(
        found, vectors, methods=projection, manifest=of, color=color, query=asked, thumbnails=thumbnails or 0, seed=seed
    )
    write_page(data, page)
    noted = note_in_run(found, data.confounders)
    if write_xy:
        from medcl.explore.embeddings import write_xy as write_columns

        write_columns(found, next(iter(data.projections.values())))
    lines = [f"{page}: {len(data):,} points, {page.stat().st_size / 1e6:.1f} MB; open it in any browser"]
    if noted is not None:
        lines.append(f"{noted / CARD}: model card with the confounders")
    if unusual is not None:
        from medcl.explore.outliers import write_unusual_of

        write_unusual_of(found, vectors, found.manifest() if of is None else of, Path(unusual))
        lines.append(f"{unusual}: the most unusual records")
    if open:
        webbrowser.open(page.absolute().as_uri())
    return Result("\n".join(lines), lambda: page, page, next_step.after_explore(beside))


@one_or_many
def embed(
    run: PathSource,
    manifest: ManifestSource | None = None,
    output: Annotated[PathSource | None, "OUTPUT", "required"] = None,
    *,
    input: Inputs = (),
    store: PathSource | None = None,
    **settings: Annotated[Any, "medcl.embed.config:EmbedConfig"],
) -> "Result[Embeddings]":
    """Write the embeddings of the records of a manifest, or of files, to one Parquet file; an interrupted call goes on.

    Args:
        run: run folder that `medcl pretrain` wrote.
        manifest: manifest that `medcl scan` wrote.
        output: the Parquet file.
        input: files or folders that are embedded in the place of a manifest; the embeddings hold no file names, but the
            column `input`, the number of the file from 0.
        store: folder of prepared records; default: beside the manifest, of files a temporary one.
        settings: fields of `medcl.embed.config.EmbedConfig`, such as `level="patient"`.

    Returns:
        The embeddings, (rows, dim) and what is known of each row.

    Raises:
        UsageError: the run has no encoder for any record, or the file holds other embeddings.
        MedclError: nothing can be decoded, or an embedding is not a number.
    """
    from medcl.archive.named_files import without_names
    from medcl.embed.apply import embed_manifest
    from medcl.embed.config import EmbedConfig
    from medcl.embed.encoders import sides_of
    from medcl.embed.inputs import refused

    if output is None:
        raise UsageError("give output=, the Parquet file")

    def load() -> "Embeddings":
        from medcl.explore.embeddings import Embeddings

        return Embeddings.read(done.path)

    config = config_of(EmbedConfig, settings)
    sides = sides_of(Path(run), config.kind, config.side)
    cards = {side.kind: side.card for side in sides}
    with named_or_scanned(manifest, input, cards, store, config.jobs) as (records, prepared):
        shown = without_names(records) if input else None
        done = embed_manifest(Path(run), records, config, prepared, Path(output), loaded=sides, shown=shown)
    left_out = (refused(records, cards) if input else {}) | done.left_out
    lines = [*unknown(records), *done.notes, *quarantined(left_out, len(records), "records")]
    if done.already:
        lines.append(f"{done.path}: was there already, of the same run, records and settings")
    elif done.taken_over:
        lines.append(f"went on behind {done.taken_over} parts that an interrupted call had finished")
    lines.append(f"{done.path}: {done.rows} embeddings of width {done.dim}, one a {config.level}")
    return Result("\n".join(lines), load, done.path, next_step.after_embed(done.path))
