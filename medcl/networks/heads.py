"""What is put on top of a pooled embedding: a projection for a contrastive loss, a classifier for labels."""

from typing import cast

from torch import Tensor, nn

from medcl.errors import UsageError


class ProjectionHead(nn.Module):
    """A multi-layer perceptron with ReLU between its layers (SimCLR, Chen et al. 2020), thrown away after training.

    Args:
        dim: width of the embedding.
        hidden: width of the hidden layers.
        out: width of the projection.
        layers: linear layers; 1 is a linear projection.

    Raises:
        UsageError: when `layers` is below 1.
    """

    def __init__(self, dim: int, hidden: int = 256, out: int = 128, layers: int = 2) -> None:
        super().__init__()
        if layers < 1:
            raise UsageError(f"a projection head needs at least one layer, got layers={layers}")
        widths = [dim, *[hidden] * (layers - 1), out]
        modules: list[nn.Module] = []
        for width_in, width_out in zip(widths, widths[1:], strict=False):
            modules += [nn.Linear(width_in, width_out), nn.ReLU()]
        self.layers = nn.Sequential(*modules[:-1])

    def forward(self, z: Tensor) -> Tensor:
        """Project (..., dim) to (..., out)."""
        return cast(Tensor, self.layers(z))


def projecting(head: nn.Module) -> nn.Module:
    """A linear map as the projection head of one layer that it is; any other head as it is."""
    if not isinstance(head, nn.Linear):
        return head
    same = ProjectionHead(head.in_features, out=head.out_features, layers=1)
    same.layers[0] = head
    return same


class Perceptron(nn.Module):
    """A perceptron with batch normalisation over all rows and GELU between its layers.

    Without the normalisation the cells of a new network are much the same, and all go to one prototype.

    Args:
        dim: width of the input.
        hidden: width of the hidden layers.
        out: width of the output.
        layers: linear layers.
    """

    def __init__(self, dim: int, hidden: int, out: int, layers: int) -> None:
        super().__init__()
        modules: list[nn.Module] = []
        for _ in range(layers - 1):
            modules += [nn.Linear(dim, hidden, bias=False), nn.BatchNorm1d(hidden), nn.GELU()]
            dim = hidden
        self.layers = nn.Sequential(*modules)
        self.output = nn.Linear(dim, out)

    def forward(self, z: Tensor) -> Tensor:
        """Map (..., dim) to (..., out)."""
        # A process without a sample has no statistics.
        rows = self.layers(z.flatten(0, -2)) if z.numel() else z.new_zeros(0, self.output.in_features)
        return cast(Tensor, self.output(rows).unflatten(0, z.shape[:-1]))


class ClassifierHead(nn.Module):
    """COMET's head for full fine-tuning: dim -> 128 (BatchNorm, ReLU, dropout) -> outputs.

    It returns logits. The released code passes two-class logits through a sigmoid twice before the cross-entropy; this
    one does not.

    Args:
        dim: width of the embedding.
        n_outputs: classes, labels or regression values.
        hidden: width of the hidden layer.
        dropout: probability of dropping a hidden feature.
    """

    def __init__(self, dim: int, n_outputs: int, hidden: int = 128, dropout: float = 0.1) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(dim, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, n_outputs)
        )

    def forward(self, z: Tensor) -> Tensor:
        """Map pooled embeddings (B, dim) to logits (B, n_outputs)."""
        return cast(Tensor, self.layers(z))
