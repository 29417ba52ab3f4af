"""The configuration of views and networks of images and volumes: importable without torch."""

from dataclasses import dataclass, replace
from typing import Literal

from medcl.errors import UsageError

_MOVING = (
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
"""Changes that move voxels."""


@dataclass(frozen=True)
class ImageViewsConfig:
    """Which random views of an image or a volume are made, and how strong they are; the defaults switch all off.

    They are applied in the order: crop, flip, rotation by 90 degrees, affine map, elastic deformation (these five in
    one interpolation), contrast, brightness, gamma, blur, noise, clip, local shuffling, inpainting, cut-out.
    Intensities are in the units of the image; `intensity.py` says what suits CT, MR and radiographs. Lengths in voxels
    are in mm where the spacing is known. The plane is that of the first two axes of space, the third is depth.

    Args:
        crop_side: range of the share of each side of the plane that is cut out and stretched to the full size.
        crop_ratio: range of the aspect ratio of the crop, relative to that of the image.
        crop_depth: range of the share of the third axis that is cut out.
        crop_margin: shares at the beginning and at the end of each axis that crops stay away from.
        flip: probability of mirroring along each of `flip_axes`.
        flip_axes: axes of space that are mirrored, counted from 0: (1,) is left and right of an image (H, W), (0,) of a
            volume in RAS+.
        rotate90: probability of a turn by 90, 180 or 270 degrees in the plane, which must be square.
        rotation: largest rotation in the plane, either way (degrees).
        tilt: largest rotation out of the plane, either way (degrees); volumes only.
        scale: range of the factor of all lengths.
        shear: largest shear between two axes, either way (degrees).
        translation: largest move along each axis, either way, as a share of the image.
        elastic: standard deviation of the displacement of the points of a coarse grid (voxels or mm).
        elastic_points: number of points of that grid along each axis.
        padding: what is read outside of the image.
        contrast: range of the factor of the distance from the mean.
        brightness: largest constant added, either way, in units of the image.
        gamma: range of the exponent.
        gamma_window: the values that are 0 and 1 for gamma.
        blur: range of the standard deviation of a Gaussian (voxels or mm).
        noise: largest standard deviation of white Gaussian noise, in units of the image.
        clip: lowest and highest value after all of these; None leaves the values.
        shuffle: share of small blocks whose voxels are shuffled.
        shuffle_side: largest share of a side that a block takes.
        inpainting: number of boxes filled with noise.
        inpainting_side: range of the share of a side that such a box takes.
        inpainting_window: range of that noise.
        cutout: number of boxes filled with one value.
        cutout_side: range of the share of a side that such a box takes.
        cutout_value: value of those boxes, in units of the image.
    """

    crop_side: tuple[float, float] = (1.0, 1.0)
    crop_ratio: tuple[float, float] = (1.0, 1.0)
    crop_depth: tuple[float, float] = (1.0, 1.0)
    crop_margin: tuple[float, float] = (0.0, 0.0)
    flip: float = 0.0
    flip_axes: tuple[int, ...] = (1,)
    rotate90: float = 0.0
    rotation: float = 0.0
    tilt: float = 0.0
    scale: tuple[float, float] = (1.0, 1.0)
    shear: float = 0.0
    translation: float = 0.0
    elastic: float = 0.0
    elastic_points: int = 3
    padding: Literal["border", "zeros", "reflection"] = "border"
    contrast: tuple[float, float] = (1.0, 1.0)
    brightness: float = 0.0
    gamma: tuple[float, float] = (1.0, 1.0)
    gamma_window: tuple[float, float] = (0.0, 1.0)
    blur: tuple[float, float] = (0.0, 0.0)
    noise: float = 0.0
    clip: tuple[float, float] | None = None
    shuffle: float = 0.0
    shuffle_side: float = 0.1
    inpainting: int = 0
    inpainting_side: tuple[float, float] = (0.17, 0.33)
    inpainting_window: tuple[float, float] = (0.0, 1.0)
    cutout: int = 0
    cutout_side: tuple[float, float] = (0.1, 0.3)
    cutout_value: float = 0.0

    def moving(self) -> tuple[str, ...]:
        """Names of the changes that move voxels."""
        still = ImageViewsConfig()
        return tuple(name for name in _MOVING if getattr(self, name) != getattr(still, name))


# Chaitanya et al. (NeurIPS 2020), for MR scaled between its 1st and 99th percentile. The local loss compares the same
# place of two views, so its views leave every pixel in its place.
CHAITANYA_LOCAL = ImageViewsConfig(contrast=(0.7, 1.3), brightness=0.3, clip=(0.0, 1.5))

# The global loss adds a crop of 100 x 100 pixels that begins at 10 to 70 pixels, of the released code, as shares of its
# images of 192 x 192 pixels.
CHAITANYA_GLOBAL = ImageViewsConfig(
    crop_side=(100 / 192, 100 / 192),
    crop_margin=(10 / 192, 22 / 192),
    contrast=(0.7, 1.3),
    brightness=0.3,
    clip=(0.0, 1.5),
)


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

    def with_blocks(self, blocks: int) -> "ImageEncoderConfig":
        """Of a `unet` the configuration with so many blocks of its decoder, counted from the bottleneck.

        Raises:
            UsageError: it has no such block.
        """
        if self.name != "unet":
            return self
        widths = tuple(self.widths or WIDTHS["unet"])
        level = len(widths) - 1 - blocks
        if not 0 <= level < len(widths):
            raise UsageError(f"blocks: a U-Net of {len(widths)} widths has decoder blocks 1 to {len(widths) - 1}")
        return replace(self, dim=widths[level], stride=2**level)
