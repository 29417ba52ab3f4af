"""Search the settings of a recipe: tune."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from medcl.commands import next_step, recipes, training
from medcl.commands.arguments import (
    ManifestSource,
    PathSource,
    Result,
    manifest_and_store,
    one_or_many,
    quarantined,
)
from medcl.commands.training import RecipeSource
from medcl.errors import MedclError, UsageError

if TYPE_CHECKING:
    from medcl.evaluate.config import EvaluateConfig
    from medcl.pretrain.recipe import Recipe
    from medcl.tune.halving import Scores, Search
    from medcl.tune.patients import Development
    from medcl.tune.space import Varied

    VarySource: TypeAlias = Sequence[str] | Mapping[str, Any]
else:
    VarySource = Sequence[str]

BEST = "best.yaml"
_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}


@one_or_many
def tune(
    recipe: RecipeSource,
    manifest: ManifestSource,
    target: str,
    output: PathSource,
    *,
    budget: Annotated[str, "TIME"] = "30m",
    vary: Annotated[VarySource, "NAME=VALUES", "repeated"] = (),
    labels: Sequence[Annotated[str, "FRACTION"]] = ("10%", "100%"),
    repeats: int = 5,
    trials: int = 9,
    factor: int = 3,
    rounds: int = 0,
    jobs: int = -1,
    store: PathSource | None = None,
    **settings: Any,
) -> "Result[Search]":
    """Search the settings of a recipe that score best on the validation patients, by successive halving.

    Many settings are pretrained with few steps, the best of them with more. Each is scored by a linear probe on the
    patients of the split `val`; records of the split `test` are not read. The same command goes on with a search that
    was interrupted.

    Args:
        recipe: recipe that is pretrained: a YAML file, the name of a shipped one, or nested mappings. Single settings
            are flags, such as --optimiser.steps 500; its seed is that of the search.
        manifest: manifest that `medcl scan` wrote, with splits and labels.
        target: column of labels that the probe predicts.
        output: folder of the search: the table trials.csv, report.html and the recipe best.yaml.
        budget: time, such as 90s, 30m or 2h, behind which no pretraining begins; a longer one goes on.
        vary: settings that are varied, each with a `--vary` of its own, as NAME=VALUE,VALUE or NAME=LOW..HIGH, behind
            which `:log` draws ratios evenly; default: learning rate, temperatures, weights, windows and views of the
            recipe.
        labels: label fractions, over which the score is a mean.
        repeats: number of label subsets at each fraction.
        trials: number of settings in a round.
        factor: one of so many settings goes on, with so many times the steps.
        rounds: number of rounds; 0 for as many as the budget allows.
        jobs: number of processes that decode records and fit probes; -1 is one a core.
        store: folder of prepared records; default: beside the manifest.
        settings: of the recipe, in the place of those of the file, such as `optimiser={"steps": 500}`.

    Returns:
        What was tried; taken as the recipe that scored best, by `medcl.pretrain` and others.

    Raises:
        UsageError: a setting, a value or the budget is invalid, or the folder holds another search.
        MedclError: no settings could be trained and scored.
    """
    from medcl import files
    from medcl.evaluate.cells import fingerprint
    from medcl.evaluate.config import EvaluateConfig
    from medcl.evaluate.finetune import check
    from medcl.pretrain.recipe import as_settings
    from medcl.tune import report
    from medcl.tune.halving import Halving, search
    from medcl.tune.patients import development
    from medcl.tune.space import read, usual

    complete, folder = recipes.recipe(recipe, settings), Path(output)
    if set(complete.splits) != {"train"}:
        raise UsageError(f"splits: {', '.join(complete.splits)}: a search trains on train and scores on val")
    if complete.hardware.devices > 1 or complete.hardware.nodes > 1:
        raise UsageError("hardware: a search trains on one device: --hardware.devices 1 --hardware.nodes 1")
    how = Halving(_seconds(budget), trials, factor, rounds, complete.seed)
    records, prepared = manifest_and_store(manifest, store)
    config = EvaluateConfig(target, labels=list(labels), protocols=["probe"], baselines=["none"], scratch=False)
    config = replace(config, repeats=repeats, save_models="none", jobs=jobs, seed=complete.seed)
    check(config, records)
    if target in records.masks:
        raise UsageError(f"--target {target}: holds label maps; the probe of a search needs a column of labels")
    patients = development(records, target)
    space = [_checked(complete, one) for one in read(vary)] or usual(complete, patients.longest)
    content = as_settings(complete)
    now = {one.name: _value(content, one.name) for one in space}

    def changed(values: Mapping[str, Any]) -> "Recipe":
        return recipes.recipe(complete, {name: value for name, value in values.items() if value != now[name]})

    def train(values: Mapping[str, Any], divided: int, run: Path) -> "Scores":
        short = changed(values).shortened(1 / divided)
        return _trained(replace(short, monitor=replace(short.monitor, every=0)), patients, config, prepared, run)

    def note(found: "Search") -> None:
        report.write_table(found, folder / report.TABLE)

    about = {
        "recipe": {**content, "hardware": None},
        "config": {**asdict(config), "jobs": 0},
        "records": [fingerprint(patients.scoring.column(name)) for name in ("record_id", "split")],
    }
    found = search(space, now, train, folder, how, about, note)
    best = folder / BEST
    files.write(best, changed(found.best.settings).as_yaml())
    verdict = report.verdict(found, patients.patients)
    facts = [("target", target), ("label fractions", ", ".join(labels)), ("label subsets", str(repeats))]
    report.write_page(found, folder / report.PAGE, verdict, [*facts, *report.facts_of(found)])
    failed = {f"settings {one.number}": one.reason for one in found.trials if one.reason}
    lines = [*(f"{name}: {value}" for name, value in report.facts_of(found)), *report.lines_of(found)]
    lines += quarantined(failed, len({one.number for one in found.trials}), "settings")
    lines += [verdict, f"table: {folder / report.TABLE}", f"report: {folder / report.PAGE}", f"recipe: {best}"]
    return Result("\n".join(lines), lambda: found, best, next_step.after_tune(best, manifest))


def _trained(
    recipe: "Recipe", patients: "Development", config: "EvaluateConfig", store: Path, folder: Path
) -> "Scores":
    """Pretrain, and probe the validation patients: mean and interval at each label fraction."""
    from medcl.evaluate.finetune import measure_runs
    from medcl.pretrain.trainer import InterruptedTrainingError

    try:
        training.train(recipe, patients.pretraining, store, folder)
        results, *_ = measure_runs([folder], patients.scoring, config, store)
    except InterruptedTrainingError as error:
        raise KeyboardInterrupt from error
    except (RuntimeError, ValueError) as error:
        # Torch raises these where memory is short, or where a network and its samples do not fit.
        told = "`medcl pretrain` with these settings tells more"
        raise MedclError(f"training stopped with {type(error).__name__}: {told}") from error
    rows = [one for one in results.summary if one.metric == results.metric and not one.class_name]
    return {one.label: (one.mean, one.low, one.high) for one in rows}


def _seconds(budget: str) -> float:
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*", budget)
    if not found or found[2] not in _UNITS:
        raise UsageError(f"--budget {budget}: a time, such as 90s, 30m, 2h or 1d")
    return float(found[1]) * _UNITS[found[2]]


def _checked(recipe: "Recipe", varied: "Varied") -> "Varied":
    """What is varied, by its full name and with values as the recipe reads them.

    Raises:
        UsageError: the recipe has no such setting, or does not take one of the values.
    """
    from medcl.pretrain.recipe import as_settings
    from medcl.tune.space import Choices

    name, values = recipes.full_name(varied.name, recipe), []
    for value in varied.values:
        try:
            values.append(_value(as_settings(recipes.recipe(recipe, {name: value})), name))
        except UsageError as error:
            raise UsageError(f"--vary {varied.name}: {error}") from error
    return Choices(name, tuple(values)) if isinstance(varied, Choices) else replace(varied, name=name)


def _value(content: Any, name: str) -> Any:
    """The value of a dotted name; None where there is none."""
    for part in name.split("."):
        content = content.get(part) if isinstance(content, Mapping) else None
    return content
