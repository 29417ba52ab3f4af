"""Leave out what is redundant in an archive: reduce."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from medcl.commands import next_step
from medcl.commands.arguments import (
    ManifestSource,
    PathSource,
    Result,
    config_of,
    manifest_and_store,
    one_or_many,
    quarantined,
)
from medcl.errors import LeakError, UsageError
from medcl.reduce.strategies import STRATEGIES

if TYPE_CHECKING:
    from medcl.evaluate.results import Results
    from medcl.reduce.leaks import Leaks
    from medcl.reduce.preview import Preview
    from medcl.reduce.run import Reduced


@dataclass(frozen=True)
class Reduction:
    """What `reduce` found; None of what was not asked for.

    Args:
        reduced: what is kept, and what was dropped.
        preview: how redundant the archive is.
        leaks: near-duplicates across patients and splits.
        experiment: scores of encoders that were pretrained on everything, on what is kept and on as much at random.
    """

    reduced: "Reduced | None" = None
    preview: "Preview | None" = None
    leaks: "Leaks | None" = None
    experiment: "Results | None" = None


@one_or_many
def reduce(
    manifest: ManifestSource,
    output: PathSource | None = None,
    *,
    by: Annotated[Sequence[str], "STRATEGY", "repeated", STRATEGIES] = (),
    threshold: Annotated[float | str | None, "NUMBER|auto"] = None,
    keep: Annotated[str | float | None, "SHARE"] = None,
    unit: Literal["slice", "record"] | None = None,
    axis: Literal["x", "y", "z"] = "z",
    run: PathSource | None = None,
    encoder: str | None = None,
    report: Annotated[PathSource | None, "FILE.html"] = None,
    leaks: bool = False,
    fail_on_leak: bool = False,
    evaluate: Annotated[PathSource | None, "FOLDER"] = None,
    config: PathSource | None = None,
    target: str | None = None,
    seeds: int = 3,
    folds: int = 3,
    jobs: int = -1,
    cluster: Annotated[str | None, "ADDRESS"] = None,
    store: PathSource | None = None,
    **settings: Annotated[Any, "medcl.reduce.config:ReduceConfig"],
) -> Result[Reduction]:
    """Find what is redundant in an archive, and leave it out of its manifest; no file is deleted.

    Args:
        manifest: manifest that `medcl scan` wrote, or an earlier reduction.
        output: manifest of what is kept; OUTPUT.dropped.parquet next to it says what each dropped one duplicates.
        by: strategy, which says by what units are compared; default: hash. Several, each with a `--by` of its own, are
            for `--report` and `--evaluate`.
        threshold: limit up to which two units are duplicates, in the unit of the strategy; auto: the knee of the curve.
        keep: share of each group that is kept, such as 20%.
        unit: unit of comparison of volumes: slices (the default, but for `--leaks`), or each volume as a whole.
        axis: axis of RAS+ across which slices lie.
        run: run whose encoder is used by `--by embedding` and `--by wanted`.
        encoder: encoder that is used by these two: random, or the folder of another encoder.
        report: page that shows how redundant the archive is; with `--leaks` its pairs.
        leaks: search near-duplicates across patients and splits.
        fail_on_leak: end with exit code 1 if `--leaks` finds one.
        evaluate: folder of an experiment: pretrain on all units, on those that are kept and on as many at random, with
            the same number of steps and of epochs, and probe each; finished pretrainings stay in the folder, and the
            same command resumes them.
        config: recipe (YAML) that is pretrained by `--evaluate`.
        target: column that is probed by `--evaluate`, of labels or of label maps.
        seeds: number of pretrainings of each arm and fold of `--evaluate`.
        folds: number of folds of `--evaluate`, by patient; 1 takes the splits of the manifest.
        jobs: number of processes; -1 is one a core.
        cluster: address of a Dask scheduler (tcp://...) whose workers are used.
        store: folder of prepared records; default: beside the manifest.
        settings: the other fields of `medcl.reduce.config.ReduceConfig`, such as `scope="archive"`.

    Returns:
        What was found.

    Raises:
        UsageError: the arguments contradict each other, or there is no such strategy.
        LeakError: `fail_on_leak` is set, and a near-duplicate crosses patients or splits.
        MedclError: the records cannot be compared.
    """
    if fail_on_leak and not leaks:
        raise UsageError("--fail-on-leak is about --leaks: give both")
    if not (output or report or leaks or evaluate):
        raise UsageError(
            "say what to do: -o REDUCED.parquet reduces, --report looks, --leaks searches, --evaluate tests"
        )
    from medcl.archive.manifest import Manifest
    from medcl.reduce.config import ReduceConfig

    kept = None if output is None else Path(output)
    source = None if isinstance(manifest, Manifest) else Path(manifest).absolute()
    if kept is not None and kept.absolute() == source:
        raise UsageError(f"-o {output}: would replace the manifest that is reduced: choose another name")
    names = list(dict.fromkeys(by)) or ["hash"]
    alone = len(names) == 1
    if not alone and (output or leaks):
        raise UsageError(f"--by {' --by '.join(names)}: several strategies are for --report and --evaluate alone")

    def config_by(name: str) -> ReduceConfig:
        # Of several strategies each has its own threshold, and those of encoders the encoder.
        encoded = alone or name in ("embedding", "wanted")
        own = settings if alone or name == "wanted" else {**settings, "wanted": ""}
        return config_of(
            ReduceConfig,
            own,
            by=name,
            threshold=threshold if alone else None,
            keep=_share(keep),
            unit=unit or ("record" if leaks else "slice"),
            axis="xyz".index(axis),
            run=str(run or "") if encoded else "",
            encoder=(encoder or "") if encoded else "",
        )

    config_one = config_by(names[0])
    records, prepared = manifest_and_store(manifest, store)
    lines: list[str] = []
    found = preview = experiment = reduced = None
    if leaks:
        from medcl.reduce.leaks import find_leaks, write_leaks

        found = find_leaks(records, config_one, prepared, jobs=jobs, cluster=cluster)
        lines.append(str(found))
        if report is not None:
            write_leaks(Path(report), found, config_one.axis)
            lines.append(f"report: {report}")
        if found.leaks and fail_on_leak:
            raise LeakError(
                f"{len(found.leaks)} near-duplicates cross patients or splits: look at them, then correct the patients "
                "(`medcl scan`) or the split (`medcl split`), or leave one of each two out",
                told="\n".join(lines),
            )
    if evaluate is not None:
        if config is None or target is None:
            missing = [name for name, given in (("config", config), ("target", target)) if given is None]
            raise UsageError(f"--evaluate needs --{' and --'.join(missing)}: what is pretrained, and what is probed")
        from medcl.commands.recipes import recipe
        from medcl.commands.reduction_experiment import run_experiment, told

        experiment = run_experiment(
            records,
            [config_by(name) for name in names],
            prepared,
            Path(evaluate),
            recipe=recipe(Path(config)),
            target=target,
            seeds=seeds,
            folds=folds,
            jobs=jobs,
            cluster=cluster,
        )
        lines += [told(experiment), f"report: {Path(evaluate) / 'report.html'}"]
    if report is not None and not leaks:
        from medcl.reduce.page import write_page
        from medcl.reduce.preview import preview as preview_of

        preview = preview_of(records, config_one, prepared, names=by, jobs=jobs, cluster=cluster)
        write_page(Path(report), preview)
        lines += [str(preview), f"report: {report}"]
    if kept is not None:
        from medcl.reduce.run import reduce_manifest, write_dropped

        reduced = reduce_manifest(records, config_one, prepared, jobs=jobs, cluster=cluster)
        reduced.manifest.write(kept)
        dropped = kept.with_name(f"{kept.stem}.dropped.parquet")
        write_dropped(reduced.dropped, dropped)
        lines += [str(reduced)]
        lines += quarantined(reduced.quarantine, len(records), "records, whose files cannot be read")
        if reduced.incomparable:
            lines.append("kept, for they cannot be compared:")
            lines += quarantined(reduced.incomparable, len(records), "records")
        lines += [f"dropped: {dropped}", f"manifest: {kept}"]
    if reduced is not None:
        then = next_step.after_manifest(reduced.manifest, kept)
    elif found is not None:
        then = next_step.after_leaks(records, manifest, len(found.leaks), None if report is None else Path(report))
    else:
        then = next_step.after_preview(manifest, names[0])
    return Result("\n".join(lines), lambda: Reduction(reduced, preview, found, experiment), kept, then)


def _share(given: str | float | None) -> float | None:
    """A share as a number, of `0.2` or `20%`.

    Raises:
        UsageError: it is neither.
    """
    if not isinstance(given, str):
        return given
    try:
        return float(given[:-1]) / 100 if given.endswith("%") else float(given)
    except ValueError as error:
        raise UsageError(f"--keep {given}: a share, such as 20% or 0.2") from error
