"""Evaluate encoders: finetune, compare, and evaluate for several modalities."""

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from medcl import files
from medcl.commands.arguments import (
    ManifestSource,
    PathSource,
    Result,
    config_of,
    manifest_and_store,
    one_or_many,
    printed,
)
from medcl.errors import UsageError, no_such

if TYPE_CHECKING:
    from medcl.evaluate.compare import Comparison
    from medcl.evaluate.multimodal_results import MultimodalResults
    from medcl.evaluate.results import Results


@one_or_many
def finetune(
    run: PathSource,
    manifest: ManifestSource,
    target: str,
    output: PathSource | None = None,
    *,
    store: PathSource | None = None,
    **settings: Annotated[Any, "medcl.evaluate.config:EvaluateConfig", "medcl.evaluate.config:SegmentationConfig"],
) -> "Result[Results]":
    """Measure a pretrained encoder at label fractions, next to the same network from scratch.

    Args:
        run: run folder that `medcl pretrain` wrote.
        manifest: manifest that `medcl scan` wrote, with splits and labels.
        target: column to predict: of labels, or of label maps.
        output: folder of results.json and report.html; default: RUN/eval/TARGET.
        store: folder of prepared records; default: beside the manifest.
        settings: fields of `medcl.evaluate.config.EvaluateConfig`, such as `labels=["1%", "100%"]`; where the target is
            a column of label maps, of `medcl.evaluate.config.SegmentationConfig`.

    Returns:
        The results.

    Raises:
        UsageError: there is no such target or setting, or a label fraction is invalid.
        MedclError: the run cannot be loaded, or has seen patients that would be tested.
    """
    from medcl.evaluate.config import EvaluateConfig, SegmentationConfig
    from medcl.evaluate.wording import show

    records, prepared = manifest_and_store(manifest, store)
    run = Path(run)
    folder = run / "eval" / files.safe_name(target) if output is None else Path(output)
    kinds: tuple[Any, ...] = (EvaluateConfig, SegmentationConfig)
    known = [{one.name for one in fields(kind)} for kind in kinds]
    for name in settings:
        if not any(name in own for own in known):
            raise UsageError(no_such("setting", name, sorted(set.union(*known))))
    masks = target in records.masks
    own = {name: value for name, value in settings.items() if name in known[masks]}
    if masks:
        from medcl.evaluate.segment import evaluate_masks

        results = evaluate_masks(run, records, config_of(SegmentationConfig, own, target=target), prepared, folder)
    else:
        from medcl.evaluate.evaluation import evaluate

        results = evaluate(run, records, config_of(EvaluateConfig, own, target=target), prepared, folder)
    text = printed(lambda console: show(results, console))
    return Result(f"{text}report: {folder / 'report.html'}", lambda: results, folder)


@one_or_many
def compare(
    results: Sequence[PathSource],
    output: PathSource | None = None,
    *,
    names: Sequence[str] = (),
    markdown: bool = False,
    pool: bool = False,
) -> "Result[Comparison | Results]":
    """Put the results of several runs on the same test patients side by side.

    Args:
        results: results.json files, or folders that hold one.
        output: page (HTML) that is written; with `--pool`, a folder of results.json and report.html.
        names: names of the results, in their order.
        markdown: show tables as Markdown.
        pool: pool the results, which are the folds of one cross-validation.

    Returns:
        The comparison; with `pool`, the pooled results.

    Raises:
        UsageError: the results are not of the same target and test patients.
        MedclError: a file cannot be read.
    """
    from medcl.evaluate import compare as comparing
    from medcl.evaluate import wording

    paths = [path / "results.json" if path.is_dir() else path for path in map(Path, results)]
    page = None if output is None else Path(output)
    if pool:
        from medcl.evaluate import cross_validation
        from medcl.evaluate.page import write_page

        pooled = cross_validation.combine_folds(paths)
        text = wording.markdown(pooled) if markdown else printed(lambda console: wording.show(pooled, console))
        if page is not None:
            pooled.save(page / "results.json")
            write_page(pooled, page / "report.html")
        return Result(text.rstrip("\n"), lambda: pooled, page)
    comparison = comparing.compare(paths, names)
    if markdown:
        text = comparing.markdown(comparison)
    else:
        text = printed(lambda console: comparing.show(comparison, console=console))
    if page is not None:
        comparing.write_page(comparison, page)
        text = f"{text.rstrip(chr(10))}\npage: {page}"
    return Result(text.rstrip("\n"), lambda: comparison, page)


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
    from medcl.evaluate.multimodal_results import show

    config = config_of(MultimodalEvaluateConfig, settings, ranks=tuple(sorted(set(ranks))))
    run = Path(run)
    folder = run / "eval" / "joint" if output is None else Path(output)
    records, prepared = manifest_and_store(manifest, store)
    results = evaluate_multimodal(run, records, config, prepared, folder)
    text = printed(lambda console: show(results, console))
    return Result(f"{text}report: {folder / 'report.html'}", lambda: results, folder)
