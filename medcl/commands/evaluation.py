"""Evaluate encoders: finetune, compare, and evaluate for several modalities."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from medcl.commands import next_step
from medcl.commands.arguments import (
    ManifestSource,
    PathSource,
    Result,
    config_of,
    manifest_and_store,
    one_or_many,
    printed,
)

if TYPE_CHECKING:
    from medcl.evaluate.results import Results


@one_or_many
def finetune(
    run: Sequence[PathSource],
    manifest: ManifestSource,
    target: str,
    output: PathSource | None = None,
    *,
    store: PathSource | None = None,
    **settings: Annotated[Any, "medcl.evaluate.config:EvaluateConfig"],
) -> "Result[Results]":
    """Measure pretrained encoders at label fractions, next to the same network from scratch and to simple baselines.

    Args:
        run: run folders that `medcl pretrain` wrote; several are compared on the same patients.
        manifest: manifest that `medcl scan` wrote, with splits and labels.
        target: column to predict: of labels, or of label maps.
        output: new folder of results.json, report.html and models; default: RUN/eval/TARGET/DATE-N of the first run,
            and RUN/eval/TARGET/latest points at it.
        store: folder of prepared records; default: beside the manifest.
        settings: fields of `medcl.evaluate.config.EvaluateConfig`, such as `labels=["1%", "100%"]`.

    Returns:
        The results.

    Raises:
        UsageError: there is no such target or setting, or a label fraction is invalid.
        MedclError: a run cannot be loaded, or has seen patients that would be tested.
    """
    from medcl.evaluate.config import EvaluateConfig
    from medcl.evaluate.finetune import finetune as measure
    from medcl.evaluate.folder import begin, finish
    from medcl.evaluate.terminal import show

    config = config_of(EvaluateConfig, settings, target=target)
    records, prepared = manifest_and_store(manifest, store)
    folders = [Path(one) for one in run]
    folder = begin(folders[0], target, None if output is None else Path(output))
    results = measure(folders, records, config, prepared, folder)
    finish(folder, is_own=output is None)
    text = printed(lambda console: show(results, console))
    then = next_step.after_finetune(folder, folders)
    models = "".join(f"model: {one}\n" for one in sorted((folder / "models").glob("*")))
    return Result(f"{text}{models}report: {folder / 'report.html'}", lambda: results, folder, then)


@one_or_many
def compare(
    results: Sequence[PathSource],
    output: PathSource | None = None,
    *,
    target: str = "",
    names: Sequence[str] = (),
    markdown: bool = False,
    pool: bool = False,
) -> "Result[Results]":
    """Put the evaluations of several runs on the same test patients side by side.

    Args:
        results: run folders, whose latest evaluations are found, or results.json files or folders that hold one.
        output: folder of results.json and report.html that are written.
        target: the one that is compared, where the runs were evaluated on several.
        names: names of the results, in their order.
        markdown: show tables as Markdown.
        pool: pool the results, which are the folds of one cross-validation.

    Returns:
        The results as one.

    Raises:
        UsageError: the results are not of the same target and test patients.
        MedclError: a file cannot be read.
    """
    from medcl.evaluate import compare as comparing
    from medcl.evaluate import terminal
    from medcl.evaluate.page import write_page
    from medcl.evaluate.pool import combine_folds

    paths, found = comparing.find([Path(one) for one in results], target)
    merged = combine_folds(paths) if pool else comparing.compare(paths, names)
    text = terminal.markdown(merged) if markdown else printed(lambda console: terminal.show(merged, console))
    lines = [text.rstrip("\n")] if markdown else [found, "", text.rstrip("\n")]
    folder = None if output is None else Path(output)
    if folder is not None:
        merged.save(folder / comparing.RESULTS)
        write_page(merged, folder / "report.html")
        lines.append(f"report: {folder / 'report.html'}")
    return Result("\n".join(lines), lambda: merged, folder, next_step.after_compare(folder), is_document=markdown)


@one_or_many
def evaluate(
    run: Sequence[PathSource],
    manifest: ManifestSource,
    output: PathSource | None = None,
    *,
    ranks: Sequence[Annotated[int, "K"]] = (1, 5, 10),
    store: PathSource | None = None,
    **settings: Annotated[Any, "medcl.evaluate.config:MultimodalEvaluateConfig"],
) -> "Result[Results]":
    """Measure retrieval, zero-shot classification and the modality gap of runs on several modalities.

    Runs on reports alone are asked for a report by one of its sentences, and whether reports with the same labels are
    near, beside tf-idf of words and the published sentence encoders of `encoders`.

    Args:
        run: run folders that `medcl pretrain` wrote; several are compared on the same patients.
        manifest: manifest of records and reports, with splits.
        output: new folder of results.json and report.html; default: RUN/eval/joint/DATE-N of the first run, and
            RUN/eval/joint/latest points at it.
        ranks: values of k in recall@k and precision@k.
        store: folder of prepared records; default: beside the manifest.
        settings: the other fields of `medcl.evaluate.config.MultimodalEvaluateConfig`, such as `prompts="ptbxl"`.

    Returns:
        The results.

    Raises:
        UsageError: a run has one modality only, or a setting is invalid.
        MedclError: a run has seen patients that would be tested, or records cannot be prepared.
    """
    from medcl.evaluate.config import MultimodalEvaluateConfig
    from medcl.evaluate.folder import begin, finish
    from medcl.evaluate.multimodal_evaluation import evaluate_multimodal
    from medcl.evaluate.terminal import show

    config = config_of(MultimodalEvaluateConfig, settings, ranks=tuple(sorted(set(ranks))))
    records, prepared = manifest_and_store(manifest, store)
    folders = [Path(one) for one in run]
    folder = begin(folders[0], "joint", None if output is None else Path(output))
    results = evaluate_multimodal(folders, records, config, prepared, folder)
    finish(folder, is_own=output is None)
    text = printed(lambda console: show(results, console))
    reads_texts = any("report" in one.protocol for one in results.queries)
    is_joint = len(results.splits["test"].per_class) > 1
    then = next_step.after_evaluate(folders[0], manifest, reads_texts, is_joint)
    return Result(f"{text}report: {folder / 'report.html'}", lambda: results, folder, then)
