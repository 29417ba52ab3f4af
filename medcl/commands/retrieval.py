"""Search an archive with an encoder, or a file of embeddings by its index: retrieve."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
    from medcl.embed.vectors import Vectors
    from medcl.evaluate.search import FoundRecord
    from medcl.explore.index import EmbeddingIndex, Near


@dataclass(frozen=True)
class Query:
    """What is searched for.

    Args:
        run: that the embeddings are of, which reads texts.
        manifest: of the records that a contact sheet shows; default: as the embeddings know it.
        text: searched for, where there is no record.
        record: id of the record whose neighbours are searched.
        other_patients: leave out records of the same patient.
        k: number of results.
        split: whose records are searched; all where it is empty.
        kind: modality of the results.
    """

    run: Path | None
    manifest: ManifestSource | None
    text: str
    record: str | None
    other_patients: bool
    k: int
    split: str
    kind: KindName | None


def search(
    source: EmbeddingsSource, more: "Sequence[Path]", query: Query, output: Path | None
) -> "tuple[list[Near], list[str]]":
    """Search an index.

    Returns:
        What was found, and the lines that tell it.

    Raises:
        UsageError: the words contradict each other, or nothing is found by them.
        MedclError: the embeddings cannot be searched.
    """
    from medcl.embed.embeddings import EmbeddingsFile
    from medcl.explore.index import EmbeddingIndex
    from medcl.wording import number

    embeddings = source if isinstance(source, EmbeddingsFile) else EmbeddingsFile.read(Path(source))
    index = EmbeddingIndex.open(embeddings)
    lines = []
    for path in more:
        index, new = index.add(EmbeddingsFile.read(path))
        lines.append(f"{path}: {new} embeddings added, {len(index)} in all")
    kind: str = query.kind or ""
    patient = None
    if query.record is not None:
        vector = index.vector(query.record)
        kind = kind or _other(index, embeddings, query.record)
        if query.other_patients:
            patient = index.of(query.record, "patient")
    else:
        vector = _of_text(query, embeddings)
        drawable = [one for one in embeddings.about.kinds if one != "report"]
        kind = kind or (drawable[0] if drawable else "report")
    found = index.nearest(
        vector, query.k, kind=kind, split=query.split, without_record=query.record or "", without_patient=patient
    )
    if not found:
        raise UsageError("no other record is left to be found")
    width = max(len(one.record_id) for one in found)
    lines.append(f"{'rank':>4}  {'cosine':>6}  record")
    for one in found:
        start = " ".join(f"{value:g}" for value in one.start)
        line = f"{one.rank:>4}  {number(one.similarity, digits=3):>6}  {one.record_id:<{width}}  {one.kind}"
        lines.append(f"{line}{' @ ' * bool(start)}{start}")
    if output is not None:
        _write_sheet(query.manifest, found, output)
        lines.append(f"sheet: {output}")
    return found, lines


def _other(index: "EmbeddingIndex", embeddings: "EmbeddingsFile", record_id: str) -> str:
    """In a space of several modalities, what is looked for with a record of one of them; else empty, for all."""
    kinds = embeddings.about.kinds
    if not embeddings.about.joint or len(kinds) < 2:
        return ""
    own = index.of(record_id, "kind")
    others = [one for one in kinds if one != own]
    return "report" if "report" in others else others[0]


def _of_text(query: Query, embeddings: "EmbeddingsFile") -> "Vectors":
    """The embedding of a text by the run that the embeddings are of.

    Raises:
        UsageError: there is no such run, or it reads no texts.
    """
    from medcl import runs
    from medcl.embed.metadata import run_fingerprint
    from medcl.evaluate.multimodal_space import embed_texts, require_multimodal, with_side
    from medcl.networks.multimodal import REPORT

    if query.run is None:
        raise UsageError("--text is read by an encoder: name the RUN that the embeddings are of")
    if not query.text.strip():
        raise UsageError("--text is empty: write what to look for, such as 'left pleural effusion'")
    if run_fingerprint(query.run) != embeddings.about.run:
        raise UsageError(f"{embeddings.paths[0]}: its embeddings are not of {query.run}: embed the archive by this run")
    run = require_multimodal(runs.load(query.run, kinds=()))
    if REPORT not in run.card.sides:
        raise UsageError(f"{query.run}: reads no texts: look for --record")
    embedded: Any = embed_texts(with_side(run, REPORT), [query.text])[0]
    vector: Vectors = embedded.cpu().numpy()
    return vector


def _write_sheet(source: ManifestSource | None, found: "Sequence[Near]", output: Path) -> None:
    """Write what was found as a contact sheet.

    Raises:
        UsageError: another ending than .png, reports, or no manifest that knows the records.
    """
    from medcl.archive.manifest import Manifest
    from medcl.embed.embeddings import EmbeddingsFile
    from medcl.show.thumbnails import write_contact_sheet
    from medcl.wording import number

    if isinstance(source, Manifest):
        manifest = source
    elif source is not None:
        manifest = Manifest.read(Path(source))
    else:
        first = EmbeddingsFile.read(found[0].path)
        manifest = Manifest(first.table(), Path(first.about.root), first.about.archive)
    captions = [(f"{one.rank}  {number(one.similarity, digits=3)}", one.record_id) for one in found]
    write_contact_sheet(manifest, [one.record_id for one in found], captions, output)


_WIDTH = 90  # characters of a report's line


@one_or_many
def retrieve(
    run: PathSource | None = None,
    manifest: ManifestSource | None = None,
    *,
    text: str | None = None,
    record: Annotated[str | None, "ID"] = None,
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
    """List the records of an archive that are nearest to a text, or to a record.

    Args:
        run: run folder that `medcl pretrain` wrote; with `--embeddings` only needed for `--text`.
        manifest: manifest of the archive that is searched.
        text: text to search for, such as 'left pleural effusion'.
        record: id of a record to search with; among several modalities its reports are searched.
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
        UsageError: not exactly one of `text` and `record`, or nothing can be found by them.
        MedclError: the archive or the embeddings cannot be searched.
    """
    if (text is None) == (record is None):
        raise UsageError("give one of --text and --record: the query")
    if embeddings is not None:
        from medcl.commands.retrieval import Query, search

        query = Query(None if run is None else Path(run), manifest, text or "", record, other_patients, k, split, kind)
        near, lines = search(embeddings, list(map(Path, add)), query, None if output is None else Path(output))
        return Result("\n".join(lines), lambda: near, None if output is None else Path(output))
    if run is None or manifest is None:
        raise UsageError("RUN and --manifest are needed, or --embeddings")
    if add or other_patients:
        raise UsageError("--add and --other-patients go with --embeddings")
    from medcl.evaluate.search import Archive, write_sheet
    from medcl.wording import number

    records, prepared = manifest_and_store(manifest, store)
    archive = Archive.open(Path(run), records, prepared, split, jobs)
    found = archive.by_text(text, k, kind) if text is not None else archive.by_record(str(record), k, kind)
    width = max(len(one.record_id) for one in found)
    lines = [f"{'rank':>4}  {'cosine':>6}  record"]
    for one in found:
        words = " ".join(one.text.split())
        short = words if len(words) <= _WIDTH else words[: _WIDTH - 1] + "\N{HORIZONTAL ELLIPSIS}"
        lines.append(
            f"{one.rank:>4}  {number(one.similarity, digits=3):>6}  {one.record_id:<{width}}  {short}".rstrip()
        )
    if output is not None:
        write_sheet(archive, found, record or text or "", Path(output))
        lines.append(f"sheet: {output}")
    return Result("\n".join(lines), lambda: found, None if output is None else Path(output))
