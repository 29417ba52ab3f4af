"""The U-Net of Chaitanya et al., whose decoder can be trained block by block, and the heads that are put on it."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medcl.errors import UsageError
from medcl.modality.spatial.config import WIDTHS
from medcl.modality.spatial.encoders.base import (
    MAX_POOLS,
    ConvolutionLayer,
    DoubleConvolution,
    check_images,
    check_statistics,
    convolution,
)


class GlobalHead(nn.Module):
    """Head g1 of the global loss: flatten the bottleneck, dense 1024, ReLU, dense 128; thrown away after training.

    Chaitanya et al. 2020, section 3.1. Neither layer has a bias, as in the released code. The positions are flattened,
    not pooled, so that a head belongs to one size of image: 192 x 192 pixels make 6 x 6 positions of 128 features.

    Args:
        n_features: features times positions of the bottleneck.
        hidden: width of the hidden layer.
        out: width of the projection.
    """

    def __init__(self, n_features: int, hidden: int = 1024, out: int = 128) -> None:
        super().__init__()
        self.n_features = n_features
        self.hidden = nn.Linear(n_features, hidden, bias=False)
        self.output = nn.Linear(hidden, out, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Project a bottleneck (B, width, x, y[, z]), or a dense embedding (B, positions, dim), to (B, out).

        Raises:
            UsageError: when an image has another number of features than the head was built for.
        """
        flat = features.flatten(1)
        if flat.shape[1] != self.n_features:
            raise UsageError(
                f"the global head was built for {self.n_features} features an image, got {flat.shape[1]} in a "
                f"bottleneck of shape {tuple(features.shape)}; every image must have the size the head was built for"
            )
        return cast(Tensor, self.output(F.relu(self.hidden(flat))))


class LocalHead(nn.Module):
    """Head g2 of the local loss: 1x1 convolution, normalisation, ReLU, 1x1 convolution; thrown away after training.

    Chaitanya et al. 2020, section 3.2. Neither convolution has a bias, as in the released code.

    Args:
        width: features of the decoder block that it is put on; the projection is as wide.
        dims: 2 or 3.
        norm: `batch` or `group`.
    """

    def __init__(self, width: int, dims: int = 2, norm: str = "batch") -> None:
        super().__init__()
        self.hidden = ConvolutionLayer(dims, width, width, kernel=1, norm=norm)
        self.output = convolution(dims, width, width, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Project every position of (B, width, x, y[, z]) to a map of the same shape."""
        return cast(Tensor, self.output(self.hidden(features)))


class SegmentationHead(nn.Module):
    """From the last features of a decoder to logits: a 3-tap layer, then a 3-tap convolution without bias.

    These are the last two convolutions of Chaitanya et al.'s released network.

    Args:
        width: features of the decoder's last block.
        n_classes: classes, the background included.
        dims: 2 or 3.
        norm: `batch` or `group`.

    Raises:
        UsageError: when there is no class.
    """

    def __init__(self, width: int, n_classes: int, dims: int = 2, norm: str = "batch") -> None:
        super().__init__()
        if n_classes < 1:
            raise UsageError(f"a segmentation needs at least one class, got n_classes={n_classes}")
        self.hidden = ConvolutionLayer(dims, width, width, norm=norm)
        self.output = convolution(dims, width, n_classes, 3)

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, width, x, y[, z]) to logits (B, n_classes, x, y[, z])."""
        return cast(Tensor, self.output(self.hidden(features)))


class DecoderBlock(nn.Module):
    """Nearest-neighbour up-sampling by 2, a 2-tap convolution, the skip concatenated, two 3-tap convolutions.

    Args:
        dims: 2 or 3.
        width_in: features of the coarser map.
        width: features of the skip and of the output.
        norm: `batch` or `group`.
    """

    def __init__(self, dims: int, width_in: int, width: int, norm: str) -> None:
        super().__init__()
        self.up = ConvolutionLayer(dims, width_in, width, kernel=2, norm=norm)
        self.convolutions = DoubleConvolution(dims, 2 * width, width, norm)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Map (B, width_in, x, y[, z]) and (B, width, 2x, 2y[, 2z]) to the shape of the second."""
        up = self.up(F.interpolate(x, scale_factor=2, mode="nearest"))
        return cast(Tensor, self.convolutions(torch.cat((up, skip), dim=1)))


class UNet(nn.Module):
    """The network of Chaitanya et al. 2020: 16 to 128 features, five max-poolings, five decoder blocks.

    Every level is two convolutions of 3 taps with normalisation and ReLU; decoder block l gives a map of
    size / 2^(5 - l), as wide as the level that it takes its skip from. Against the released code: a convolution has no
    bias where a normalisation follows, which cancels it; the running statistics move by PyTorch's 0.1 a step and not by
    0.01, because fine-tuning on few patients may be short; and the last block has two convolutions, as every other, the
    second of which is there the first of the segmentation head: the whole network is the same.

    Args:
        n_channels: channels of the images.
        n_classes: classes of the segmentation, the background included; None leaves the segmentation head out.
        widths: features of each level, the bottleneck last.
        dims: 2 for images, 3 for volumes.
        norm: `batch` as in the paper, or `group`.
        blocks: decoder blocks that the network has, from the bottleneck up; None is all of them. The names of the
            parameters do not depend on it, so that a part's weights load into a whole one with `strict=False`.

    Raises:
        UsageError: when sizes are invalid, or a segmentation is asked from a part of the decoder.
    """

    def __init__(
        self,
        n_channels: int,
        n_classes: int | None = None,
        *,
        widths: Sequence[int] = WIDTHS["unet"],
        dims: int = 2,
        norm: str = "batch",
        blocks: int | None = None,
    ) -> None:
        super().__init__()
        levels = len(widths) - 1
        if levels < 1 or min(*widths, n_channels) < 1:
            raise UsageError(
                f"a U-Net needs at least one channel and two widths of at least 1, got n_channels={n_channels} and "
                f"widths={tuple(widths)}"
            )
        blocks = levels if blocks is None else blocks
        if not 0 <= blocks <= levels:
            raise UsageError(f"a U-Net of {len(widths)} widths has 0 to {levels} decoder blocks, got blocks={blocks}")
        if n_classes is not None and blocks < levels:
            raise UsageError(f"a segmentation needs all {levels} decoder blocks, got blocks={blocks}")
        self.n_channels, self.widths = n_channels, tuple(widths)
        self.dims = dims
        self.levels = levels
        self.encoder = nn.ModuleList(
            DoubleConvolution(dims, width_in, width, norm)
            for width_in, width in zip((n_channels, *widths), widths, strict=False)
        )
        self.pool = MAX_POOLS[dims](2)
        upwards = tuple(reversed(widths))
        self.decoder = nn.ModuleList(
            DecoderBlock(dims, width_in, width, norm)
            for width_in, width in zip(upwards[:blocks], upwards[1:], strict=False)
        )
        self.head: nn.Module = nn.Identity()
        if n_classes is not None:
            self.head = SegmentationHead(widths[0], n_classes, dims, norm)

    def encode(self, x: Tensor) -> list[Tensor]:
        """Compute the encoder's maps.

        Args:
            x: (B, C, x, y[, z]), every size a multiple of 2^levels (32 in the paper).

        Returns:
            One map a level before its pooling, finest first, and the bottleneck last: (B, widths[i], size / 2^i).

        Raises:
            UsageError: when the shape is not one that the network takes.
        """
        check_images(x, self.n_channels, self.dims)
        multiple = 2**self.levels
        if any(size % multiple for size in x.shape[2:]):
            fitting = " x ".join(str(-(-size // multiple) * multiple) for size in x.shape[2:])
            raise UsageError(
                f"this U-Net takes sizes that are multiples of {multiple}, got {' x '.join(map(str, x.shape[2:]))}; "
                f"pad to {fitting} and crop the result"
            )
        check_statistics(self.encoder, x, multiple)
        features: list[Tensor] = []
        for level, convolutions in enumerate(self.encoder):
            features.append(convolutions(self.pool(features[-1]) if level else x))
        return features

    def decode(self, features: Sequence[Tensor], upto: int | None = None) -> Tensor:
        """Compute the map of one decoder block, without touching any later block.

        Args:
            features: what `encode` returned.
            upto: l, the number of the block counted from 1 at the bottleneck; 0 is the bottleneck itself, None the last
                block that the network has.

        Returns:
            (B, width of the block, size / 2^(levels - l)).

        Raises:
            UsageError: when there is no such block, or `features` does not hold one map a level and the bottleneck.
        """
        blocks = len(self.decoder)
        upto = blocks if upto is None else upto
        if not 0 <= upto <= blocks:
            raise UsageError(f"this U-Net has decoder blocks 1 to {blocks} (0 is the bottleneck), got upto={upto}")
        if len(features) != self.levels + 1:
            raise UsageError(f"the decoder takes the {self.levels + 1} maps of `encode`, got {len(features)}")
        x = features[-1]
        for level in range(upto):
            x = self.decoder[level](x, features[-2 - level])
        return x

    def forward(self, x: Tensor) -> Tensor:
        """Map images (B, C, x, y[, z]) to logits (B, n_classes, x, y[, z]).

        A network without `n_classes` gives the map of its last decoder block (with no block, the bottleneck).
        """
        return cast(Tensor, self.head(self.decode(self.encode(x))))
