"""The experiment engine: task x arms x label fractions x repeats, in one fold or several.

A repeat is one seed: it draws the labelled subsets (nested over the fractions), the random initialisation and the order
of training. All arms get the same subsets and seeds. Models are chosen on the validation patients; the test split is
predicted once by each finished model.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from medcl.evaluate.arms import Arm
from medcl.evaluate.cells import Cell, compute
from medcl.evaluate.config import EvaluateConfig
from medcl.evaluate.fractions import Ordering, Subset, draw
from medcl.evaluate.tasks.base import Rows


@dataclass(frozen=True)
class Fold:
    """One division of the patients.

    Args:
        number: from 0.
        train: rows of the labelled items that fractions are drawn of.
        validation: by which models are chosen.
        test: predicted once by each finished model.
        arms: in the order in which they are shown.
    """

    number: int
    train: Rows
    validation: Rows
    test: Rows
    arms: tuple[Arm, ...]


@dataclass(frozen=True)
class Planned:
    """One model of the experiment, and the cell that trains and tests it."""

    protocol: str
    arm: Arm
    subset: Subset
    repeat: int
    seed: int
    fold: int
    cell: Cell


class Plan(Protocol):
    """How a kind of task makes the models of one fold."""

    def ordering(self, fold: Fold, seed: int) -> Ordering:
        """The order of the labelled training units whose prefixes are the fractions."""

    def features(self, fold: Fold, drawn: Sequence[Sequence[Subset]]) -> list[Cell]:
        """Cells that those of the models depend on, to be computed before."""

    def models(self, fold: Fold, drawn: Sequence[Sequence[Subset]]) -> Iterator[Planned]:
        """The models, in the order in which they are shown."""


def run(
    plan: Plan, folds: Sequence[Fold], config: EvaluateConfig, labels: Sequence[str], folder: Path
) -> tuple[list[Planned], list[list[list[Subset]]]]:
    """Compute an experiment: what was computed before, by whatever experiment, is found and not done again.

    Args:
        plan: of the task.
        folds: of the patients.
        config: of the experiment.
        labels: label fractions.
        folder: of the cells.

    Returns:
        The models, whose arrays `cells.read` gives by the key of their cell; and of each fold the subsets by repeat.

    Raises:
        MedclError: the labels do not allow a fraction; see `fractions.order`.
    """
    drawn = [draw(partial(plan.ordering, fold), labels, repeats=config.repeats, seed=config.seed) for fold in folds]
    both = list(zip(folds, drawn, strict=True))
    first = [cell for fold, subsets in both for cell in plan.features(fold, subsets)]
    if first:
        compute(first, folder, jobs=config.jobs, cluster=config.cluster, unit="encoder")
    models = [model for fold, subsets in both for model in plan.models(fold, subsets)]
    compute([model.cell for model in models], folder, jobs=config.jobs, cluster=config.cluster)
    return models, drawn
