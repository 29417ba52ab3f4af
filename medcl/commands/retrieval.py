"""Search an archive with an encoder, or a file of embeddings by its index: retrieve."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from medcl.commands import next_step, queries
from medcl.commands.arguments import (
    EmbeddingsSource,
    KindName,
    ManifestSource,
    PathSource,
    Result,
    manifest_and_store,
    one_or_many,
)
from medcl.errors import UsageError

if TYPE_CHECKING:
    from medcl.embed.embeddings import EmbeddingsFile
    from medcl.embed.query import Query
    from medcl.evaluate.search import FoundRecord
    from medcl.explore.index import EmbeddingIndex, Near


def _other(index: "EmbeddingIndex", embeddings: "EmbeddingsFile", record_id: str) -> str:
    """In a space of several modalities, what is looked for with a record of one of them; else empty, for all."""
    kinds = embeddings.about.kinds
    if not embeddings.about.joint or len(kinds) < 2:
        return ""
    own = index.of(record_id, "kind")
    others = [one for one in kinds if one != own]
    return "report" if "report" in others else others[0]


def _nearest(
    query: "Query",
    of: "EmbeddingsFile",
    index: "EmbeddingIndex",
    run: Path | None,
    *,
    k: int,
    kind: str,
    split: str,
    other_patients: bool,
) -> "list[Near]":
    """What is nearest to some examples in a file of embeddings, and far from others.

    Raises:
        UsageError: there is no such example, or nothing can be found by them.
    """
    if not kind and query.texts:
        kind = next((one for one in of.about.kinds if one != "report"), "report")
    kind = kind or _other(index, of, query.near[0])
    patients = {index.of(one, "patient") for one in query.records} - {None} if other_patients else set()
    found = index.nearest(
        queries.direction_of(query, of, index, run),
        k,
        kind=kind,
        split=split,
        without_records=query.records,
        without_patients=patients,
    )
    if not found:
        raise UsageError("no other record is left to be found")
    return found


def _write_sheet(source: ManifestSource | None, found: "Sequence[Near]", query: "Query", output: Path) -> None:
    """Write what was found as a contact sheet, behind the one record that it was looked for with.

    Raises:
        UsageError: another ending than .png, reports, or no manifest that knows the records.
    """
    from medcl.archive.manifest import Manifest
    from medcl.embed.embeddings import EmbeddingsFile
    from medcl.evaluate.search import HOW_FOUND
    from medcl.modality import wing
    from medcl.show.thumbnails import write_contact_sheet
    from medcl.wording import number

    if source is None:
        manifest = EmbeddingsFile.read(found[0].path).manifest()
    else:
        manifest = source if isinstance(source, Manifest) else Manifest.read(Path(source))
    captions = [(f"rank {one.rank}, cosine {number(one.similarity, digits=3)}", one.record_id) for one in found]
    ids = [one.record_id for one in found]
    # A report that was looked for with has no image.
    known = zip(manifest.column("record_id"), manifest.kinds, strict=True)
    record = query.near[0] if len(query.near) == 1 else ""
    if any(own == record and wing(kind).reads_files for own, kind in known):
        ids, captions = [record, *ids], [("query", record), *captions]
    write_contact_sheet(manifest, ids, captions, output, (f"Nearest to: {query}", HOW_FOUND))


_WIDTH = 90  # characters of a report's line


def _table(found: "Sequence[Near | FoundRecord]", words: Sequence[str]) -> list[str]:
    """Lines of what was found, with some words on each."""
    from medcl.wording import number

    width = max(len(one.record_id) for one in found)
    rows = (
        f"{one.rank:>4}  {number(one.similarity, digits=3):>6}  {one.record_id:<{width}}  {said}".rstrip()
        for one, said in zip(found, words, strict=True)
    )
    return [f"{'rank':>4}  {'cosine':>6}  record", *rows]


@one_or_many
def retrieve(
    run: PathSource | None = None,
    manifest: ManifestSource | None = None,
    *,
    text: str | None = None,
    and_text: Sequence[str] = (),
    not_text: Sequence[str] = (),
    record: Annotated[str | None, "ID"] = None,
    near: Sequence[Annotated[str, "ID"]] = (),
    far: Sequence[Annotated[str, "ID"]] = (),
    weights: Sequence[float] = (),
    embeddings: EmbeddingsSource | None = None,
    add: Sequence[Annotated[PathSource, "FILE"]] = (),
    other_patients: bool = False,
    k: int = 10,
    split: str = "",
    kind: KindName | None = None,
    output: PathSource | None = None,
    jobs: int = -1,
    store: PathSource | None = None,
) -> "Result[list[FoundRecord] | list[Near]]":
    """List the records of an archive that are nearest to texts or to records, and far from others.

    A query of several parts orders records by the sum of their mean cosines with what is looked for, without that with
    what is not. Cosines between modalities are lower than those within one, so that a record weighs more than a text
    where records of its own modality are looked for.

    Args:
        run: run folder that `medcl pretrain` wrote; with `--embeddings` only needed for `--text`.
        manifest: manifest of the archive that is searched.
        text: text to search for, such as 'left pleural effusion'.
        and_text: further texts that are to apply as well.
        not_text: texts that are not to apply, such as 'chest tube'.
        record: id of a record to search with; among several modalities its reports are searched.
        near: ids of further records that are examples of what is looked for.
        far: ids of records that are examples of what is not looked for.
        weights: weight of each thing that is looked for: the texts in their order, then the records; default: 1
            each.
        embeddings: file of embeddings that is searched in the place of a manifest, of any run; its index is kept beside
            it.
        add: files of embeddings that are added to the index.
        other_patients: leave out records of the same patient (with `--embeddings`).
        k: number of results.
        split: split whose records are searched; default: all.
        kind: modality of the results.
        output: contact sheet: a .png, or an .html page.
        jobs: number of processes that prepare records.
        store: folder of prepared records; default: beside the manifest.

    Returns:
        What was found, the nearest first.

    Raises:
        UsageError: neither `text`, `record` nor `near`, or nothing can be found by them.
        MedclError: the archive or the embeddings cannot be searched.
    """
    from medcl.embed.query import Query

    if text is not None and record is not None:
        raise UsageError("give one of --text and --record: the query; --near takes records beside a text")
    texts, records = (() if one is None else (one,) for one in (text, record))
    query = Query((*texts, *and_text), tuple(not_text), (*records, *near), tuple(far), tuple(weights))
    sheet = None if output is None else Path(output)
    if embeddings is not None:
        from medcl.embed.embeddings import EmbeddingsFile
        from medcl.explore.index import EmbeddingIndex

        of = embeddings if isinstance(embeddings, EmbeddingsFile) else EmbeddingsFile.read(Path(embeddings))
        index, lines = EmbeddingIndex.open(of), []
        for path in map(Path, add):
            index, new = index.add(EmbeddingsFile.read(path))
            lines.append(f"{path}: {new} embeddings added, {len(index)} in all")
        source = None if run is None else Path(run)
        seen = _nearest(query, of, index, source, k=k, kind=str(kind or ""), split=split, other_patients=other_patients)
        starts = [" ".join(f"{value:g}" for value in one.start) for one in seen]
        lines += _table(seen, [f"{one.kind}{' @ ' * bool(at)}{at}" for one, at in zip(seen, starts, strict=True)])
        if sheet is not None:
            _write_sheet(manifest, seen, query, sheet)
            lines.append(f"sheet: {sheet}")
        then = next_step.after_retrieve(["--embeddings", str(of.paths[0])], seen[0].record_id, sheet)
        return Result("\n".join(lines), lambda: seen, sheet, then)
    if run is None or manifest is None:
        raise UsageError("RUN and --manifest are needed, or --embeddings")
    if add or other_patients:
        raise UsageError("--add and --other-patients go with --embeddings")
    from medcl.evaluate.search import Archive, write_sheet

    archive = Archive.open(Path(run), *manifest_and_store(manifest, store), split, jobs)
    found = archive.by_query(query, k, kind)
    said = [" ".join(one.text.split()) for one in found]
    lines = _table(
        found, [one if len(one) <= _WIDTH else f"{one[: _WIDTH - 1]}\N{HORIZONTAL ELLIPSIS}" for one in said]
    )
    if sheet is not None:
        write_sheet(archive, found, str(query), sheet)
        lines.append(f"sheet: {sheet}")
    of_archive = [str(Path(run)), "--manifest", next_step.path_of(manifest)]
    then = next_step.after_retrieve(of_archive, found[0].record_id, sheet)
    return Result("\n".join(lines), lambda: found, sheet, then)
