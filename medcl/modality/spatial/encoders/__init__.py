"""Image encoders by name: `build` makes one from its configuration.

All but the U-Net are networks of monai, cut off before their classifiers, always with random weights.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from medcl.errors import UsageError, did_you_mean
from medcl.modality.spatial.config import WIDTHS, ImageEncoderConfig
from medcl.modality.spatial.encoders.base import Backbone, ImageEncoder, normalisation
from medcl.modality.spatial.encoders.pointwise import without_narrow_strides
from medcl.modality.spatial.encoders.unet import UNet
from medcl.networks import foreign
from medcl.networks.config import ForeignEncoderConfig
from medcl.networks.encoder import Encoder

__all__ = ["NETWORKS", "ImageEncoder", "build"]

# Patches along each axis of 224 pixels and of 96 voxels, the sizes that these transformers are usually trained at.
POSITIONS = {2: 14, 3: 6}
HEAD_WIDTH = 64


def nets() -> Any:
    """Import monai's networks, which takes seconds."""
    import monai.networks.nets

    return monai.networks.nets


def use_group_norm(network: nn.Module, dims: int) -> None:
    """Replace every BatchNorm of a network by GroupNorm.

    Done afterwards and for all of them alike, because monai's ResNet passes its `norm` to the stem only.
    """
    for name, module in list(network.named_children()):
        if isinstance(module, _BatchNorm):
            setattr(network, name, normalisation("group", dims, module.num_features))
        else:
            use_group_norm(module, dims)


def normalised(network: nn.Module, config: ImageEncoderConfig) -> nn.Module:
    """Give a network built with BatchNorm the normalisation of its configuration."""
    if config.norm == "group":
        use_group_norm(network, config.dims)
    return network


def monai_unet(config: ImageEncoderConfig, widths: tuple[int, ...], n_channels: int) -> Backbone:
    """Make the residual U-Net of Kerfoot et al. 2018, with an embedding for every voxel."""
    if len(widths) < 2:
        raise UsageError(f"a monai-unet needs at least two widths, got widths={widths}")
    network = nets().UNet(
        config.dims, n_channels, config.dim, widths, (2,) * (len(widths) - 1), num_res_units=2, norm="batch"
    )
    return Backbone(normalised(network, config), config.dim, 1, 2 ** (len(widths) - 1))


def resnet(config: ImageEncoderConfig, widths: tuple[int, ...], n_channels: int) -> Backbone:
    """Make ResNet-18 (He et al. 2016) without its pooling and classifier."""
    if len(widths) != 4:
        raise UsageError(f"a resnet has four stages, so four widths, got widths={widths}")
    whole = nets().ResNet(
        "basic", [2, 2, 2, 2], list(widths), config.dims, n_channels, conv1_t_stride=2, feed_forward=False
    )
    network = nn.Sequential(OrderedDict((name, part) for name, part in whole.named_children() if name != "avgpool"))
    return Backbone(normalised(network, config), widths[-1], 32, 32)


def densenet(config: ImageEncoderConfig, widths: tuple[int, ...], n_channels: int) -> Backbone:
    """Make DenseNet-121 (Huang et al. 2017) without its pooling and classifier."""
    if len(widths) != 2:
        raise UsageError(f"a densenet needs two widths, of its stem and of what a layer adds, got widths={widths}")
    whole = nets().DenseNet(config.dims, n_channels, 1, init_features=widths[0], growth_rate=widths[1])
    network = nn.Sequential(whole.features, nn.ReLU(inplace=True))
    return Backbone(normalised(network, config), whole.class_layers.out.in_features, 32, 32)


def swin_unetr(config: ImageEncoderConfig, widths: tuple[int, ...], n_channels: int) -> Backbone:
    """Make Swin UNETR (Hatamizadeh et al. 2022), with an embedding for every voxel.

    The paper normalises each image by itself, which is impossible where a small image ends in one position; here its
    convolutions take the configuration's norm.
    """
    if len(widths) != 1 or widths[0] % 12:
        raise UsageError(f"a swin-unetr needs one width, a multiple of 12, got widths={widths}")
    network = nets().SwinUNETR(
        in_channels=n_channels,
        out_channels=config.dim,
        feature_size=widths[0],
        norm_name="batch",
        spatial_dims=config.dims,
    )
    return Backbone(normalised(network, config), config.dim, 1, 32)


class VisionTransformer(nn.Module):
    """The parts of monai's ViT, for images of any size: the learned positions are interpolated to the image's grid.

    Args:
        vit: the network, built for `POSITIONS[dims]` patches along each axis.
        dims: 2 or 3.
    """

    def __init__(self, vit: Any, dims: int) -> None:
        super().__init__()
        self.dims = dims
        self.patches: nn.Module = vit.patch_embedding.patch_embeddings
        self.positions: nn.Parameter = vit.patch_embedding.position_embeddings
        self.blocks: nn.ModuleList = vit.blocks
        for block in self.blocks:
            # Never called here, and distributed training would wait for their gradients.
            block.norm_cross_attn = block.cross_attn = nn.Identity()
        self.norm: nn.Module = vit.norm

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, x, y[, z]) to (B, width, x / stride, y / stride[, z / stride])."""
        patches: Tensor = self.patches(x)
        grid = patches.shape[2:]
        table = (POSITIONS[self.dims],) * self.dims
        positions = self.positions.transpose(1, 2).reshape(1, -1, *table)
        if positions.shape[2:] != grid:
            mode = "bilinear" if self.dims == 2 else "trilinear"
            positions = F.interpolate(positions, size=grid, mode=mode, align_corners=False)
        tokens = (patches + positions).flatten(2).transpose(1, 2)
        for block in self.blocks:
            tokens = block(tokens)
        return cast(Tensor, self.norm(tokens)).transpose(1, 2).reshape(patches.shape)


def vit(config: ImageEncoderConfig, widths: tuple[int, ...], n_channels: int) -> Backbone:
    """Make a ViT (Dosovitskiy et al. 2021) without class token, its heads 64 wide."""
    width = widths[0]
    if set(widths) != {width} or (width > HEAD_WIDTH and width % HEAD_WIDTH):
        raise UsageError(
            f"a vit needs one width a layer, all the same and, above {HEAD_WIDTH}, a multiple of {HEAD_WIDTH} (the "
            f"width of a head), got widths={widths}"
        )
    stride = config.stride or 16
    network = nets().ViT(
        n_channels,
        stride * POSITIONS[config.dims],
        stride,
        hidden_size=width,
        mlp_dim=4 * width,
        num_layers=len(widths),
        num_heads=max(1, width // HEAD_WIDTH),
        qkv_bias=True,
        spatial_dims=config.dims,
    )
    return Backbone(VisionTransformer(network, config.dims), width, stride, stride)


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
    "monai-unet": monai_unet,
    "resnet": resnet,
    "densenet": densenet,
    "swin-unetr": swin_unetr,
    "vit": vit,
}


def check(config: ImageEncoderConfig | ForeignEncoderConfig, n_channels: int) -> None:
    """Refuse a configuration that is invalid for every network.

    Raises:
        UsageError: with the field and its value.
    """
    if isinstance(config, ForeignEncoderConfig):
        foreign.check(config)
        return
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


def build(config: ImageEncoderConfig | ForeignEncoderConfig, n_channels: int) -> Encoder:
    """Make the image encoder that a configuration describes, with random weights: none is ever downloaded.

    Args:
        config: which network, and its sizes.
        n_channels: C of the images (B, C, x, y) or volumes (B, C, x, y, z) that it will get.

    Raises:
        UsageError: when the configuration names no network or holds invalid sizes.
    """
    check(config, n_channels)
    if isinstance(config, ForeignEncoderConfig):
        return foreign.build(config, n_channels)
    widths = WIDTHS[config.name] if config.widths is None else tuple(config.widths)
    backbone = NETWORKS[config.name](config, widths, n_channels)
    if config.stride not in (None, backbone.stride):
        raise UsageError(f"a {config.name} encoder has stride={backbone.stride}, got stride={config.stride}")
    return ImageEncoder(config, n_channels, backbone)


def for_images(network: M, dims: int) -> M:
    """The same network, its weights channels last where it takes images."""
    if dims != 2:
        return network
    without_narrow_strides(network)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]
