"""Search an archive with an encoder, or a file of embeddings by its index: retrieve."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from medcl.commands import next_step
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


def _other(index: "EmbeddingIndex", embeddings: "EmbeddingsFile", record_id: str) -> str:
    """In a space of several modalities, what is looked for with a record of one of them; else empty, for all."""
    kinds = embeddings.about.kinds
    if not embeddings.about.joint or len(kinds) < 2:
        return ""
    own = index.of(record_id, "kind")
    others = [one for one in kinds if one != own]
    return "report" if "report" in others else others[0]


def _of_text(text: str, source: Path | None, embeddings: "EmbeddingsFile") -> "Vectors":
    """The embedding of a text by the run that the embeddings are of.

    Raises:
        UsageError: there is no such run, or it reads no texts.
    """
    from medcl import runs
    from medcl.embed.metadata import run_fingerprint
    from medcl.evaluate.multimodal_space import embed_texts, require_multimodal, with_side
    from medcl.networks.multimodal import REPORT

    if source is None:
        raise UsageError("--text is read by an encoder: name the RUN that the embeddings are of")
    if not text.strip():
        raise UsageError("--text is empty: write what to look for, such as 'left pleural effusion'")
    if run_fingerprint(source) != embeddings.about.run:
        raise UsageError(f"{embeddings.paths[0]}: its embeddings are not of {source}: embed the archive by this run")
    run = require_multimodal(runs.load(source, kinds=()))
    if REPORT not in run.card.sides:
        raise UsageError(f"{source}: reads no texts: look for --record")
    embedded: Any = embed_texts(with_side(run, REPORT), [text])[0]
    vector: Vectors = embedded.cpu().numpy()
    return vector


def _write_sheet(source: ManifestSource | None, found: "Sequence[Near]", record: str, text: str, output: Path) -> None:
    """Write what was found as a contact sheet, behind the record that it was looked for with.

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
    if any(own == record and wing(kind).reads_files for own, kind in known):
        ids, captions = [record, *ids], [("query", record), *captions]
    write_contact_sheet(manifest, ids, captions, output, (f"Nearest to: {record or text}", HOW_FOUND))


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
    sheet = None if output is None else Path(output)
    if embeddings is not None:
        from medcl.embed.embeddings import EmbeddingsFile
        from medcl.explore.index import EmbeddingIndex

        of = embeddings if isinstance(embeddings, EmbeddingsFile) else EmbeddingsFile.read(Path(embeddings))
        index, lines, wanted, patient = EmbeddingIndex.open(of), [], str(kind or ""), None
        for path in map(Path, add):
            index, new = index.add(EmbeddingsFile.read(path))
            lines.append(f"{path}: {new} embeddings added, {len(index)} in all")
        if record is not None:
            vector = index.vector(record)
            wanted = wanted or _other(index, of, record)
            patient = index.of(record, "patient") if other_patients else None
        else:
            vector = _of_text(text or "", None if run is None else Path(run), of)
            wanted = wanted or next((one for one in of.about.kinds if one != "report"), "report")
        near = index.nearest(vector, k, kind=wanted, split=split, without_record=record or "", without_patient=patient)
        if not near:
            raise UsageError("no other record is left to be found")
        starts = [" ".join(f"{value:g}" for value in one.start) for one in near]
        lines += _table(near, [f"{one.kind}{' @ ' * bool(at)}{at}" for one, at in zip(near, starts, strict=True)])
        if sheet is not None:
            _write_sheet(manifest, near, record or "", text or "", sheet)
            lines.append(f"sheet: {sheet}")
        then = next_step.after_retrieve(["--embeddings", str(of.paths[0])], near[0].record_id, sheet)
        return Result("\n".join(lines), lambda: near, sheet, then)
    if run is None or manifest is None:
        raise UsageError("RUN and --manifest are needed, or --embeddings")
    if add or other_patients:
        raise UsageError("--add and --other-patients go with --embeddings")
    from medcl.evaluate.search import Archive, write_sheet

    records, prepared = manifest_and_store(manifest, store)
    archive = Archive.open(Path(run), records, prepared, split, jobs)
    found = archive.by_text(text, k, kind) if text is not None else archive.by_record(str(record), k, kind)
    texts = [" ".join(one.text.split()) for one in found]
    lines = _table(
        found, [one if len(one) <= _WIDTH else f"{one[: _WIDTH - 1]}\N{HORIZONTAL ELLIPSIS}" for one in texts]
    )
    if sheet is not None:
        write_sheet(archive, found, record or text or "", sheet)
        lines.append(f"sheet: {sheet}")
    of_archive = [str(Path(run)), "--manifest", next_step.path_of(manifest)]
    then = next_step.after_retrieve(of_archive, found[0].record_id, sheet)
    return Result("\n".join(lines), lambda: found, sheet, then)
