"""Image encoders by name: `build` makes one from its configuration."""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import nn

from medcl.errors import UsageError, did_you_mean
from medcl.modality.spatial.config import WIDTHS, ImageEncoderConfig
from medcl.modality.spatial.encoders import monai as image_monai
from medcl.modality.spatial.encoders.base import Backbone, ImageEncoder
from medcl.modality.spatial.encoders.unet import UNet

__all__ = ["NETWORKS", "ImageEncoder", "build"]
M = TypeVar("M", bound=nn.Module)


def unet(config: ImageEncoderConfig, widths: tuple[int, ...], n_channels: int) -> Backbone:
    """Make Chaitanya et al.'s U-Net with as many decoder blocks as the stride needs."""
    levels = len(widths) - 1
    coarsest = 2**levels
    stride = config.stride or coarsest
    blocks = levels - (stride.bit_length() - 1)
    if stride != 2 ** (levels - blocks) or blocks < 0:
        raise UsageError(
            f"a unet of {len(widths)} widths has strides that are powers of two up to {coarsest}, got stride={stride}"
        )
    network = UNet(n_channels, widths=widths, dims=config.dims, norm=config.norm, blocks=blocks)
    return Backbone(network, widths[levels - blocks], stride, coarsest)


NETWORKS: dict[str, Callable[[ImageEncoderConfig, tuple[int, ...], int], Backbone]] = {
    "unet": unet,
    "monai-unet": image_monai.unet,
    "resnet": image_monai.resnet,
    "densenet": image_monai.densenet,
    "swin-unetr": image_monai.swin_unetr,
    "vit": image_monai.vit,
}


def check(config: ImageEncoderConfig, n_channels: int) -> None:
    """Refuse a configuration that is invalid for every network.

    Raises:
        UsageError: with the field and its value.
    """
    if config.name not in NETWORKS:
        hint = did_you_mean(config.name, NETWORKS)
        raise UsageError(f"no image encoder is called {config.name!r}; choose one of {', '.join(NETWORKS)}{hint}")
    if config.dims not in (2, 3):
        raise UsageError(f"an image encoder has dims=2 (images) or dims=3 (volumes), got dims={config.dims}")
    stride = 1 if config.stride is None else config.stride
    for name, size in {"n_channels": n_channels, "dim": config.dim, "stride": stride}.items():
        if size < 1:
            raise UsageError(f"an image encoder needs {name} of at least 1, got {name}={size}")
    if config.widths is not None and (not config.widths or min(config.widths) < 1):
        raise UsageError(f"an image encoder needs widths of at least 1, got widths={config.widths}")
    if config.norm not in ("batch", "group"):
        raise UsageError(f"an image encoder normalises by 'batch' or 'group', got norm={config.norm!r}")
    if config.pooling not in ("mean", "max"):
        raise UsageError(f"an image encoder pools by 'mean' or 'max', got pooling={config.pooling!r}")


def build(config: ImageEncoderConfig, n_channels: int) -> ImageEncoder:
    """Make the image encoder that a configuration describes, with random weights: none is ever downloaded.

    Args:
        config: which network, and its sizes.
        n_channels: C of the images (B, C, x, y) or volumes (B, C, x, y, z) that it will get.

    Returns:
        The encoder, in training mode, on the CPU.

    Raises:
        UsageError: when the configuration names no network or holds invalid sizes.
    """
    check(config, n_channels)
    widths = WIDTHS[config.name] if config.widths is None else tuple(config.widths)
    backbone = NETWORKS[config.name](config, widths, n_channels)
    if config.stride not in (None, backbone.stride):
        raise UsageError(f"a {config.name} encoder has stride={backbone.stride}, got stride={config.stride}")
    return ImageEncoder(config, n_channels, backbone)


def for_images(network: M, dims: int) -> M:
    """The same network, its weights channels last where it takes images."""
    return network.to(memory_format=torch.channels_last) if dims == 2 else network  # type: ignore[call-overload]
