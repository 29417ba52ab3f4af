"""Does a reduction help? Pretrain on all units, on those that are kept and on as many at random, and probe each."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from medcl.errors import UsageError

if TYPE_CHECKING:
    from medcl.archive.manifest import Manifest
    from medcl.evaluate.results import Results
    from medcl.pretrain.recipe import Recipe
    from medcl.reduce.config import ReduceConfig


def run_experiment(
    manifest: "Manifest",
    configs: Sequence["ReduceConfig"],
    store: Path,
    folder: Path,
    *,
    recipe: "Recipe",
    target: str,
    seeds: int = 3,
    folds: int = 3,
    jobs: int = -1,
    cluster: str | None = None,
) -> "Results":
    """Compare pretraining on all units with pretraining on those that reductions keep, and on as many at random.

    Arms differ in the units; each has the recipe's number of steps, and each but the first once more with as many steps
    as are the same number of epochs. Finished pretrainings stay in the folder, and the same call goes on behind them.

    Args:
        manifest: that `medcl scan` wrote.
        configs: the reductions.
        store: folder next to the manifest.
        folder: of the experiment: run folders, `results.json` and `report.html`.
        recipe: of a pretraining, on one input.
        target: column that is probed, of labels or of label maps.
        seeds: pretrainings of each arm and fold.
        folds: of the patients; 1 takes the splits of the manifest.
        jobs: processes; -1 is one a core.
        cluster: address of a Dask scheduler.

    Raises:
        UsageError: no such target, too few patients, or the folder holds another experiment.
        MedclError: a metric is undefined on the test or the validation patients, or a pretraining failed.
    """
    from medcl.commands.training import train
    from medcl.embed.encoders import prepared, samples_in
    from medcl.evaluate.arms import of_run, untrained
    from medcl.evaluate.config import EvaluateConfig
    from medcl.evaluate.finetune import measure
    from medcl.evaluate.folds import of_records
    from medcl.evaluate.page import write_page
    from medcl.evaluate.tasks import task_of
    from medcl.evaluate.tasks.slices import slices_of
    from medcl.modality import wing
    from medcl.pretrain.recipe import as_settings
    from medcl.reduce.experiment import divisions, pretrain_all, subsets_of

    if seeds < 1:
        raise UsageError(f"--seeds {seeds}: at least 1")
    manifest = manifest.ok()
    inputs = list(recipe.inputs.values())
    if len(inputs) > 1 or not wing(inputs[0].modality).reads_files:
        raise UsageError(
            f"--config: the recipe trains on {', '.join(recipe.inputs)}; --evaluate takes recipes of one input, of "
            "volumes, recordings or images"
        )
    if target not in (*manifest.targets, *manifest.masks):
        known = ", ".join([*manifest.targets, *manifest.masks]) or "none"
        raise UsageError(f"--target {target}: the manifest has no such labels or label maps; it has {known}")
    config = EvaluateConfig(target, labels=["100%"], protocols=["probe"], repeats=seeds, save_models="none")
    config = replace(config, folds=str(folds) if folds > 1 else "", jobs=jobs, cluster=cluster)
    divided = divisions(manifest, folds)
    # Decoding comes before the clock starts.
    data = inputs[0].data
    decoded = prepared(manifest, data, store, jobs)
    if target in manifest.masks:
        task, items = slices_of(manifest, decoded, data, target)
    else:
        task, items = task_of(manifest, replace(config, folds=""))
    read = np.isin(np.arange(len(manifest)), samples_in(decoded, manifest, data).rows)
    plain = [
        of_records(items, task, one.number, *(part & read for part in (one.train, one.validation, one.test)))
        for one in divided
    ]
    subsets = [subsets_of(one, configs, store, jobs, cluster) for one in divided]
    done = pretrain_all(subsets, recipe, store, folder, train, seeds)
    # One description of an arm for all folds.
    facts = {
        one[0].subset.name: {
            "units": np.mean([fold.subset.units for fold in one]),
            "share": np.mean([fold.subset.units / fold.subset.of for fold in one]),
            "steps": np.mean([fold.steps for fold in one]),
            "seconds": np.mean([fold.seconds for fold in one]),
        }
        for one in zip(*done, strict=True)
    }
    measured = []
    for fold, runs in zip(plain, done, strict=True):
        arms = [of_run(run.subset.name, run.folders, decoded, **facts[run.subset.name]) for run in runs]
        measured.append(replace(fold, arms=(*arms, untrained("random", arms[0]))))
    results, _, _ = measure(manifest, items, task, measured, config, store, [], as_settings(recipe))
    results = replace(results, notes=(*findings(results), *results.notes))
    results.save(folder / "results.json")
    write_page(results, folder / "report.html")
    return results


def findings(results: "Results") -> list[str]:
    """What each reduction saves and changes, in sentences that claim no more than their intervals."""
    from medcl.evaluate.wording import change, gap, metric_name
    from medcl.wording import number

    arms, metric, said = {arm.name: arm for arm in results.arms}, results.metric, []
    for name, arm in arms.items():
        control = f"as many at random as {name}"
        if control not in arms or not name.endswith("(same epochs)"):
            continue
        to_all, to_chance = (gap(results, "probe", name, one, "100%", metric) for one in ("all", control))
        took = [one.facts["seconds"] for one in (arm, arms["all"])]
        seconds = [number(one, digits=1 if min(took) < 10 else 0) for one in took]
        if to_all and to_chance:
            said.append(
                f"{name}: {arm.facts['share']:.0%} of the units and {' instead of '.join(seconds)} seconds change the "
                f"{metric_name(metric, results.target)} by {change(to_all)}. The difference to as many units at random "
                f"is {change(to_chance)}."
            )
    return said


def told(results: "Results") -> str:
    """The findings, the tables of the experiment, and what each arm took."""
    from medcl.commands.arguments import printed
    from medcl.evaluate.terminal import show
    from medcl.wording import count, number

    took = [
        f"{arm.name}: {count(round(arm.facts['units']))} units ({arm.facts['share']:.0%}), "
        f"steps: {count(round(arm.facts['steps']))}, seconds: {number(arm.facts['seconds'], digits=1)}"
        for arm in results.arms
        if arm.facts
    ]
    return "\n".join([*findings(results), "", printed(lambda console: show(results, console)), *took])
