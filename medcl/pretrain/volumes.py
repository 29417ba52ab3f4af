"""Pretraining on volumes: from a manifest to the stages of a method."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
from lightning.fabric import Fabric
from torch import nn

from medcl.archive.manifest import Manifest
from medcl.data.prepare import prepare
from medcl.data.sampler import Sampler, loader
from medcl.errors import UsageError
from medcl.modality.sampling import Batch
from medcl.modality.spatial.config import ImageViewsConfig
from medcl.modality.spatial.encoders import ImageEncoder, build, for_images
from medcl.modality.views import Compose
from medcl.modality.volume import VolumeWing
from medcl.modality.volume.config import VolumeConfig
from medcl.modality.volume.prepare import of_patch
from medcl.modality.volume.samples import VolumePatches
from medcl.pretrain import global_local, hierarchy
from medcl.pretrain.densecl import DenseCL
from medcl.pretrain.global_local import STAGES, GlobalLocal
from medcl.pretrain.hierarchy import Hierarchy, check_known
from medcl.pretrain.initialise import copy_weights, initial_encoder
from medcl.pretrain.pixpro import PixPro
from medcl.pretrain.plan import PlannedStage, TrainingPlan, left_out
from medcl.pretrain.volume_config import VolumePretrainConfig


def check(config: VolumePretrainConfig) -> None:
    """Refuse an invalid recipe before anything is read.

    Raises:
        UsageError: with the field and its value.
    """
    VolumeWing().check(config.data, config.encoder)
    if config.method == "global-local":
        global_local.check(config)
    elif config.method == "hierarchy":
        hierarchy.level_weights(config.hierarchy)
    elif config.hardware.chunk:
        raise UsageError(f"hardware.chunk: {config.method} cannot train in chunks; take smaller batches")
    if not 0 <= config.dense.momentum <= 1:
        raise UsageError(f"dense.momentum: {config.dense.momentum:g} is not from 0 to 1")
    if not 0 <= config.dense.weight <= 1:
        raise UsageError(f"dense.weight: {config.dense.weight:g} is not from 0 to 1")
    # What cannot be built is refused now, not when an archive has been decoded for it.
    for losses in STAGES[config.global_local.stages] if config.method == "global-local" else ((),):
        _method(config, losses, 1, shared=False)


def plan(
    config: VolumePretrainConfig, manifest: Manifest, chosen: Manifest, store: Path, fabric: Fabric
) -> TrainingPlan:
    """Say what is trained.

    Args:
        config: the recipe.
        manifest: all readable volumes, which are prepared.
        chosen: those that are trained on.
        store: folder in which volumes are prepared once.
        fabric: device and processes.

    Raises:
        UsageError: the archive does not have what the recipe needs.
        MedclError: no volume can be read.
    """
    prepared = prepare(manifest, config.data, store)
    patches = VolumePatches(prepared, chosen, config.data)
    patients = np.unique(patches.ids.get("patient", patches.ids["volume"]))
    if config.method == "global-local":
        losses = STAGES[config.global_local.stages][-1]
        config = replace(config, encoder=global_local.encoder_config(config, losses))
        given = None
        if config.global_local.init:
            seen = patients.tolist()
            given = initial_encoder(
                Path(config.global_local.init), seen, str(manifest.metadata["salt"]), prepared.n_channels
            )
        stages = _stages(config, patches, fabric, given)
    else:
        stages = (_stage(config, patches, fabric),)
    missing = left_out({"volumes could not be prepared": int((chosen.kinds == "volume").sum()) - len(patches)})
    modality = "+".join(sorted({str(one) for one in chosen.column("modality")[patches.rows]}))
    return TrainingPlan(
        config=config,
        patients=patients,
        size=f"{len(patches)} volumes",
        stages=stages,
        encoder=_encoder,
        card=VolumeWing().spec_of(config.encoder, config.data, prepared, modality),
        left_out="\n".join(filter(None, (missing, _beyond(patches)))),
    )


def _beyond(patches: VolumePatches) -> str:
    """A sentence on patches that hold a border of zeros around every volume; empty where they do not."""
    axes = [name for name, sizes, side in zip("xyz", patches.shape.T, patches.size, strict=True) if sizes.max() < side]
    where = f"data.size {list(patches.size)} is larger than every volume along {', '.join(axes)}"
    return f"{where}: what lies outside is 0, and a smaller size costs less" if axes else ""


def _stages(
    config: VolumePretrainConfig, patches: VolumePatches, fabric: Fabric, given: ImageEncoder | None
) -> tuple[PlannedStage, ...]:
    """Those of the method global-local; the first one starts from the weights of `given`."""
    stages = []
    for number, losses in enumerate(STAGES[config.global_local.stages]):
        alone = losses == ("local",)
        weights = {loss: config.local.weight if loss == "local" and not alone else 1.0 for loss in losses}
        parts = config.global_local.partitions if global_local.by_partition(config, losses) else 1
        steps = config.local.steps if alone else config.optimiser.steps

        def method(before: nn.Module | None, losses: tuple[str, ...] = losses) -> nn.Module:
            initial = given if before is None else _encoder(before)
            return _method(config, losses, patches.store.n_channels, shared=fabric.world_size > 1, initial=initial)

        batches = _batches(config, patches, fabric, parts, config.seed + number)
        name = losses[0] if len(STAGES[config.global_local.stages]) > 1 else ""
        stages.append(PlannedStage(name, method, weights, batches, replace(config.optimiser, steps=steps)))
    return tuple(stages)


def _stage(config: VolumePretrainConfig, patches: VolumePatches, fabric: Fabric) -> PlannedStage:
    """The one of a method that has one."""
    weights = {
        "densecl": {"global": 1 - config.dense.weight, "dense": config.dense.weight},
        "pixpro": {"pixel": 1.0},
    }.get(config.method) or hierarchy.level_weights(config.hierarchy)
    if config.method == "hierarchy":
        check_known(weights, (*patches.ids, "slice"), "hierarchy.levels")

    def method(before: nn.Module | None) -> nn.Module:
        return _method(config, (), patches.store.n_channels, shared=fabric.world_size > 1)

    batches = _batches(config, patches, fabric, 1, config.seed)
    return PlannedStage("", method, weights, batches, config.optimiser)


def _batches(
    config: VolumePretrainConfig, patches: VolumePatches, fabric: Fabric, partitions: int, seed: int
) -> Callable[[int, int], Iterable[Batch]]:
    own = config.batch
    sampler = Sampler.drawing(
        patches,
        patients=own.patients,
        records=own.volumes,
        samples=own.samples,
        partitions=partitions,
        seed=seed,
        reuse=own.reuse,
        buffer=own.buffer,
    )

    def batches(start: int, stop: int) -> Iterable[Batch]:
        return loader(
            patches, sampler, start, stop, config.hardware.workers, rank=fabric.global_rank, world=fabric.world_size
        )

    return batches


def _method(
    config: VolumePretrainConfig,
    losses: tuple[str, ...],
    n_channels: int,
    *,
    shared: bool,
    initial: ImageEncoder | None = None,
) -> nn.Module:
    """What a stage trains; of the method global-local by these losses, from the weights of `initial`."""
    staged = config.method == "global-local"
    own = global_local.encoder_config(config, losses) if staged else config.encoder
    encoder = for_images(build(own, n_channels), own.dims)
    if initial is not None:
        copy_weights(encoder, initial)
    views = _views(config.views, config.data)
    if config.method == "densecl":
        return DenseCL(encoder, config.dense, views, shared=shared)
    if config.method == "pixpro":
        return PixPro(encoder, config.dense, views, steps=config.optimiser.steps, shared=shared)
    if config.method == "hierarchy":
        return Hierarchy(encoder, config.hierarchy, views, shared=shared, chunk=config.hardware.chunk)
    local_views = _views(config.local_views, config.data)
    size = of_patch(config.data.size, config.data)
    return GlobalLocal(encoder, config, losses, size=size, views=views, local_views=local_views, shared=shared)


def _views(views: ImageViewsConfig, data: VolumeConfig) -> Compose:
    return VolumeWing().views(views, data, None)


def _encoder(method: nn.Module) -> ImageEncoder:
    return cast(ImageEncoder, method.encoder)
