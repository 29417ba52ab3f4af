"""The layers of networks for images and volumes: one code for two and for three dimensions."""

from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F

from medcl.errors import UsageError
from medcl.modality.signal.encoders.resnet import normalisation as group_normalisation

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
        UsageError: when there is none of this name.
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
