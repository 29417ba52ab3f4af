"""Finding records through the index of a file of embeddings."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medcl.commands.arguments import EmbeddingsSource, KindName, ManifestSource
from medcl.errors import UsageError

if TYPE_CHECKING:
    from medcl.embed.embeddings import EmbeddingsFile
    from medcl.embed.vectors import Vectors
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

    Args:
        source: the embeddings.
        more: files of embeddings that are added.
        query: what is searched for.
        output: contact sheet.

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
