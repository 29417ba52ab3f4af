"""`medcl pretrain` as one function: a configuration and a manifest in, a run folder out."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from medcl import runs
from medcl.archive.manifest import Manifest
from medcl.data.datamodule import loader
from medcl.data.dataset import SignalWindows
from medcl.data.prepare import prepare
from medcl.data.sampler import HierarchicalSampler
from medcl.encoders.card import SignalCard
from medcl.encoders.signal import build
from medcl.errors import MedclError, UsageError
from medcl.pretrain.comet import Comet, level_weights
from medcl.pretrain.config import PretrainConfig
from medcl.pretrain.loop import Batch, Trained, fabric_for, train
from medcl.views import signal as signal_views


@dataclass(frozen=True)
class Pretrained:
    """What a run has come to.

    Args:
        folder: of the run.
        patients: trained on.
        windows: trained on.
        steps: taken.
        losses: of the last step.
        samples_per_second: over this call.
        left_out: sentence about recordings that were not trained on, if any.
        finished: whether all steps are taken and the encoder was written.
        speaks: this process is the first of those that train, and tells the user.
    """

    folder: Path
    patients: int
    windows: int
    steps: int
    losses: dict[str, float]
    samples_per_second: float
    left_out: str
    finished: bool
    speaks: bool

    def __str__(self) -> str:
        losses = ", ".join(f"{level} {value:.3f}" for level, value in self.losses.items())
        size = f"{self.patients} patients, {self.windows} windows, {self.steps} steps"
        text = f"{size}, {self.samples_per_second:.0f} samples/s; loss: {losses}"
        text += f"\n{self.left_out}" if self.left_out else ""
        if self.finished:
            return f"{text}\nrun folder: {self.folder}"
        return f"{text}\nstopped before the last step; the same command with --resume goes on"


def pretrain(
    config: PretrainConfig,
    manifest: Manifest,
    store: Path,
    folder: Path,
    *,
    resume: bool = False,
    until: int | None = None,
) -> Pretrained:
    """Train an encoder without labels.

    Args:
        config: the whole recipe.
        manifest: what `medcl scan` wrote.
        store: folder in which recordings are prepared once.
        folder: the run folder.
        resume: go on from the folder's checkpoint.
        until: stop after this step in this call.

    Returns:
        What the run has come to.

    Raises:
        UsageError: the folder already holds a run, or the configuration cannot be meant.
        MedclError: the archive does not allow it, or training failed.
    """
    weights = level_weights(config.comet)
    fabric = fabric_for(config.hardware)
    fabric.launch()
    # Only the first process looks: another one may come when the first has begun to write.
    if fabric.is_global_zero and (folder / runs.ENVIRONMENT).exists() and not resume:
        raise UsageError(f"{folder} already holds a run: choose another folder, or go on with --resume")
    # The whole archive is prepared, whatever is trained on: the evaluation finds the same store again.
    manifest = manifest.ok()
    prepared = prepare(manifest, config.data, store)
    manifest = _chosen(manifest, config.splits)
    windows = SignalWindows(prepared, manifest, config.data)
    if not len(windows):
        raise MedclError(f"no recording is as long as one window ({config.data.window} s): shorten data.window")
    missing = [level for level in weights if level not in {*windows.ids, "observation"}]
    if missing:
        raise UsageError(
            f"comet.levels: the archive has no ids for {', '.join(missing)}; it has {', '.join(windows.ids)}"
        )

    config = replace(
        config, data=replace(config.data, sampling_rate=prepared.sampling_rate, channels=list(prepared.channels))
    )
    torch.manual_seed(config.seed)
    encoder = build(config.encoder, len(prepared.channels))
    views = signal_views.build(config.views, prepared.channels, prepared.sampling_rate)
    method = Comet(encoder, config.comet, views, shared=fabric.world_size > 1, chunk=config.hardware.chunk)
    card = SignalCard(
        config.encoder,
        tuple(prepared.channels),
        prepared.sampling_rate,
        config.data.window,
        config.data.standardise,
        tuple(config.data.band) if config.data.band else None,
        config.data.notch,
    )
    patients = np.unique(windows.ids["patient"])
    if fabric.is_global_zero and not resume:
        runs.start(folder, plain(config), runs.SeenPatients.of(patients.tolist(), manifest.metadata["salt"]))
    if resume:
        _same_recipe(folder, config)
    fabric.barrier()
    sampler = HierarchicalSampler(
        windows.ids["patient"],
        windows.ids["trial"],
        patients=config.batch.patients,
        trials=config.batch.trials,
        samples=config.batch.samples,
        seed=config.seed,
    )

    def batches(start: int, stop: int) -> Iterable[Batch]:
        return loader(
            windows, sampler, start, stop, config.hardware.workers, rank=fabric.global_rank, world=fabric.world_size
        )

    trained: Trained = train(
        fabric,
        method,
        batches,
        config.optimiser,
        weights=weights,
        seed=config.seed,
        folder=folder,
        resume=resume,
        until=until,
        checkpoint_every=config.hardware.checkpoint_every,
    )
    finished = trained.step >= config.optimiser.steps
    if finished and fabric.is_global_zero:
        kept = trained.encoder_owner
        assert isinstance(kept, Comet)
        runs.save_encoder(folder, kept.encoder, card)
    return Pretrained(
        folder=folder,
        patients=len(patients),
        windows=len(windows),
        steps=trained.step,
        losses=trained.losses,
        samples_per_second=trained.samples_per_second,
        left_out=_left_out(len(prepared.quarantine), windows),
        finished=finished,
        speaks=fabric.is_global_zero,
    )


def _left_out(quarantined: int, windows: SignalWindows) -> str:
    counts = {
        "recordings could not be decoded": quarantined,
        "are shorter than a window": windows.too_short,
        "windows have gaps": windows.with_gaps,
    }
    said = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    return f"left out: {said}" if said else ""


def plain(config: PretrainConfig) -> dict[str, Any]:
    """The configuration as YAML holds it: dictionaries, lists and scalars."""
    values: dict[str, Any] = json.loads(json.dumps(asdict(config)))
    return values


def _same_recipe(folder: Path, config: PretrainConfig) -> None:
    """A run goes on with the recipe that it began with; only the hardware may change."""
    begun = yaml.safe_load((folder / runs.CONFIG).read_text()) if (folder / runs.CONFIG).is_file() else None
    if begun is None:
        raise MedclError(f"{folder}: no {runs.CONFIG} to resume; run without --resume")
    now = plain(config)
    other = [name for name, value in now.items() if name != "hardware" and begun.get(name) != value]
    if other:
        raise UsageError(f"--resume: {', '.join(other)} differs from {folder / runs.CONFIG}, with which the run began")


def _chosen(manifest: Manifest, splits: tuple[str, ...]) -> Manifest:
    if not manifest.has("split"):
        raise MedclError(
            "the manifest has no splits; `medcl split` makes them, so that tested patients stay out of pretraining"
        )
    rows = np.sort(np.concatenate([manifest.split_rows(name) for name in splits])) if splits else np.arange(0)
    if not len(rows):
        raise MedclError(f"no readable record in the splits {', '.join(splits) or '(none)'} of the manifest")
    return manifest.select(rows)
