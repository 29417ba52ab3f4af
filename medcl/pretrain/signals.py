"""Pretraining on recordings: from a manifest to the stages of COMET."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
from lightning.fabric import Fabric
from torch import nn

from medcl.archive.manifest import Manifest
from medcl.data.prepare import prepare
from medcl.data.sampler import Sampler, loader
from medcl.errors import MedclError
from medcl.modality import wing
from medcl.modality.sampling import Batch
from medcl.modality.signal import views as signal_views
from medcl.modality.signal.encoders import build
from medcl.modality.signal.samples import SignalWindows
from medcl.pretrain.comet import WITHIN, Comet, level_weights
from medcl.pretrain.config import PretrainConfig
from medcl.pretrain.hierarchy import check_known
from medcl.pretrain.plan import PlannedStage, TrainingPlan, left_out


def check(config: PretrainConfig) -> None:
    """Refuse an invalid recipe before anything is read.

    Raises:
        UsageError: with the field and its value.
    """
    level_weights(config.comet)


def plan(config: PretrainConfig, manifest: Manifest, chosen: Manifest, store: Path, fabric: Fabric) -> TrainingPlan:
    """Say what is trained.

    Args:
        config: the recipe.
        manifest: all readable recordings, which are prepared.
        chosen: those that are trained on.
        store: folder in which recordings are prepared once.
        fabric: device and processes.

    Raises:
        UsageError: the archive has no ids of a level.
        MedclError: no recording is as long as a window.
    """
    weights = level_weights(config.comet)
    prepared = prepare(manifest, config.data, store)
    windows = SignalWindows(prepared, chosen, config.data)
    if not len(windows):
        raise MedclError(f"no recording is as long as one window ({config.data.window} s): shorten data.window")
    check_known(weights, (*windows.ids, *WITHIN), "comet.levels")
    config = replace(
        config, data=replace(config.data, sampling_rate=prepared.sampling_rate, channels=list(prepared.channels))
    )
    sampler = Sampler(
        windows.ids["patient"],
        windows.ids["trial"],
        patients=config.batch.patients,
        records=config.batch.trials,
        samples=config.batch.samples,
        seed=config.seed,
    )

    def batches(start: int, stop: int) -> Iterable[Batch]:
        return loader(
            windows, sampler, start, stop, config.hardware.workers, rank=fabric.global_rank, world=fabric.world_size
        )

    def method(before: nn.Module | None) -> Comet:
        encoder = build(config.encoder, len(prepared.channels))
        views = signal_views.build(config.views, prepared.channels, prepared.sampling_rate)
        return Comet(encoder, config.comet, views, shared=fabric.world_size > 1, chunk=config.hardware.chunk)

    return TrainingPlan(
        config=config,
        patients=np.unique(windows.ids["patient"]),
        size=f"{len(windows)} windows",
        stages=(PlannedStage("", method, weights, batches, config.optimiser),),
        encoder=_encoder,
        card=wing("signal").spec_of(config.encoder, config.data, prepared, ""),
        left_out=left_out(
            {
                "recordings could not be decoded": len(prepared.quarantine),
                "are shorter than a window": windows.too_short,
                "windows have gaps": windows.with_gaps,
            }
        ),
    )


def _encoder(method: nn.Module) -> nn.Module:
    assert isinstance(method, Comet)
    return method.encoder
