"""What every image encoder has in common: the check of its input, padding and cropping."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from medcl.errors import UsageError
from medcl.modality.spatial.config import ImageEncoderConfig
from medcl.networks.encoder import Encoder
from medcl.networks.layers import group_normalisation

CONVOLUTIONS: dict[int, type[nn.Conv2d] | type[nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}
BATCH_NORMS: dict[int, type[nn.BatchNorm2d] | type[nn.BatchNorm3d]] = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
MAX_POOLS: dict[int, type[nn.MaxPool2d] | type[nn.MaxPool3d]] = {2: nn.MaxPool2d, 3: nn.MaxPool3d}


def convolution(dims: int, width_in: int, width_out: int, kernel: int) -> nn.Conv2d | nn.Conv3d:
    """Make a convolution that keeps the size of its input (kernel odd), without bias, with He et al.'s first weights.

    Raises:
        UsageError: when `dims` is not 2 or 3.
    """
    if dims not in CONVOLUTIONS:
        raise UsageError(f"an image has 2 or 3 dimensions, got dims={dims}")
    layer = CONVOLUTIONS[dims](width_in, width_out, kernel, padding=(kernel - 1) // 2, bias=False)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return layer


def normalisation(norm: str, dims: int, width: int) -> nn.Module:
    """Make the normalisation called `norm`: `batch` or `group` (16 features a group).

    Raises:
        UsageError: when the name is unknown.
    """
    if norm not in ("batch", "group"):
        raise UsageError(f"an image encoder normalises by 'batch' or 'group', got norm={norm!r}")
    return BATCH_NORMS[dims](width) if norm == "batch" else group_normalisation(width)


class ConvolutionLayer(nn.Module):
    """A convolution that keeps the size, normalisation, ReLU.

    An even kernel has one tap more at the end of each axis than at its start, as 'same' padding in TensorFlow.

    Args:
        dims: 2 or 3.
        width_in: features of the input.
        width_out: features of the output.
        kernel: taps along each axis.
        norm: `batch` or `group`.
    """

    def __init__(self, dims: int, width_in: int, width_out: int, *, kernel: int = 3, norm: str = "batch") -> None:
        super().__init__()
        self.convolution = convolution(dims, width_in, width_out, kernel)
        self.norm = normalisation(norm, dims, width_out)
        self.padding = (0, 1) * dims if kernel % 2 == 0 else ()

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, width_in, x, y[, z]) to (B, width_out, x, y[, z])."""
        if self.padding:
            x = F.pad(x, self.padding)
        return F.relu(cast(Tensor, self.norm(self.convolution(x))), inplace=True)


class DoubleConvolution(nn.Sequential):
    """Two layers of a 3-tap convolution, normalisation and ReLU: the unit of every level of a U-Net.

    Args:
        dims: 2 or 3.
        width_in: features of the input.
        width_out: features of both layers.
        norm: `batch` or `group`.
    """

    def __init__(self, dims: int, width_in: int, width_out: int, norm: str = "batch") -> None:
        super().__init__(
            ConvolutionLayer(dims, width_in, width_out, norm=norm),
            ConvolutionLayer(dims, width_out, width_out, norm=norm),
        )


def check_images(x: Tensor, n_channels: int, dims: int) -> None:
    """Refuse a batch that the network was not built for.

    Args:
        x: the batch; (B, C, x, y) or (B, C, x, y, z), floating point, is expected.
        n_channels: C that the network was built for.
        dims: 2 or 3.

    Raises:
        UsageError: when a shape or a type is another one; the message holds the shape found and the one expected.
    """
    if x.ndim != dims + 2:
        axes = ", ".join(("batch", "channels", "x", "y", "z")[: dims + 2])
        raise UsageError(f"a network of {dims} dimensions takes ({axes}), got a tensor of shape {tuple(x.shape)}")
    if x.shape[1] != n_channels:
        raise UsageError(
            f"the network was built for {n_channels} channels, got {x.shape[1]} in a batch of shape {tuple(x.shape)}"
        )
    if 0 in x.shape[2:]:
        raise UsageError(f"an image needs at least one voxel along each axis, got a batch of shape {tuple(x.shape)}")
    if not x.is_floating_point():
        raise UsageError(f"an image encoder takes normalised floating-point images, got {x.dtype}")


def check_statistics(network: nn.Module, x: Tensor, coarsest: int) -> None:
    """Refuse to train batch normalisation on one value a feature, from which there are no statistics.

    Args:
        network: what `x` will pass.
        x: (B, C, x, y[, z]).
        coarsest: voxels along each axis that a position of the network's coarsest map covers.

    Raises:
        UsageError: when the coarsest map of the whole batch has one position and a BatchNorm is training.
    """
    if not network.training or x.shape[0] * prod(-(-size // coarsest) for size in x.shape[2:]) > 1:
        return
    if any(isinstance(module, _BatchNorm) and module.training for module in network.modules()):
        raise UsageError(
            f"batch normalisation cannot train on one image of {' x '.join(map(str, x.shape[2:]))} voxels, which the "
            f"network reduces to one position: take larger batches, larger images or norm='group'"
        )


@dataclass(frozen=True)
class Backbone:
    """A network and what an encoder must know of it.

    Args:
        network: maps (B, C, x, y[, z]) to (B, width, x / stride, y / stride[, z / stride]).
        width: features of its map.
        stride: voxels along each axis that a position of its map covers.
        multiple: what the size of its input must be a multiple of, along each axis.
    """

    network: nn.Module
    width: int
    stride: int
    multiple: int


class ImageEncoder(Encoder):
    """Turns images (B, C, x, y) or volumes (B, C, x, y, z) of any size into dense embeddings (B, positions, dim).

    The positions form a grid of ceil(size / stride) along each axis, the last axis running fastest. A network that
    needs a multiple of some size gets zeros at the end of each axis, and positions that lie wholly in them are cut off.
    `image.build` makes an encoder from its configuration.

    Args:
        config: the encoder's configuration, kept as `config`.
        n_channels: C, kept as `n_channels`.
        backbone: its network, kept as `network`; a linear map takes the network's width to `config.dim`.
    """

    config: ImageEncoderConfig

    def __init__(self, config: ImageEncoderConfig, n_channels: int, backbone: Backbone) -> None:
        super().__init__(config, n_channels)
        self.stride = backbone.stride
        self.multiple = backbone.multiple
        self.network = backbone.network
        self.output = nn.Linear(backbone.width, config.dim) if backbone.width != config.dim else nn.Identity()

    def grid(self, size: Sequence[int]) -> tuple[int, ...]:
        """Tell how many positions along each axis an image of this size (x, y[, z]) has in its dense embedding."""
        return tuple(-(-length // self.stride) for length in size)

    def forward(self, x: Tensor) -> Tensor:
        """Encode every position of an image.

        Args:
            x: (B, C, x, y[, z]) normalised intensities.

        Returns:
            (B, positions, dim); `.unflatten(1, encoder.grid(x.shape[2:]))` gives the grid back.

        Raises:
            UsageError: when the shape or type of `x` is not the expected one, or BatchNorm cannot train on it.
        """
        check_images(x, self.n_channels, self.config.dims)
        check_statistics(self.network, x, self.multiple)
        missing = [-length % self.multiple for length in x.shape[2:]]
        # F.pad counts axes from the last one, with the start of each before its end.
        sides = [side for length in reversed(missing) for side in (0, length)]
        features = self.network(F.pad(x, sides) if any(missing) else x)
        for axis, length in enumerate(self.grid(x.shape[2:]), start=2):
            features = features.narrow(axis, 0, length)
        return cast(Tensor, self.output(features.flatten(2).transpose(1, 2)))
