"""What of an archive is worth training on: reduce."""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from medcl.commands import parsers, quarantine
from medcl.errors import LeakError, UsageError
from medcl.reduce.strategies import STRATEGIES

if TYPE_CHECKING:
    from medcl.archive.manifest import Manifest
    from medcl.pretrain.plan import Config
    from medcl.reduce.config import ReduceConfig
    from medcl.reduce.result import Reduced


def reduce(argv: Sequence[str]) -> None:
    """Find what is redundant in an archive, and leave it out of its manifest; no file is deleted."""
    given = _parser().parse_args(argv)
    if given.fail_on_leak and not given.leaks:
        raise UsageError("--fail-on-leak is about --leaks: give both")
    if not (given.output or given.report or given.leaks or given.evaluate):
        raise UsageError(
            "say what to do: -o REDUCED.parquet reduces, --report looks, --leaks searches, --evaluate tests"
        )
    if given.output is not None and given.output.absolute() == given.manifest.absolute():
        raise UsageError(f"-o {given.output}: would replace the manifest that is reduced: choose another name")
    names = given.by or ["hash"]
    if len(names) > 1 and (given.output or given.leaks):
        raise UsageError(f"--by {' --by '.join(names)}: several strategies are for --report and --evaluate alone")
    manifest, store = parsers.read(given.manifest), parsers.store_of(given.manifest)
    config = _config(given, names[0])
    if given.leaks:
        _leaks(given, manifest, config, store)
    if given.evaluate is not None:
        configs = [_config(given, name) for name in names]
        _evaluate(given, manifest, configs, store)
    if given.report is not None and not given.leaks:
        from medcl.reduce.page import write_page
        from medcl.reduce.preview import preview

        found = preview(manifest, config, store, names=given.by or (), jobs=given.jobs, cluster=given.cluster)
        write_page(given.report, found)
        print(found)
        print(f"report: {given.report}")
    if given.output is not None:
        from medcl.reduce.run import reduce_manifest

        reduced = reduce_manifest(manifest, config, store, jobs=given.jobs, cluster=given.cluster)
        _write(reduced, given.output)


def dropped_path(output: Path) -> Path:
    """The table of what a reduction dropped lies beside its manifest."""
    return output.with_name(f"{output.stem}.dropped.parquet")


def _write(reduced: "Reduced", output: Path) -> None:
    from medcl.reduce.result import write_dropped

    reduced.manifest.write(output)
    write_dropped(reduced.dropped, dropped_path(output))
    total = len(reduced.before)
    lines = quarantine.told(reduced.quarantine, total, "records, whose files cannot be read")
    if reduced.incomparable:
        lines.append("kept, for they cannot be compared:")
        lines += quarantine.told(reduced.incomparable, total, "records")
    print(reduced, *lines, f"dropped: {dropped_path(output)}", f"manifest: {output}", sep="\n")


def _leaks(given: argparse.Namespace, manifest: "Manifest", config: "ReduceConfig", store: Path) -> None:
    from medcl.reduce.leaks import find_leaks

    found = find_leaks(manifest, config, store, jobs=given.jobs, cluster=given.cluster)
    print(found)
    if given.report is not None:
        from medcl.reduce.leaks import write_leaks

        write_leaks(given.report, found, config.axis)
        print(f"report: {given.report}")
    if found.leaks and given.fail_on_leak:
        raise LeakError(
            f"{len(found.leaks)} near-duplicates cross patients or splits: look at them, then correct the patients "
            "(`medcl scan`) or the split (`medcl split`), or leave one of each two out"
        )


def _evaluate(given: argparse.Namespace, manifest: "Manifest", configs: "Sequence[ReduceConfig]", store: Path) -> None:
    missing = [name for name in ("config", "target") if getattr(given, name) is None]
    if missing:
        raise UsageError(f"--evaluate needs --{' and --'.join(missing)}: what is pretrained, and what is probed")
    from medcl.commands.training import recipe
    from medcl.evaluate.protocols import probe_scores
    from medcl.reduce.experiment import run_experiment

    results = run_experiment(
        manifest,
        configs,
        store,
        given.evaluate,
        recipe=recipe(given.config),
        target=given.target,
        pretrain=_pretrained,
        probe=probe_scores,
        seeds=given.seeds,
        folds=given.folds,
        jobs=given.jobs,
        cluster=given.cluster,
    )
    print(results)
    print(f"report: {given.evaluate / 'report.html'}")


def _pretrained(config: "Config", manifest: "Manifest", store: Path, folder: Path) -> tuple[int, float]:
    """Pretrain, or go on with an interrupted run; steps taken, and seconds of all of them at the last part's pace."""
    from medcl import runs
    from medcl.pretrain.checkpoint import step_of
    from medcl.pretrain.run import pretrain

    resume = (folder / runs.ENVIRONMENT).exists()
    taken = step_of(folder / runs.CHECKPOINT) if resume and (folder / runs.CHECKPOINT).exists() else 0
    begun = time.monotonic()
    done = pretrain(config, manifest, store, folder, resume=resume)
    return done.steps, (time.monotonic() - begun) * done.steps / max(1, done.steps - taken)


def _config(given: argparse.Namespace, by: str) -> "ReduceConfig":
    from medcl.reduce.config import ReduceConfig

    # Of several strategies each has its own threshold, and one of them the encoder.
    alone = len(given.by or []) < 2
    encoded = alone or by == "embedding"
    return ReduceConfig(
        by=by,
        threshold=_threshold(given.threshold) if alone else None,
        keep=_share(given.keep),
        rule=given.rule,
        unit=given.unit or ("record" if given.leaks else "slice"),
        axis="xyz".index(given.axis),
        scope=given.scope,
        split=given.split,
        run=str(given.run or "") if encoded else "",
        encoder=(given.encoder or "") if encoded else "",
        clusters=given.clusters,
        seed=given.seed,
    )


def _threshold(text: str | None) -> "float | None":
    if text is None or text == "auto":
        return text  # type: ignore[return-value]
    try:
        return float(text)
    except ValueError as error:
        raise UsageError(f"--threshold {text}: a number in the unit of the strategy, or auto") from error


def _share(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError as error:
        raise UsageError(f"--keep {text}: a share, such as 20% or 0.2") from error


def _parser() -> argparse.ArgumentParser:
    parser = parsers.parser(reduce)
    parser.add_argument("manifest", type=Path, help="what `medcl scan` wrote, or an earlier reduction")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        help="the manifest of what is kept; beside it OUTPUT.dropped.parquet says what each dropped one duplicates",
    )
    parser.add_argument(
        "--by",
        action="append",
        metavar="STRATEGY",
        help=f"what units are compared by, default hash: {', '.join(STRATEGIES)}",
    )
    parser.add_argument("--threshold", metavar="NUMBER|auto", help="of duplicates; auto: the knee of the curve")
    parser.add_argument("--keep", metavar="SHARE", help="share of each group that is kept, such as 20%%")
    parser.add_argument(
        "--rule",
        choices=["greedy", "k-centre", "balanced"],
        help="greedy, in order, for a threshold; k-centre (the default) or balanced for a share",
    )
    parser.add_argument(
        "--scope",
        choices=["record", "series", "study", "patient", "archive"],
        help="within which units are compared; default: slices within their volume, records within their patient",
    )
    parser.add_argument(
        "--unit", choices=["slice", "record"], help="of volumes: slices (the default, but for --leaks), or each whole"
    )
    parser.add_argument("--axis", choices=["x", "y", "z"], default="z", help="of RAS+, across which slices lie")
    parser.add_argument("--split", help="which one is reduced, others are kept as they are; default: train; or all")
    parser.add_argument("--run", type=Path, help="of --by embedding: the run whose encoder is used")
    parser.add_argument("--encoder", help="of --by embedding: random, or the folder of another encoder")
    parser.add_argument("--clusters", type=int, help="of --rule balanced")
    parser.add_argument("--seed", type=int, default=0, help="of --rule balanced and of a random encoder")
    parser.add_argument(
        "--report",
        type=Path,
        metavar="FILE.html",
        help="write how redundant the archive is as a page; with --leaks its pairs",
    )
    parser.add_argument("--leaks", action="store_true", help="search near-duplicates across patients and splits")
    parser.add_argument("--fail-on-leak", action="store_true", help="end with exit code 1 where --leaks finds one")
    group = parser.add_argument_group("experiment")
    group.add_argument(
        "--evaluate",
        type=Path,
        metavar="FOLDER",
        help="pretrain on all units, on those that are kept and on as many at random, with the same number of steps "
        "and of epochs, and probe each; finished pretrainings stay in the folder, and the same command resumes them",
    )
    group.add_argument("--config", type=Path, help="recipe (YAML) that is pretrained by --evaluate")
    group.add_argument("--target", help="column that --evaluate probes, of labels or of label maps")
    group.add_argument("--seeds", type=int, default=3, help="number of pretrainings of each arm and fold")
    group.add_argument(
        "--folds", type=int, default=3, help="number of folds, by patient; 1 takes the splits of the manifest"
    )
    parser.add_argument("--jobs", type=int, default=-1, help="processes; -1 is one a core")
    parser.add_argument("--cluster", metavar="ADDRESS", help="of a Dask scheduler (tcp://...) whose workers are used")
    return parser
