"""Contrast of bags with each other beside their labels: SC-MIL."""

from torch import Tensor, nn

from medcl.contrast.losses.info_nce import info_nce
from medcl.contrast.pairings.pairs import itself, same
from medcl.networks.heads import ProjectionHead


class BagContrast(nn.Module):
    """Supervised contrast of the embeddings of bags, which gives way to the loss of the labels.

        L(t) = b_t SupCon(z) + (1 - b_t) L_labels,    z = g(h) of the pooled embedding h of a bag

    Juyal et al., SC-MIL: Supervised Contrastive Multiple Instance Learning for Imbalanced Classification in Pathology
    (WACV 2024). Positives are bags of one class, all other bags are in the denominator. How b_t goes from 1 to 0 and
    the temperature are not published: b_t = 1 - t / T of the largest number of steps T, and 0.1, are ours.

    Args:
        dim: width of the embedding of a bag.
        temperature: of the softmax.
    """

    def __init__(self, dim: int, temperature: float = 0.1) -> None:
        super().__init__()
        self.temperature = temperature
        self.head = ProjectionHead(dim, dim, min(dim, 128))

    def forward(self, pooled: Tensor, classes: Tensor) -> Tensor:
        """SupCon of bags (B, dim) of classes (B,) int64; a bag without a partner is no anchor, without any it is 0."""
        z = self.head(pooled)
        pairing = same(classes).without(itself(z))
        return info_nce(z, z, pairing, temperature=self.temperature)

    def with_labels(self, loss: Tensor, pooled: Tensor, classes: Tensor, done: float) -> Tensor:
        """The sum with the loss of the labels, when a share of the steps is done."""
        share = max(0.0, 1.0 - done)
        contrast: Tensor = self(pooled, classes)
        return share * contrast + (1 - share) * loss
