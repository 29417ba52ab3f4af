"""`medcl pretrain` as one function: a recipe and a manifest in, a run folder out."""

from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from lightning.fabric import Fabric

from medcl import runs
from medcl.archive.manifest import Manifest
from medcl.engine.parallel import end_with_parent
from medcl.errors import MedclError, UsageError
from medcl.modality import wing
from medcl.modality.sampling import Batch
from medcl.modality.spec import Card, JointCard
from medcl.pretrain.check import check
from medcl.pretrain.checkpoint import step_of
from medcl.pretrain.held_out import HeldOut, held_out
from medcl.pretrain.initialise import initialise
from medcl.pretrain.inputs import Columns, Lookups, Made, Source, in_splits, made_inputs, source
from medcl.pretrain.loggers import LoggerName, loggers
from medcl.pretrain.model import Model, adapted, loss_name, side_names, spaces
from medcl.pretrain.monitor import Monitor
from medcl.pretrain.objectives.base import HeadConfig
from medcl.pretrain.recipe import InputConfig, Recipe, StageConfig, as_settings, read
from medcl.pretrain.samples import made_of
from medcl.pretrain.trainer import Stage, Trained, fabric_for, train
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
        if self.finished:
            return f"{text}\nrun folder: {self.folder}"
        return f"{text}\nstopped before the last step; the same command with --resume goes on"


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
        manifest: what `medcl scan` wrote; or samples in memory by input, see `medcl.pretrain.samples.Samples`.
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
    resume = begun
    plan = Plan.of(recipe, manifest, store, shared=fabric.world_size > 1)
    if not resume:
        # What cannot be built is refused before there is a folder.
        for stage in plan.recipe.trained:
            plan.model(stage, None, told=False)
    if fabric.is_global_zero and not resume:
        runs.start(folder, as_settings(plan.recipe), runs.SeenPatients.of(plan.source.patients.tolist(), plan.salt))
    if resume:
        _same_recipe(folder, plan.recipe)
    fabric.barrier()
    trained = _train(plan, fabric, folder, resume=resume, until=until)
    finished = trained.step >= plan.recipe.steps
    if finished and fabric.is_global_zero:
        runs.save_encoder(folder, cast(Model, trained.encoder_owner).kept(), plan.card)
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


@dataclass(frozen=True)
class Plan:
    """A recipe with the records that it is trained on.

    Args:
        recipe: completed by what the archive says.
        made: its inputs.
        source: of batches.
        lookups: what objectives look up in the manifest.
        salt: fingerprint of the salt of the patients' codes.
        shared: whether several processes train.
        held: what is looked at and not trained on, if anything is.
    """

    recipe: Recipe
    made: Mapping[str, Made]
    source: Source
    lookups: Lookups
    salt: str
    shared: bool
    held: HeldOut | None

    @classmethod
    def of(cls, recipe: Recipe, manifest: Manifest | Mapping[str, Any], store: Path, *, shared: bool = False) -> "Plan":
        """Prepare records and say what is trained.

        Raises:
            UsageError: the archive, or the samples, do not have what the recipe needs.
            MedclError: no records of an input, or none that belong together.
        """
        if isinstance(manifest, Manifest):
            # The whole archive is prepared, whatever is trained on: the evaluation finds the same store again.
            manifest = manifest.ok()
            made = made_inputs(recipe, manifest, store)
            columns: Columns = in_splits(manifest, recipe.splits)
            batches, salt = source(recipe, made, cast(Manifest, columns)), str(manifest.metadata["salt"])
        else:
            made, batches, columns = made_of(recipe, manifest)
            salt = "samples in memory"
        last = recipe.trained[-1]
        inputs: dict[str, InputConfig] = {
            name: replace(one.config, encoder=adapted(recipe, last, name), like=recipe.inputs[name].like)
            for name, one in made.items()
        }
        lookups = Lookups(recipe, columns, batches.id_names)
        held = held_out(recipe, made, manifest, batches.patients) if isinstance(manifest, Manifest) else None
        return cls(replace(recipe, inputs=inputs), made, batches, lookups, salt, shared, held)

    @property
    def card(self) -> Card:
        """What the encoder expects that is kept."""
        cards = {}
        for name, one in self.made.items():
            own = wing(one.config.modality)
            modality = str(getattr(one.card, "modality", ""))
            cards[name] = own.spec_of(self.recipe.inputs[name].encoder, one.data, one.store, modality)
        if len(cards) == 1:
            return cast(Card, next(iter(cards.values())))
        space, local = spaces(self.recipe)
        names = side_names(self.recipe)
        if not space:
            return JointCard({names[name]: card for name, card in cards.items()}, 0, 0)
        head = cast(HeadConfig, self.recipe.objectives[space].head)  # type: ignore[attr-defined]
        cells = cast(HeadConfig, self.recipe.objectives[local].head).dim if local else 0  # type: ignore[attr-defined]
        return JointCard({names[name]: card for name, card in cards.items()}, head.hidden, head.dim, cells)

    def model(self, stage: StageConfig, before: Model | None, *, told: bool = True) -> Model:
        """What a stage trains, from the weights of the stage before.

        Args:
            stage: which.
            before: what the stage before trained; None begins with new weights, or those of `init`.
            told: whether what was found in files of weights is printed.
        """
        made = Model(self.recipe, stage, self.made, self.lookups, self.source.id_names, shared=self.shared)
        if before is not None:
            made.take_over(before)
        else:
            encoders = dict(made.encoders.items())
            initialise(encoders, self.recipe, self.source.patients, self.salt, told=told)
            made.begin()
        return made

    def weights(self, stage: StageConfig, done: float) -> dict[str, float]:
        """The weights of the losses when a share of the stage's steps is done."""
        found: dict[str, float] = {}
        for name in stage.objectives:
            objective = self.recipe.objectives[name]
            weight = objective.weight_at(done)
            if weight > 0:
                found |= {loss_name(name, one): weight * share for one, share in objective.losses.items()}
        return found

    def columns(self) -> tuple[str, ...]:
        """Names of the losses of all stages."""
        every = (name for stage in self.recipe.trained for name in stage.objectives)
        return tuple(
            dict.fromkeys(loss_name(name, one) for name in every for one in self.recipe.objectives[name].losses)
        )

    def monitor(self, stage: StageConfig, named: str, fabric: Fabric, folder: Path) -> Monitor | None:
        """Who looks at a stage, if anyone does."""
        if self.held is None or not fabric.is_global_zero:
            return None
        return Monitor(self.recipe, stage, named, self.held, self.source, fabric, folder)

    def batches(self, number: int, stage: StageConfig, fabric: Fabric, start: int, stop: int) -> Iterable[Batch]:
        """Those of some steps of a stage."""
        partitions = max(self.recipe.objectives[name].partitions for name in stage.objectives)
        workers, rank, world = self.recipe.hardware.workers, fabric.global_rank, fabric.world_size
        return self.source.batches(partitions, self.recipe.seed + number, start, stop, workers, rank, world)


def _train(plan: Plan, fabric: Fabric, folder: Path, *, resume: bool, until: int | None) -> Trained:
    """All stages from the one that the checkpoint belongs to, each from the weights of the one before."""
    recipe = plan.recipe
    taken = step_of(folder / runs.CHECKPOINT) if resume else 0
    trained: Trained | None = None
    before = 0
    stages = recipe.trained
    for number, stage in enumerate(stages):
        end = before + stage.steps
        # A stage that is just finished is loaded for its weights, from which the next one begins.
        if taken <= end or number == len(stages) - 1:
            # New weights depend on nothing but the seed: not on whether the stage before ran in this call.
            torch.manual_seed(recipe.seed + number)
            rate = stage.learning_rate or recipe.optimiser.learning_rate
            named = stage.name if len(stages) > 1 else ""
            trained = train(
                fabric,
                plan.model(stage, cast(Model, trained.encoder_owner) if trained else None),
                partial(plan.batches, number, stage, fabric),
                replace(recipe.optimiser, steps=stage.steps, learning_rate=rate),
                weights=partial(plan.weights, stage),
                seed=recipe.seed,
                folder=folder,
                resume=resume and (before < taken or number == 0),
                until=until,
                checkpoint_every=recipe.hardware.checkpoint_every,
                stage=Stage(named, before, plan.columns()),
                monitor=plan.monitor(stage, named, fabric, folder),
            )
            if trained.step < end or (until is not None and until <= end):
                break
        before = end
    assert trained is not None
    return trained


def _same_recipe(folder: Path, recipe: Recipe) -> None:
    """Refuse to resume a run with another recipe; only the hardware and what is looked at may change."""
    begun = as_settings(read(converted(runs.read_config(folder))))
    now = as_settings(recipe)
    other = [name for name, value in now.items() if name not in ("hardware", "monitor") and begun.get(name) != value]
    if other:
        raise UsageError(f"--resume: {', '.join(other)} differs from the recipe in {folder}, with which the run began")
