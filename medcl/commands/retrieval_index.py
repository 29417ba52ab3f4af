"""Finding records through the index of a file of embeddings."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medcl.commands import parsers
from medcl.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from medcl.embed.embeddings import EmbeddingsFile
    from medcl.embed.vectors import Vectors
    from medcl.explore.index import EmbeddingIndex, Near


def retrieve_indexed(given: argparse.Namespace) -> None:
    """Answer `medcl retrieve --embeddings`.

    Raises:
        UsageError: the words contradict each other, or nothing is found by them.
        MedclError: the embeddings cannot be searched.
    """
    from medcl.embed.embeddings import EmbeddingsFile
    from medcl.explore.index import EmbeddingIndex
    from medcl.show.wording import number

    embeddings = EmbeddingsFile.read(given.embeddings)
    index = EmbeddingIndex.open(embeddings)
    for path in given.add:
        index, new = index.add(EmbeddingsFile.read(path))
        print(f"{path}: {new} embeddings added, {len(index)} in all")
    kind, patient = given.of or "", None
    if given.record is not None:
        query = index.vector(given.record)
        kind = kind or _other(index, embeddings, given.record)
        if given.other_patients:
            patient = index.of(given.record, "patient")
    else:
        query = _of_text(given, embeddings)
        drawable = [one for one in embeddings.about.kinds if one != "report"]
        kind = kind or (drawable[0] if drawable else "report")
    found = index.nearest(
        query, given.k, kind=kind, split=given.split, without_record=given.record or "", without_patient=patient
    )
    if not found:
        raise UsageError("no other record is left to be found")
    width = max(len(one.record_id) for one in found)
    print(f"{'rank':>4}  {'cosine':>6}  record")
    for one in found:
        start = " ".join(f"{value:g}" for value in one.start)
        line = f"{one.rank:>4}  {number(one.similarity, digits=3):>6}  {one.record_id:<{width}}  {one.kind}"
        print(f"{line}{' @ ' * bool(start)}{start}")
    if given.output:
        _write_sheet(given, found)
        print(f"sheet: {given.output}")


def _other(index: "EmbeddingIndex", embeddings: "EmbeddingsFile", record_id: str) -> str:
    """In a space of several modalities, what is looked for with a record of one of them; else empty, for all."""
    kinds = embeddings.about.kinds
    if not embeddings.about.joint or len(kinds) < 2:
        return ""
    own = index.of(record_id, "kind")
    others = [one for one in kinds if one != own]
    return "report" if "report" in others else others[0]


def _of_text(given: argparse.Namespace, embeddings: "EmbeddingsFile") -> "Vectors":
    """The embedding of a text by the run that the embeddings are of.

    Raises:
        UsageError: there is no such run, or it reads no texts.
    """
    from medcl import runs
    from medcl.embed.metadata import run_fingerprint
    from medcl.evaluate.multimodal_space import embed_texts, require_multimodal, with_side
    from medcl.networks.multimodal import REPORT

    if given.run is None:
        raise UsageError("--text is read by an encoder: name the RUN that the embeddings are of")
    if not given.text.strip():
        raise UsageError("--text is empty: write what to look for, such as 'left pleural effusion'")
    if run_fingerprint(given.run) != embeddings.about.run:
        raise UsageError(f"{given.embeddings}: its embeddings are not of {given.run}: embed the archive by this run")
    run = require_multimodal(runs.load(given.run, kinds=()))
    if REPORT not in run.card.sides:
        raise UsageError(f"{given.run}: reads no texts: look for --record")
    query: Any = embed_texts(with_side(run, REPORT), [given.text])[0]
    vector: Vectors = query.cpu().numpy()
    return vector


def _write_sheet(given: argparse.Namespace, found: "Sequence[Near]") -> None:
    """What was found as a image.

    Raises:
        UsageError: another ending than .png, reports, or no manifest that knows the records.
    """
    from medcl.archive.manifest import Manifest
    from medcl.embed.embeddings import EmbeddingsFile
    from medcl.explore.thumbnails import write_contact_sheet
    from medcl.show.wording import number

    if given.manifest is not None:
        manifest = parsers.read(given.manifest)
    else:
        first = EmbeddingsFile.read(found[0].path)
        manifest = Manifest(first.table(), Path(first.about.root), first.about.archive)
    captions = [(f"{one.rank}  {number(one.similarity, digits=3)}", one.record_id) for one in found]
    write_contact_sheet(manifest, [one.record_id for one in found], captions, given.output)
