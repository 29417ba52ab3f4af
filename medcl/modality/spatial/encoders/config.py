"""The configuration of an image encoder: importable without torch, so that the command line stays quick."""

from dataclasses import dataclass
from typing import Literal

WIDTHS: dict[str, tuple[int, ...]] = {
    "unet": (16, 32, 64, 128, 128, 128),
    "monai-unet": (16, 32, 64, 128, 256),
    "resnet": (64, 128, 256, 512),
    "densenet": (64, 32),
    "swin-unetr": (48,),
    "vit": (768,) * 12,
}


@dataclass(frozen=True)
class ImageEncoderConfig:
    """What turns an image (channels, x, y) or a volume (channels, x, y, z) into embeddings.

    Args:
        name: `unet` (Chaitanya et al.), or through monai `monai-unet` (residual U-Net), `resnet` (ResNet-18),
            `densenet` (DenseNet-121), `swin-unetr` or `vit` (ViT).
        dims: 2 for images and slices, 3 for volumes.
        dim: width of the embedding.
        widths: features inside the network; None takes the published ones (`WIDTHS`). `unet` and `monai-unet`: one
            entry a level, the bottleneck last. `resnet`: its four stages. `densenet`: the stem, then what each layer
            adds. `swin-unetr`: the first stage, a multiple of 12. `vit`: one entry a layer, all the same.
        norm: `batch`, or `group` where an embedding must not depend on the rest of its batch; `vit` has LayerNorm only.
        stride: voxels along each axis that one position of the dense embedding covers; None takes the network's own.
            `unet`: 2^levels is the bottleneck, every halving adds one decoder block, 1 is the whole network. `vit`: the
            side of a patch (16). The others have one stride: 32 (`resnet`, `densenet`) or 1 (`monai-unet`,
            `swin-unetr`).
        pooling: how a dense embedding becomes one vector.
    """

    name: Literal["unet", "monai-unet", "resnet", "densenet", "swin-unetr", "vit"] = "unet"
    dims: Literal[2, 3] = 2
    dim: int = 128
    widths: tuple[int, ...] | None = None
    norm: Literal["batch", "group"] = "batch"
    stride: int | None = None
    pooling: Literal["mean", "max"] = "mean"
