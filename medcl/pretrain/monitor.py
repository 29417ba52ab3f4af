"""What training comes to on patients who are not trained on: looked at now and then, and without a trace in training.

The first process looks, alone and at the whole batch; the others wait for it where they next exchange something. A look
is a function of the weights: it sees the same samples under the same views each time.
"""

import csv
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import combinations
from pathlib import Path
from typing import cast

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from medcl.engine.fabric import Fabric
from medcl.networks.embedding_cache import EmbeddingCache
from medcl.pretrain.looks import look
from medcl.pretrain.metrics import MetricsFile
from medcl.pretrain.model import Model, loss_name
from medcl.pretrain.plan import Plan
from medcl.pretrain.recipe import StageConfig
from medcl.runs import MONITOR

LOWEST_RANK = 1.05
"""Effective rank, below which an embedding has collapsed."""
MOST_DEAD = 0.5
"""Share of dead dimensions, above which an embedding has collapsed."""


class Monitor:
    """Looks at one stage of a run, and writes a row of monitor.csv each time.

    Args:
        plan: of the run.
        stage: that is trained.
        named: the column of the stage; none in a run of one stage.
        fabric: device and precision.
        folder: of the run.
        step: after which training goes on: what was seen later is dropped.
    """

    def __init__(
        self, plan: Plan, stage: StageConfig, named: Mapping[str, str], fabric: Fabric, folder: Path, step: int
    ) -> None:
        assert plan.held is not None
        self._plan, self._stage, self._named, self._fabric = plan, stage, named, fabric
        self._recipe, self._held = plan.recipe, plan.held
        self._caches: dict[str, EmbeddingCache] = {}
        self._told: set[str] = set()
        path, before = folder / MONITOR, list[str]()
        if step and path.is_file():
            with path.open(newline="", encoding="utf-8") as lines:
                before = next(csv.reader(lines), [])
        self._file = MetricsFile(path, keep_below=step, columns=tuple(dict.fromkeys((*before, *self._columns()))))
        with path.open(newline="", encoding="utf-8") as lines:
            self._done = {int(row["step"]) for row in csv.DictReader(lines)}

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def is_due(self, step: int) -> bool:
        """Whether there is a look after a step that has not been taken yet."""
        return step > 0 and step % self._recipe.monitor.every == 0 and step not in self._done

    def look(
        self, step: int, method: Model, average: AveragedModel | None, weights: Mapping[str, float]
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
        model = cast(Model, average.module) if average is not None else method
        device = self._fabric.device
        with (
            torch.random.fork_rng([device] if device.type == "cuda" else []),
            torch.no_grad(),
            self._fabric.autocast(),
            self._at_rest(model, method),
        ):
            # So that a look does not depend on where the training is.
            torch.manual_seed(self._recipe.seed)
            row = look(model, self._plan, self._stage, weights, self._fabric)
        found = {name: value for name, value in row.items() if value == value}
        self._file.write({"step": step, **self._named, **found})
        self._done.add(step)
        self._warn(found, {name: int(one.config.dim) for name, one in model.encoders.items()})  # type: ignore[arg-type]
        return found

    @contextmanager
    def _at_rest(self, model: Model, trained: Model) -> Iterator[None]:
        """Evaluate a model alone on other records; afterwards all of it is as before, to the bit.

        Args:
            model: that is looked at.
            trained: the same, or that of which it is the average: an average of queues and of counters means nothing,
                so that these are taken from there.
        """
        learned = {name for name, one in model.named_parameters() if one.requires_grad}
        held = {
            name: value.clone() if isinstance(value, Tensor) else value
            for name, value in model.state_dict().items()
            if name not in learned
        }
        modes = [(module, module.training) for module in model.modules()]
        before = model.lookups, model.shared, model.caches
        if model is not trained:
            now = trained.state_dict()
            model.load_state_dict({n: now[n] for n in held if not n.startswith("encoders.")}, strict=False)
        model.lookups, model.shared = self._held.lookups, False
        # Samples that are looked at are kept apart from those of training.
        model.caches = {name: self._caches.setdefault(name, EmbeddingCache()) for name in model.caches}
        model.eval()
        try:
            yield
        finally:
            model.lookups, model.shared, model.caches = before
            model.load_state_dict(held, strict=False)
            for module, mode in modes:
                module.training = mode

    def _columns(self) -> Iterator[str]:
        recipe = self._recipe
        yield from ("step", *self._named)
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


def in_short(found: Mapping[str, float]) -> dict[str, str]:
    """What the line of progress tells of a look: the held-out total, and the lowest effective rank of an input."""
    ranks = [value for name, value in found.items() if name.startswith("rank.")]
    told = {"held-out": f"{found['total']:.3f}"} if "total" in found else {}
    return {**told, "rank": f"{min(ranks):.1f}"} if ranks else told
