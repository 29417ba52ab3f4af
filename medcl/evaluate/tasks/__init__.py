"""The tasks that labels can be: one class a kind."""

from dataclasses import replace

import numpy as np

from medcl.archive.manifest import Manifest
from medcl.errors import UsageError, no_such
from medcl.evaluate.config import EvaluateConfig
from medcl.evaluate.items import Items
from medcl.evaluate.results import ResultTarget
from medcl.evaluate.tasks.base import Task
from medcl.evaluate.tasks.classes import Binary, Multiclass, Multilabel, Ordinal
from medcl.evaluate.tasks.values import Regression

TASKS: dict[str, type[Task]] = {
    "binary": Binary,
    "multiclass": Multiclass,
    "multilabel": Multilabel,
    "ordinal": Ordinal,
    "regression": Regression,
}
"""Kind -> class."""


def task_of(manifest: Manifest, config: EvaluateConfig) -> tuple[Task, Items]:
    """The task of a manifest's target, and the items that its labels belong to.

    Raises:
        UsageError: the target is not of the kind that was asked for.
    """
    target, labels = manifest.targets[config.target], manifest.labels(config.target)
    kind = target.kind if config.task == "auto" else config.task
    if kind == "ordinal" and target.kind not in ("binary", "multiclass"):
        raise UsageError(
            f"--task ordinal: {config.target} is a {target.kind} target; grades are classes in their order"
        )
    items = Items.records(manifest)
    if config.folds and not config.folds.isdigit():
        if not manifest.has(config.folds):
            raise UsageError(f"--folds: {no_such('column', config.folds, manifest.table.column_names)}")
        items = replace(items, groups=np.asarray(manifest.column(config.folds)))
    return TASKS[kind](ResultTarget(config.target, kind, target.classes), labels), items
