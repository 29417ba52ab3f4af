"""`medcl pretrain` as one function: a configuration and a manifest in, a run folder out."""

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from lightning.fabric import Fabric

from medcl import runs
from medcl.archive.manifest import Manifest
from medcl.engine.parallel import end_with_parent
from medcl.errors import MedclError, UsageError
from medcl.modality.base import plain
from medcl.pretrain import multimodal_check, multimodal_plan, signals, volumes
from medcl.pretrain.checkpoint import step_of
from medcl.pretrain.config import PretrainConfig
from medcl.pretrain.loop import Stage, Trained, fabric_for, train
from medcl.pretrain.multimodal_config import MultimodalPretrainConfig
from medcl.pretrain.plan import Config, TrainingPlan, in_splits


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
    config: Config,
    manifest: Manifest,
    store: Path,
    folder: Path,
    *,
    resume: bool = False,
    until: int | None = None,
) -> Pretrained:
    """Train an encoder without labels.

    Args:
        config: the whole recipe, of recordings, of volumes or of several modalities.
        manifest: what `medcl scan` wrote.
        store: folder in which records are prepared once.
        folder: the run folder.
        resume: go on from the folder's checkpoint.
        until: stop after this step in this call.

    Returns:
        What the run has come to.

    Raises:
        UsageError: the folder already holds a run, or the configuration is invalid.
        MedclError: the archive does not allow it, or training failed.
    """
    _check(config)
    fabric = fabric_for(config.hardware)
    fabric.launch()
    if fabric.local_rank:
        # The first process of this machine has started this one.
        end_with_parent()
    if resume and fabric.is_global_zero and not any((folder / name).exists() for name in (runs.CONFIG, runs.LOCK)):
        raise MedclError(f"{folder}: no run to resume; run without --resume")
    with runs.alone(folder) if fabric.is_global_zero else nullcontext():
        return _pretrain(config, manifest, store, folder, fabric, resume=resume, until=until)


def _pretrain(
    config: Config,
    manifest: Manifest,
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
    # The whole archive is prepared, whatever is trained on: the evaluation finds the same store again.
    manifest = manifest.ok()
    chosen = in_splits(manifest, config.splits)
    plan = _plan(config, manifest, chosen, store, fabric)
    if not resume:
        # What cannot be built is refused before there is a folder.
        for stage in plan.stages:
            stage.method(None)
    if fabric.is_global_zero and not resume:
        runs.start(folder, plain(plan.config), runs.SeenPatients.of(plan.patients.tolist(), manifest.metadata["salt"]))
    if resume:
        _same_recipe(folder, plan.config)
    fabric.barrier()
    trained = _train(plan, fabric, folder, resume=resume, until=until)
    finished = trained.step >= sum(stage.optimiser.steps for stage in plan.stages)
    if finished and fabric.is_global_zero:
        runs.save_encoder(folder, plan.encoder(trained.encoder_owner), plan.card)
    return Pretrained(
        folder=folder,
        patients=len(plan.patients),
        size=plan.size,
        steps=trained.step,
        losses=trained.losses,
        samples_per_second=trained.samples_per_second,
        left_out=plan.left_out,
        finished=finished,
        speaks=fabric.is_global_zero,
    )


def _check(config: Config) -> None:
    if isinstance(config, PretrainConfig):
        signals.check(config)
    elif isinstance(config, MultimodalPretrainConfig):
        multimodal_check.check(config)
    else:
        volumes.check(config)


def _plan(config: Config, manifest: Manifest, chosen: Manifest, store: Path, fabric: Fabric) -> TrainingPlan:
    if isinstance(config, PretrainConfig):
        return signals.plan(config, manifest, chosen, store, fabric)
    if isinstance(config, MultimodalPretrainConfig):
        return multimodal_plan.plan(config, manifest, chosen, store, fabric)
    return volumes.plan(config, manifest, chosen, store, fabric)


def _train(plan: TrainingPlan, fabric: Fabric, folder: Path, *, resume: bool, until: int | None) -> Trained:
    """All stages from the one that the checkpoint belongs to, each from the weights of the one before."""
    taken = step_of(folder / runs.CHECKPOINT) if resume else 0
    levels = tuple(dict.fromkeys(level for stage in plan.stages for level in stage.weights))
    trained: Trained | None = None
    before = 0
    for number, stage in enumerate(plan.stages):
        end = before + stage.optimiser.steps
        last = number == len(plan.stages) - 1
        # A stage that is just finished is loaded for its weights, from which the next one begins.
        if taken <= end or last:
            # New weights depend on nothing but the seed: not on whether the stage before ran in this call.
            torch.manual_seed(plan.config.seed + number)
            trained = train(
                fabric,
                stage.method(trained.encoder_owner if trained else None),
                stage.batches,
                stage.optimiser,
                weights=stage.weights,
                seed=plan.config.seed,
                folder=folder,
                resume=resume and (before < taken or number == 0),
                until=until,
                checkpoint_every=plan.config.hardware.checkpoint_every,
                stage=Stage(stage.name, before, levels),
            )
            if trained.step < end or (until is not None and until <= end):
                break
        before = end
    assert trained is not None
    return trained


def _same_recipe(folder: Path, config: Config) -> None:
    """Refuse to resume a run with another recipe; only the hardware may change."""
    begun = runs.read_config(folder)
    now = plain(config)
    other = [name for name, value in now.items() if name != "hardware" and begun.get(name) != value]
    if other:
        raise UsageError(f"--resume: {', '.join(other)} differs from {folder / runs.CONFIG}, with which the run began")
