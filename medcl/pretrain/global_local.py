"""Global and local contrast for segmentation (Chaitanya et al., NeurIPS 2020), in two stages or jointly.

Views: crops and intensities for slices, intensities alone for regions. Encoder: a U-Net, its bottleneck for the global
loss and the first blocks of its decoder for the local one; or any image encoder. Levels: the slice's position, and the
region. Loss: `global_contrast`, `local_contrast`.
"""

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn

from medcl.contrast.core.gather import Group, encode_in_chunks
from medcl.contrast.losses.regions import nearby
from medcl.errors import UsageError
from medcl.modality.spatial.config import WIDTHS, ImageEncoderConfig, ImageViewsConfig
from medcl.modality.spatial.encoders import ImageEncoder
from medcl.modality.spatial.encoders.unet import GlobalHead, LocalHead, UNet
from medcl.modality.views import Compose
from medcl.pretrain.global_contrast import BY_PARTITION, global_loss
from medcl.pretrain.local_contrast import RegionHead, local_loss
from medcl.pretrain.loop import laid_out
from medcl.pretrain.shared_views import draw
from medcl.pretrain.volume_config import VolumePretrainConfig

STAGES: dict[str, tuple[tuple[str, ...], ...]] = {
    "global-local": (("global",), ("local",)),
    "global": (("global",),),
    "local": (("local",),),
    "joint": (("global", "local"),),
}
"""The losses of each stage."""

IN_SPACE = (
    "crop_side",
    "crop_ratio",
    "crop_depth",
    "flip",
    "rotate90",
    "rotation",
    "tilt",
    "scale",
    "shear",
    "translation",
    "elastic",
    "shuffle",
)
"""Views that move voxels."""


def check(config: VolumePretrainConfig) -> None:
    """Refuse an invalid recipe before anything is read.

    Raises:
        UsageError: with the field and its value.
    """
    own, local, unet = config.global_local, config.local, config.encoder.name == "unet"
    stages = STAGES[own.stages]
    losses = [loss for stage in stages for loss in stage]
    if own.partitions < 1:
        raise UsageError(f"global_local.partitions: {own.partitions} is invalid; a volume has at least one")
    if own.init and own.stages not in ("local", "joint"):
        raise UsageError(f"global_local.init: the global stage of {own.stages!r} starts from random weights")
    if config.hardware.chunk and own.stages in ("local", "joint"):
        raise UsageError(
            f"hardware.chunk: stages {own.stages!r} cannot train in chunks; the regions of an image are contrasted "
            "with one another only, so a smaller batch does the same"
        )
    if by_partition(config, losses) and config.batch.samples % own.partitions:
        raise UsageError(
            f"batch.samples: {config.batch.samples} slices of a volume cannot lie in {own.partitions} partitions "
            "equally; take a multiple"
        )
    positives = "global" in losses and own.variant == "partition-positives"
    if (positives or ("local" in losses and local.across)) and config.batch.patients * config.batch.volumes < 2:
        raise UsageError("batch: positives of different volumes need at least two volumes in a batch")
    if "local" not in losses:
        return
    moved = [name for name in IN_SPACE if getattr(config.local_views, name) != getattr(ImageViewsConfig(), name)]
    if moved:
        raise UsageError(
            f"local_views: {', '.join(moved)} would move voxels, and the regions of two views would not correspond"
        )
    levels = len(config.encoder.widths or WIDTHS["unet"]) - 1
    if unet and not 1 <= local.blocks <= levels:
        raise UsageError(f"local.blocks: a U-Net of {levels + 1} widths has decoder blocks 1 to {levels}")
    if not unet and not local.train_encoder:
        raise UsageError(
            f"local.train_encoder: the decoder of a {config.encoder.name} cannot be trained without its encoder; set "
            "it to true, or take a unet"
        )
    if own.stages == "local" and not own.init and not local.train_encoder:
        raise UsageError(
            "global_local.init: a local stage alone would train a decoder on an encoder with random weights; name a "
            "run to start from, or set local.train_encoder to true"
        )


def by_partition(config: VolumePretrainConfig, losses: Sequence[str]) -> bool:
    """Whether the losses of a stage need slices from every partition of a volume."""
    of_slices = "global" in losses and config.global_local.variant in BY_PARTITION
    return of_slices or ("local" in losses and config.local.across)


def encoder_config(config: VolumePretrainConfig, losses: Sequence[str]) -> ImageEncoderConfig:
    """The encoder of a stage: of a U-Net, no more blocks of the decoder than are trained."""
    own = config.encoder
    if own.name != "unet":
        return own
    widths = tuple(own.widths or WIDTHS["unet"])
    level = len(widths) - 1 - (config.local.blocks if "local" in losses else 0)
    return replace(own, dim=widths[level], stride=2**level)


class GlobalLocal(nn.Module):
    """The method: a batch in, one loss a stage out.

    Args:
        encoder: of `encoder_config`.
        config: the whole recipe.
        losses: `global`, `local` or both.
        size: of a patch along its axes.
        views: random changes for the global loss.
        local_views: for the local one.
        shared: the batch is shared by all processes.

    Raises:
        UsageError: when the patch does not fit the network, or the regions not its map.
    """

    def __init__(
        self,
        encoder: ImageEncoder,
        config: VolumePretrainConfig,
        losses: Sequence[str],
        *,
        size: Sequence[int],
        views: Compose,
        local_views: Compose,
        shared: bool = False,
    ) -> None:
        super().__init__()
        self.encoder, self.config = encoder, config
        self.views, self.local_views, self.shared = views, local_views, shared
        self.unet = encoder.network if isinstance(encoder.network, UNet) else None
        own, local = encoder.config, config.local
        self.global_head: nn.Module | None = None
        if self.unet is not None and any(length % encoder.multiple for length in size):
            raise UsageError(
                f"data.size: this U-Net takes sizes that are multiples of {encoder.multiple}, got "
                f"{' x '.join(map(str, size))}; choose another size, or fewer encoder.widths"
            )
        if "global" in losses:
            features = own.dim
            if self.unet is not None:
                bottleneck = (config.encoder.widths or WIDTHS["unet"])[-1]
                features = bottleneck * prod(length // encoder.multiple for length in size)
            self.global_head = GlobalHead(features, config.global_local.hidden, config.global_local.projection)
        self.local_head: nn.Module | None = None
        if "local" in losses:
            regions = RegionHead(own.dim, encoder.grid(size), local.region, local.projection)
            self.local_head = nn.Sequential(LocalHead(own.dim, own.dims, own.norm), regions)
            if not 0 < local.negatives < len(regions.starts):
                raise UsageError(f"local.negatives: {local.negatives} of {len(regions.starts) - 1} other regions")
            self.register_buffer("negatives", nearby(regions.starts, local.negatives), persistent=False)
            if self.unet is not None and not local.train_encoder and "global" not in losses:
                # Its normalisation keeps the statistics of the global stage.
                self.unet.encoder.requires_grad_(False).eval()

    def forward(self, batch: dict[str, Any], generator: torch.Generator) -> dict[str, Tensor]:
        """The losses of this stage.

        Args:
            batch: `x` (B, C, ...), `position` (B,) in [0, 1] and `ids` with `slice` and `volume`.
            generator: on the CPU; draws the views.

        Returns:
            `global`, `local`, or both.
        """
        losses = {}
        if self.global_head is not None:
            losses["global"] = global_loss(
                self._slices, self.views, batch, self.config.global_local, generator, self._group
            )
        if self.local_head is not None:
            losses["local"] = self._local(batch, generator)
        return losses

    @property
    def _group(self) -> Group:
        return dist.group.WORLD if self.shared else None

    def _slices(self, images: Tensor) -> Tensor:
        """What the global loss compares, (n, projection)."""
        assert self.global_head is not None
        images = laid_out(images)
        chunk = self.config.hardware.chunk or len(images)
        if self.unet is None:
            features = self.encoder.pool(encode_in_chunks(self.encoder, images, chunk=chunk))
        elif self.local_head is not None:
            features = self.unet.encode(images)[-1]
        else:
            features = encode_in_chunks(self.unet, images, chunk=chunk)
        return cast(Tensor, self.global_head(features))

    def _local(self, batch: dict[str, Any], generator: torch.Generator) -> Tensor:
        assert self.local_head is not None
        x, own = batch["x"], self.config.local
        params = draw(self.local_views, x, 2, generator, self._group)
        changed = self.local_views.apply(x.repeat(2, *(1,) * (x.ndim - 1)), params)
        first, second = self.local_head(self._map(laid_out(changed))).chunk(2)
        negatives = self.get_buffer("negatives")
        across = (batch["position"], batch["ids"]["volume"]) if own.across else None
        return local_loss(
            first,
            second,
            negatives,
            temperature=own.temperature,
            group=self._group,
            across=across,
            partitions=self.config.global_local.partitions,
        )

    def _map(self, images: Tensor) -> Tensor:
        """The map that regions are cut from, (n, width, x, y[, z])."""
        if self.unet is None:
            dense: Tensor = self.encoder(images)
            return dense.mT.reshape(*dense.mT.shape[:2], *self.encoder.grid(images.shape[2:]))
        if self.config.local.train_encoder:
            return self.unet.decode(self.unet.encode(images))
        with torch.no_grad():
            features = self.unet.encode(images)
        return self.unet.decode(features)
