"""What is put on top of an image network: projections for contrastive losses, logits for a segmentation."""

from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F

from medcl.errors import UsageError
from medcl.modality.spatial.encoders.base import ConvolutionLayer, convolution


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
