"""What training comes to on patients who are not trained on: looked at now and then, and without a trace in training.

The first process looks, alone and at the whole batch; the others wait for it where they next exchange something. A look
is a function of the weights: it sees the same samples under the same views each time.
"""

import csv
import warnings
from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path
from typing import cast

import torch
from lightning.fabric import Fabric
from torch import nn
from torch.optim.swa_utils import AveragedModel

from medcl.pretrain.batches import Source
from medcl.pretrain.held_out import HeldOut
from medcl.pretrain.looks import Look, at_rest
from medcl.pretrain.metrics import MetricsFile
from medcl.pretrain.model import Model, loss_name
from medcl.pretrain.passes import TextCache
from medcl.pretrain.recipe import Recipe, StageConfig
from medcl.runs import MONITOR

LOWEST_RANK = 1.05
"""Effective rank, below which an embedding has collapsed."""
MOST_DEAD = 0.5
"""Share of dead dimensions, above which an embedding has collapsed."""


class Monitor:
    """Looks at one stage of a run.

    Args:
        recipe: the whole.
        stage: that is trained.
        named: name of the stage in the rows; empty in a run of one stage.
        held: what is looked at.
        trained: what is trained on.
        fabric: device and precision.
        folder: of the run, where `monitor.csv` is written.
    """

    def __init__(
        self,
        recipe: Recipe,
        stage: StageConfig,
        named: str,
        held: HeldOut,
        trained: Source,
        fabric: Fabric,
        folder: Path,
    ) -> None:
        self._recipe, self._stage, self._named, self._held = recipe, stage, named, held
        self._fabric, self._path = fabric, folder / MONITOR
        self._look = Look(recipe, stage, held, trained, fabric)
        self._caches: dict[str, TextCache] = {}
        self._told: set[str] = set()
        self._done: set[int] = set()
        self._file: MetricsFile | None = None

    def begin(self, step: int) -> None:
        """Go on after a step: what was seen later is dropped."""
        before: list[str] = []
        if step and self._path.is_file():
            with self._path.open(newline="", encoding="utf-8") as lines:
                before = next(csv.reader(lines), [])
        columns = tuple(dict.fromkeys((*before, *self._columns())))
        self._file = MetricsFile(self._path, keep_below=step, columns=columns)
        with self._path.open(newline="", encoding="utf-8") as lines:
            self._done = {int(row["step"]) for row in csv.DictReader(lines)}

    def is_due(self, step: int) -> bool:
        """Whether there is a look after a step that has not been taken yet."""
        return step > 0 and step % self._recipe.monitor.every == 0 and step not in self._done

    def look(
        self, step: int, method: nn.Module, average: AveragedModel | None, weights: Mapping[str, float]
    ) -> dict[str, float]:
        """Look at the weights that would be saved now, and write a row.

        Args:
            step: that they have taken.
            method: that is trained.
            average: its averaged copy, which is looked at where there is one.
            weights: of the losses in the sum.

        Returns:
            The row, without the step and what is not known.
        """
        model = cast(Model, average.module if average is not None else method)
        device = self._fabric.device
        with (
            torch.random.fork_rng([device] if device.type == "cuda" else []),
            torch.no_grad(),
            self._fabric.autocast(),
            at_rest(model, cast(Model, method), self._held.lookups, self._caches),
        ):
            # So that a look does not depend on where the training is.
            torch.manual_seed(self._recipe.seed)
            row = self._look(model, weights)
        found = {name: value for name, value in row.items() if value == value}
        assert self._file is not None
        stage = {"stage": self._named} if self._named else {}
        self._file.write({"step": step, **stage, **found})
        self._done.add(step)
        self._warn(found, {name: int(one.config.dim) for name, one in model.encoders.items()})  # type: ignore[arg-type]
        return found

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def _columns(self) -> Iterator[str]:
        recipe = self._recipe
        yield "step"
        if self._named:
            yield "stage"
        for name, objective in recipe.objectives.items():
            yield from (loss_name(name, one) for one in objective.losses)
        yield "total"
        for name in recipe.inputs:
            yield from (f"{measure}.{name}" for measure in ("rank", "dead", "alignment", "uniformity"))
            if recipe.monitor.target:
                yield f"knn.{name}"
        for name, objective in recipe.objectives.items():
            for a, b in combinations(getattr(objective, "between", ()), 2):
                yield from (f"{measure}.{name}.{a}-{b}" for measure in ("gap", "alignment"))
            yield f"positives.{name}"

    def _warn(self, row: Mapping[str, float], dims: Mapping[str, int]) -> None:
        """Say in words what is wrong, once for each input and objective."""
        for name, dim in dims.items():
            rank, dead = row.get(f"rank.{name}", 2.0), row.get(f"dead.{name}", 0.0)
            if rank < LOWEST_RANK or dead > MOST_DEAD:
                self._tell(
                    f"inputs.{name}: the embedding of validation patients has collapsed: effective rank {rank:.2f} of "
                    f"{dim} dimensions, {dead:.0%} of them dead; all samples look alike to the encoder. Lower "
                    "optimiser.learning_rate or optimiser.weight_decay, or give it an objective with negatives",
                    name,
                )
        for name in self._stage.objectives:
            if row.get(f"positives.{name}", 1.0) == 0:
                self._tell(
                    f"objectives.{name}: no sample of {self._recipe.monitor.batches} batches of validation patients "
                    "has a positive, so that nothing can be learned from batches like these: raise batch.records or "
                    f"batch.samples, or name a level in objectives.{name}.positives that records of a batch share",
                    f"objective {name}",
                )

    def _tell(self, text: str, about: str) -> None:
        if about not in self._told:
            self._told.add(about)
            warnings.warn(text, stacklevel=3)
