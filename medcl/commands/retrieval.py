"""Evaluate an encoder of several modalities, and search with it: evaluate, retrieve."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from medcl.commands.arguments import (
    EmbeddingsSource,
    KindName,
    ManifestSource,
    PathSource,
    config_of,
    manifest_and_store,
    one_or_many,
)
from medcl.commands.result import Result, printed
from medcl.errors import UsageError

if TYPE_CHECKING:
    from medcl.evaluate.multimodal_results import MultimodalResults
    from medcl.evaluate.search import FoundRecord
    from medcl.explore.index import Near

_WIDTH = 90  # characters of a report's line


@one_or_many
def evaluate(
    run: PathSource,
    manifest: ManifestSource,
    output: PathSource | None = None,
    *,
    ranks: Sequence[Annotated[int, "K"]] = (1, 5, 10),
    store: PathSource | None = None,
    **settings: Annotated[Any, "medcl.evaluate.config:MultimodalEvaluateConfig"],
) -> "Result[MultimodalResults]":
    """Measure retrieval, zero-shot classification and the modality gap of a run on several modalities.

    Args:
        run: run folder that `medcl pretrain` wrote.
        manifest: manifest of records and reports, with splits.
        output: folder of results.json and report.html; default: RUN/eval/joint.
        ranks: values of k in recall@k and precision@k.
        store: folder of prepared records; default: beside the manifest.
        settings: the other fields of `medcl.evaluate.config.MultimodalEvaluateConfig`, such as `prompts="ptbxl"`.

    Returns:
        The results.

    Raises:
        UsageError: the run has one modality only, or a setting is invalid.
        MedclError: the run has seen patients that would be tested, or records cannot be prepared.
    """
    from medcl.evaluate.config import MultimodalEvaluateConfig
    from medcl.evaluate.multimodal_evaluation import evaluate_multimodal
    from medcl.evaluate.multimodal_page import show

    config = config_of(MultimodalEvaluateConfig, settings, ranks=tuple(sorted(set(ranks))))
    run = Path(run)
    folder = run / "eval" / "joint" if output is None else Path(output)
    records, prepared = manifest_and_store(manifest, store)
    results = evaluate_multimodal(run, records, config, prepared, folder)
    text = printed(lambda console: show(results, console))
    return Result(f"{text}report: {folder / 'report.html'}", lambda: results, folder)


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
        from medcl.commands.retrieval_index import Query, search

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
