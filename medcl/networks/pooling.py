"""How the embeddings of several samples become one: the samples of a record, or of all records of a patient."""

from typing import Literal

import torch
from torch import Tensor, nn

PoolingName = Literal["mean", "max", "top-k", "attention", "gated", "mean-prediction", "max-prediction"]
LEARNED = ("attention", "gated")
OF_PREDICTIONS = ("mean-prediction", "max-prediction")
"""Those of predictions, which are made of each sample; in training, embeddings are averaged."""


def mean_by_group(values: Tensor, group: Tensor, n_groups: int) -> Tensor:
    """Mean of rows (N, D) that share a group number (N,), as (n_groups, D)."""
    total = values.new_zeros(n_groups, values.shape[1]).index_add_(0, group, values)
    count = torch.bincount(group, minlength=n_groups).clamp(min=1).to(values.dtype)
    return total / count[:, None]


def top_by_group(values: Tensor, group: Tensor, n_groups: int, k: int) -> Tensor:
    """Mean of the k largest values of each column (N, D) in each group (N,), of all where there are fewer."""
    order = values.argsort(dim=0, descending=True, stable=True)
    order = order.gather(0, group[order].argsort(dim=0, stable=True))  # by group, in it from the largest value on
    owner = group[order[:, :1]][:, 0]  # the same for every column
    size = torch.bincount(group, minlength=n_groups)
    rank = torch.arange(len(group), device=group.device) - (size.cumsum(0) - size)[owner]
    return mean_by_group(values.gather(0, order)[rank < k], owner[rank < k], n_groups)


class Attention(nn.Module):
    """Weights of samples, which are learned (Ilse, Tomczak and Welling, ICML 2018, eq. 8, gated: eq. 9).

    MONAI's `MILModel` has the former, for bags of one size.

    Args:
        dim: width of an embedding.
        hidden: width of the hidden layer.
        gated: multiply the hidden layer with a gate.
    """

    def __init__(self, dim: int, hidden: int = 128, gated: bool = False) -> None:
        super().__init__()
        self.hidden = nn.Linear(dim, hidden)
        self.gate = nn.Linear(dim, hidden) if gated else None
        self.score = nn.Linear(hidden, 1)

    def scores(self, z: Tensor) -> Tensor:
        """Embeddings (N, D) to the logarithms of their weights (N,), but for a constant of each group."""
        hidden = torch.tanh(self.hidden(z))
        if self.gate is not None:
            hidden = hidden * torch.sigmoid(self.gate(z))
        scores: Tensor = self.score(hidden)[:, 0]
        return scores

    def forward(self, z: Tensor, group: Tensor, n_groups: int) -> Tensor:
        """Embeddings (N, D) of groups (N,) to weights (N,) that sum to 1 in each group."""
        score = self.scores(z)
        largest = score.new_full((n_groups,), -torch.inf).scatter_reduce(0, group, score.detach(), "amax")
        share = (score - largest[group]).exp()
        return share / share.new_zeros(n_groups).index_add(0, group, share)[group]


class Pooling(nn.Module):
    """Embeddings of samples to one embedding of each group.

    Args:
        name: `mean`, `max`, `top-k` (the mean of the k largest values of each feature), or learned `attention` and
            `gated` attention; of `OF_PREDICTIONS` the mean.
        dim: width of an embedding.
        top_k: k of `top-k`.
    """

    def __init__(self, name: PoolingName, dim: int, top_k: int = 8) -> None:
        super().__init__()
        self.name, self.top_k = name, 1 if name == "max" else top_k
        self.attention = Attention(dim, gated=name == "gated") if name in LEARNED else None

    def forward(self, z: Tensor, group: Tensor, n_groups: int) -> Tensor:
        """Embeddings (N, D) of groups (N,) to (n_groups, D); every group has a sample."""
        if self.attention is not None:
            weighted = z * self.attention(z, group, n_groups)[:, None]
            return z.new_zeros(n_groups, z.shape[1]).index_add(0, group, weighted)
        if self.name == "mean" or self.name in OF_PREDICTIONS:
            return mean_by_group(z, group, n_groups)
        return top_by_group(z, group, n_groups, self.top_k)

    def whole(self, z: Tensor) -> Tensor:
        """Embeddings (N, D) of one group to (1, D): what `forward` gives, in operations that exporters know."""
        if self.attention is not None:
            return (z * self.attention.scores(z).softmax(dim=0)[:, None]).sum(dim=0, keepdim=True)
        if self.name == "mean":
            return z.mean(dim=0, keepdim=True)
        return z.sort(dim=0, descending=True).values[: self.top_k].mean(dim=0, keepdim=True)
