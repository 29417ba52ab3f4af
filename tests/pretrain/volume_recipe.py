"""The smallest recipes on volumes that still train every part."""

from dataclasses import replace
from typing import Any

from medcl.modality.spatial.config import ImageEncoderConfig, ImageViewsConfig
from medcl.modality.volume.config import VolumeConfig
from medcl.pretrain.config import HardwareConfig, OptimiserConfig
from medcl.pretrain.volume_config import (
    DenseConfig,
    GlobalLocalConfig,
    HierarchyConfig,
    LocalConfig,
    VolumeBatchConfig,
    VolumePretrainConfig,
)

CROPS = ImageViewsConfig(crop_side=(0.6, 0.9), crop_depth=(0.8, 1.0), contrast=(0.7, 1.3), brightness=0.3)


def small(steps: int = 3, **changes: Any) -> VolumePretrainConfig:
    """A recipe of a few steps on coronal slices; `changes` replace its fields."""
    config = VolumePretrainConfig(
        data=VolumeConfig(size=(16, 1, 16)),
        batch=VolumeBatchConfig(patients=3, volumes=1, samples=2),
        views=CROPS,
        encoder=ImageEncoderConfig(widths=(2, 4, 4), dim=4),
        global_local=GlobalLocalConfig(partitions=2, hidden=8, projection=8),
        local=LocalConfig(blocks=1, projection=8, steps=3),
        dense=DenseConfig(queue=16, hidden=8, projection=8),
        hierarchy=HierarchyConfig({"patient": 0.5, "study": 0.25, "slice": 0.25}, hidden=8, projection=8),
        optimiser=OptimiserConfig(steps=steps, learning_rate=1e-3),
        hardware=HardwareConfig(accelerator="cpu"),
    )
    return replace(config, **changes)


def global_local(config: VolumePretrainConfig | None = None, **changes: Any) -> VolumePretrainConfig:
    """The recipe with other stages or another global loss."""
    config = config or small()
    return replace(config, global_local=replace(config.global_local, **changes))


def local(config: VolumePretrainConfig | None = None, **changes: Any) -> VolumePretrainConfig:
    """The recipe with another local stage."""
    config = config or small()
    return replace(config, local=replace(config.local, **changes))


def encoder(config: VolumePretrainConfig | None = None, **changes: Any) -> VolumePretrainConfig:
    """The recipe with another network."""
    config = config or small()
    return replace(config, encoder=replace(config.encoder, **changes))


def in_3d(config: VolumePretrainConfig) -> VolumePretrainConfig:
    """The recipe on crops of volumes."""
    config = encoder(config, dims=3)
    # A cell of four voxels: a map of 4 x 4 x 4 from the first block of the decoder has no room for 27 regions.
    return local(replace(config, data=VolumeConfig(size=(16, 16, 8))), blocks=2)
