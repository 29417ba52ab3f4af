"""A sample of minutes as a bag of windows of seconds, which attention weighs."""

from torch import Tensor, nn

from medcl.errors import UsageError
from medcl.networks.pooling import Attention


class WindowAttention(nn.Module):
    """Pools the embeddings of the windows of a sample by gated attention.

    Ilse, Tomczak and Welling, Attention-based Deep Multiple Instance Learning, ICML 2018, eq. 9: the weights depend on
    what a window shows and not on where it stands, so that the order of windows does not matter.

    Args:
        count: windows of a sample.
        dim: width of an embedding.
    """

    def __init__(self, count: int, dim: int) -> None:
        super().__init__()
        self.count, self.attention = count, Attention(dim, dim, gated=True)

    def divided(self, x: Tensor) -> Tensor:
        """Samples (B, C, T) to windows (B * count, C, T / count), those of a sample one behind the other.

        Raises:
            UsageError: they cannot be of one length.
        """
        batch, channels, length = x.shape
        if length % self.count:
            raise UsageError(
                f"encoder.bag: {length} samples of a window (data.window) are no {self.count} windows of one length"
            )
        parts = x.reshape(batch, channels, self.count, length // self.count)
        return parts.transpose(1, 2).reshape(batch * self.count, channels, -1)

    def weights(self, z: Tensor) -> Tensor:
        """Of the windows (B, count, dim), (B, count): they sum to 1."""
        scores = self.attention.scores(z.flatten(0, 1)).reshape(z.shape[:2])
        return scores.softmax(dim=1)

    def forward(self, z: Tensor) -> Tensor:
        """(B, count, dim) to (B, dim)."""
        return (self.weights(z)[:, :, None] * z).sum(dim=1)
