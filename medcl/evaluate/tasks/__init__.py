"""The tasks that labels can be: one class a kind."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medcl.archive.manifest import Manifest
from medcl.archive.stratify import is_labelled
from medcl.errors import MedclError, UsageError, no_such
from medcl.evaluate.arms import Arm
from medcl.evaluate.config import EvaluateConfig
from medcl.evaluate.items import Bags, Items, starts_of
from medcl.evaluate.results import ResultTarget
from medcl.evaluate.tasks.base import Task
from medcl.evaluate.tasks.classes import Binary, Multiclass, Multilabel, Ordinal, Risk
from medcl.evaluate.tasks.survival import Survival, times_of
from medcl.evaluate.tasks.values import Regression, unit_of

TASKS: dict[str, type[Task]] = {
    "binary": Binary,
    "multiclass": Multiclass,
    "multilabel": Multilabel,
    "ordinal": Ordinal,
    "regression": Regression,
    "survival": Survival,
    "risk": Risk,
}
"""Kind -> class."""
_TAKES = {
    "ordinal": (("binary", "multiclass"), "grades are classes in their order"),
    "survival": (("regression",), "the time until the event or the censoring is a number"),
    "risk": (("regression",), "the time of the event is a number, missing where there was none"),
}
"""Kinds of target columns that a task is made of, and why."""


def task_of(manifest: Manifest, config: EvaluateConfig, arm: Arm | None = None) -> tuple[Task, Items]:
    """The task of a manifest's target, and the items that its labels belong to.

    Args:
        manifest: of readable records.
        config: of the experiment.
        arm: by whose samples time steps are told; not needed for other tasks than risk.

    Raises:
        UsageError: the target is not of the kind that was asked for.
        MedclError: records of one bag have different labels.
    """
    target = manifest.targets[config.target]
    kind = target.kind if config.task == "auto" else config.task
    takes, why = _TAKES.get(kind, ((kind,), ""))
    if target.kind not in takes:
        column = f"{config.target}:regression" if "regression" in takes else config.target
        raise UsageError(
            f"--task {kind}: {config.target} is a {target.kind} target; {why}; scan with --target-columns {column}"
        )
    if kind != "survival" and config.event:
        raise UsageError(f"--event {config.event}: is of --task survival")
    labels = manifest.labels(config.target)
    if kind == "risk":
        items, labels = _steps(manifest, config, arm, labels)
        task: Task = Risk(ResultTarget(config.target, kind, ("no event", "event")), labels)
        return task, _grouped(items, manifest, config)
    if kind == "survival":
        labels = np.stack([labels, _events(manifest, config)], axis=1)
    items = Items.records(manifest) if config.bag == "record" else Items.bags(manifest, config.bag)
    if isinstance(items.grouping, Bags):
        labels = _of_bags(labels, items, items.grouping.bag, config)
    if kind != "survival":
        unit = unit_of(config.target) if kind == "regression" else ""
        return TASKS[kind](ResultTarget(config.target, kind, target.classes, unit), labels), _grouped(
            items, manifest, config
        )
    times = times_of(labels if config.folds else labels[items.split == "train"], config.target)
    result = ResultTarget(config.target, kind, ("event",), unit_of(config.target))
    if config.survival_memory < 0:
        raise UsageError(f"--survival-memory {config.survival_memory}: is a number of risks, 0 for none")
    task = Survival(result, labels, times, config.survival_head, config.survival_memory)
    return task, _grouped(items, manifest, config)


def _grouped(items: Items, manifest: Manifest, config: EvaluateConfig) -> Items:
    """The items with the values of the column by which folds are divided."""
    if not config.folds or config.folds.isdigit():
        return items
    if not manifest.has(config.folds):
        raise UsageError(f"--folds: {no_such('column', config.folds, manifest.table.column_names)}")
    return replace(items, groups=np.asarray(manifest.column(config.folds))[items.row])


def _events(manifest: Manifest, config: EvaluateConfig) -> NDArray[np.float64]:
    """(records,) 1 where the event was observed, 0 where the record was censored, NaN where it is not known."""
    if config.event not in manifest.targets:
        raise UsageError(
            f"--task survival needs --event, {no_such('target', config.event, list(manifest.targets))}"
            if config.event
            else "--task survival needs --event, the column that says whether the event was observed"
        )
    kind, labels = manifest.targets[config.event].kind, manifest.labels(config.event).astype(np.float64)
    if kind == "binary":
        return np.where(labels < 0, np.nan, labels)
    if kind != "regression" or not np.isin(labels[~np.isnan(labels)], (0, 1)).all():
        raise UsageError(f"--event {config.event}: is a {kind} target; an event was observed (1) or not (0)")
    return labels


def _of_bags(labels: NDArray[Any], items: Items, bag: NDArray[np.int64], config: EvaluateConfig) -> NDArray[Any]:
    """The label of each bag, of its labelled records, (items, ...)."""
    known = np.flatnonzero(is_labelled(labels))
    held, first = np.unique(bag[known], return_index=True)
    found = labels[items.row]
    found[held] = labels[known[first]]
    wrong = (labels[known] != found[bag[known]]).reshape(len(known), -1).any(axis=1)
    if wrong.any():
        raise MedclError(
            f"--bag {config.bag}: of {len(held)} {items.plural} with a label for {config.target}, "
            f"{len(np.unique(bag[known[wrong]]))} have records with different ones; take --bag record, or a target "
            "that holds for all of them"
        )
    return found


def _steps(
    manifest: Manifest, config: EvaluateConfig, arm: Arm | None, times: NDArray[Any]
) -> tuple[Items, NDArray[np.int64]]:
    """The time steps before the event, or all of a record without one; 1 where it follows within the horizon."""
    if config.horizon <= 0:
        raise UsageError("--task risk needs --horizon, how far ahead the event is predicted, above 0")
    if config.bag != "record":
        raise UsageError(f"--bag {config.bag}: the risk is one of time steps")
    if arm is None:
        raise UsageError("--task risk: the time steps are those of a run's samples")
    samples = arm.samples(manifest)
    start = starts_of(samples)
    event, now = times[samples.rows], start + float(arm.data.window)
    before = ~(event <= now)
    labels = (event <= now + config.horizon)[before].astype(np.int64)
    return Items.steps(manifest, samples.rows[before], start[before]), labels
