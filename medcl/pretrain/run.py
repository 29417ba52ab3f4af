"""`medcl pretrain` as one function: a recipe and a manifest in, a run folder out."""

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medcl import run_card, runs
from medcl.archive.manifest import Manifest
from medcl.engine.fabric import Fabric
from medcl.engine.parallel import end_with_parent
from medcl.errors import MedclError, UsageError
from medcl.modality import wing
from medcl.modality.formats import scan_of
from medcl.pretrain import continual
from medcl.pretrain.check import check
from medcl.pretrain.devices import fabric_for
from medcl.pretrain.inputs import in_splits
from medcl.pretrain.loggers import LoggerName, loggers
from medcl.pretrain.plan import Plan
from medcl.pretrain.reading import read
from medcl.pretrain.recipe import Recipe, as_settings
from medcl.pretrain.trainer import train
from medcl.pretrain.version_0_1 import converted


@dataclass(frozen=True)
class Pretrained:
    """What a run has come to.

    Args:
        folder: of the run.
        patients: trained on.
        size: what was trained on, in words.
        steps: taken.
        losses: of the last step.
        samples_per_second: over this call, of the stage that was trained last.
        left_out: sentence about records that were not trained on, if any.
        finished: whether all steps are taken and the encoder was written.
        speaks: this process is the first of those that train, and tells the user.
    """

    folder: Path
    patients: int
    size: str
    steps: int
    losses: dict[str, float]
    samples_per_second: float
    left_out: str
    finished: bool
    speaks: bool

    def __str__(self) -> str:
        losses = ", ".join(f"{level} {value:.3f}" for level, value in self.losses.items())
        size = f"{self.patients} patients, {self.size}, {self.steps} steps"
        text = f"{size}, {self.samples_per_second:.0f} samples/s; loss: {losses}"
        text += f"\n{self.left_out}" if self.left_out else ""
        return f"{text}\nrun folder: {self.folder}{'' if self.finished else ' (stopped before the last step)'}"


def pretrain(
    recipe: Recipe,
    manifest: Manifest | Mapping[str, Any],
    store: Path,
    folder: Path,
    *,
    resume: bool = False,
    until: int | None = None,
    logger: LoggerName = "none",
) -> Pretrained:
    """Train an encoder without labels.

    Args:
        recipe: the whole.
        manifest: what `medcl scan` wrote; or samples in memory by input, see `medcl.data.samples.Samples`.
        store: folder in which records are prepared once.
        folder: the run folder.
        resume: go on from the folder's checkpoint.
        until: stop after this step in this call.
        logger: that is told of losses and measures, besides metrics.csv and TensorBoard.

    Returns:
        What the run has come to.

    Raises:
        UsageError: the folder already holds a run, the recipe is invalid, or the logger is not installed.
        MedclError: the archive does not allow it, or training failed.
    """
    check(recipe)
    with loggers(logger, folder) as made:
        fabric = fabric_for(recipe.hardware, made)
        fabric.launch()
        if fabric.local_rank:
            # The first process of this machine has started this one.
            end_with_parent()
        there = any((folder / name).exists() for name in (*runs.CONFIGS, runs.LOCK))
        if resume and fabric.is_global_zero and not there:
            raise MedclError(f"{folder}: no run to resume; run without --resume")
        with runs.alone(folder) if fabric.is_global_zero else nullcontext():
            return _pretrain(recipe, manifest, store, folder, fabric, resume=resume, until=until)


def _pretrain(
    recipe: Recipe,
    manifest: Manifest | Mapping[str, Any],
    store: Path,
    folder: Path,
    fabric: Fabric,
    *,
    resume: bool,
    until: int | None,
) -> Pretrained:
    begun = runs.is_begun(folder)
    if begun and not resume:
        raise UsageError(f"{folder} already holds a run: choose another folder, or go on with --resume")
    plan = Plan.of(recipe, manifest, store, shared=fabric.world_size > 1)
    if begun:
        _same_recipe(folder, plan.recipe)
    else:
        # What cannot be built is refused before there is a folder.
        for stage in plan.recipe.trained:
            plan.model(stage, None, told=False)
        if fabric.is_global_zero:
            seen = continual.seen(plan.recipe, plan.source.patients.tolist(), plan.salt)
            runs.start(folder, as_settings(plan.recipe), seen)
            run_card.note_data(folder, _facts(plan, manifest))
    fabric.barrier()
    trained = train(plan, fabric, folder, resume=begun, until=until)
    finished = trained.step >= plan.recipe.steps
    if finished and fabric.is_global_zero:
        kept = trained.model.kept()
        runs.save_encoder(folder, kept, plan.card(kept))
        run_card.write(folder)
    return Pretrained(
        folder=folder,
        patients=len(plan.source.patients),
        size=plan.source.size,
        steps=trained.step,
        losses=trained.losses,
        samples_per_second=trained.samples_per_second,
        left_out=plan.source.left_out,
        finished=finished,
        speaks=fabric.is_global_zero,
    )


def _facts(plan: Plan, manifest: Manifest | Mapping[str, Any]) -> dict[str, Any]:
    """What the model card tells of the records, without a name."""
    facts: dict[str, Any] = {"size": plan.source.size, "left_out": plan.source.left_out, "records": {}, "dataset": None}
    if isinstance(manifest, Manifest):
        own = in_splits(manifest.ok(), plan.recipe.splits)
        own = own.select(np.isin(own.column("patient"), plan.source.patients))
        for kind in dict.fromkeys(one.config.modality for one in plan.made.values()):
            table = own.of_kind(kind).table
            words = getattr(scan_of(kind), "summary", lambda rows: None)(table)
            facts["records"][wing(kind).plural] = words or f"{len(table)}"
        facts["dataset"] = manifest.metadata.get("dataset")
    return facts


def _same_recipe(folder: Path, recipe: Recipe) -> None:
    """Refuse to resume a run with another recipe; only the hardware and what is looked at may change."""
    now, written = as_settings(recipe), runs.read_config(folder)
    begun = now if written == now else as_settings(read(converted(written)))
    other = [name for name, value in now.items() if name not in ("hardware", "monitor") and begun.get(name) != value]
    if other:
        raise UsageError(f"--resume: {', '.join(other)} differs from the recipe in {folder}, with which the run began")
