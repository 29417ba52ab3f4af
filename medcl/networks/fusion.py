"""Encoders of several inputs of one item as one encoder, and heads that bear that some of the inputs are missing."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

Fusion = Literal["early", "late"]


@dataclass(frozen=True)
class Inputs:
    """A batch of items with several inputs each, in the place of the tensor that an encoder of one input takes.

    Args:
        x: {input: (n, ...)} samples of those items that have it, in their order.
        present: (B, inputs) bool.
    """

    x: Mapping[str, Tensor]
    present: Tensor

    def to(self, device: torch.device, *, non_blocking: bool = False) -> "Inputs":
        """The same on a device."""
        x = {name: one.to(device, non_blocking=non_blocking) for name, one in self.x.items()}
        return Inputs(x, self.present.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> "Inputs":
        """The same in memory from which a GPU copies."""
        return Inputs({name: one.pin_memory() for name, one in self.x.items()}, self.present.pin_memory())


@dataclass(frozen=True)
class FusedWidth:
    """Of the embeddings of all inputs side by side, and of what says which of them are there.

    Args:
        widths: of the inputs.
    """

    widths: tuple[int, ...]

    @property
    def dim(self) -> int:
        """Of an embedding: those of the inputs, then 1 or 0 for each."""
        return sum(self.widths) + len(self.widths)

    def split(self, z: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
        """(B, dim) to the embedding (B, width) of each input, and (B, inputs) bool."""
        *parts, there = torch.split(z, [*self.widths, len(self.widths)], dim=1)
        return tuple(parts), there > 0.5  # A mean over samples that have it or not counts as one of them.


class FusedEncoder(nn.Module):
    """Encoders side by side: what an item lacks is 0, and the last columns say what it has.

    Args:
        encoders: {input: encoder}, in the order of the columns.
        dropout: probability by which an input of an item is hidden in training, though never the last one it has, so
            that a head learns to do without.
    """

    def __init__(self, encoders: Mapping[str, nn.Module], dropout: float = 0.0) -> None:
        super().__init__()
        self.encoders, self.dropout = nn.ModuleDict(encoders), dropout
        self.config = FusedWidth(tuple(int(cast(Any, one).config.dim) for one in encoders.values()))

    def embed(self, x: Inputs) -> Tensor:
        """(B, dim) of a batch of items."""
        kept = x.present
        if self.training and self.dropout:
            chance = torch.rand(kept.shape, device=kept.device).masked_fill(~kept, -1)
            # The input with the highest draw stays whatever it is.
            kept = kept & ((chance >= self.dropout) | (chance == chance.amax(dim=1, keepdim=True)))
        parts = []
        for column, (name, encoder) in enumerate(self.encoders.items()):
            there = x.present[:, column]
            z = torch.zeros(len(there), self.config.widths[column], device=kept.device)
            if name in x.x:
                embedded = cast(Any, encoder).embed(x.x[name]).float()
                z = z.index_put((there.nonzero()[:, 0],), embedded) * kept[:, column, None]
            parts.append(z)
        return torch.cat([*parts, kept.float()], dim=1)


class EarlyHead(nn.Module):
    """A perceptron of the embeddings side by side; what is missing is learned, and told.

    Args:
        width: of the embeddings.
        n_outputs: number of logits.
        hidden: width of the hidden layer.
        dropout: probability of dropping a hidden feature.
    """

    def __init__(self, width: FusedWidth, n_outputs: int, hidden: int = 128, dropout: float = 0.1) -> None:
        super().__init__()
        self.width = width
        self.missing = nn.ParameterList([torch.zeros(one) for one in width.widths])
        self.layers = _perceptron(width.dim, n_outputs, hidden, dropout)

    def forward(self, z: Tensor) -> Tensor:
        """(B, dim) to (B, outputs)."""
        parts, there = self.width.split(z)
        filled = [torch.where(there[:, k, None], one, self.missing[k].to(one)) for k, one in enumerate(parts)]
        return cast(Tensor, self.layers(torch.cat([*filled, there.to(z)], dim=1)))


class LateHead(nn.Module):
    """A perceptron for each input; the logits of those that are there are averaged.

    Args:
        width: of the embeddings.
        n_outputs: number of logits.
        hidden: width of the hidden layers.
        dropout: probability of dropping a hidden feature.
    """

    def __init__(self, width: FusedWidth, n_outputs: int, hidden: int = 128, dropout: float = 0.1) -> None:
        super().__init__()
        self.width = width
        self.heads = nn.ModuleList([_perceptron(one, n_outputs, hidden, dropout) for one in width.widths])

    def forward(self, z: Tensor) -> Tensor:
        """(B, dim) to (B, outputs)."""
        parts, there = self.width.split(z)
        logits = torch.stack([head(one) for head, one in zip(self.heads, parts, strict=True)], dim=1)
        share = there.to(logits) / there.sum(dim=1, keepdim=True).clamp(min=1)
        return (logits * share[:, :, None]).sum(dim=1)


def _perceptron(dim: int, n_outputs: int, hidden: int, dropout: float) -> nn.Module:
    """Normalised by item: a batch norm would see the zeros of what is missing."""
    return nn.Sequential(
        nn.Linear(dim, hidden), nn.LayerNorm(hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, n_outputs)
    )


HEADS: dict[Fusion, type[EarlyHead] | type[LateHead]] = {"early": EarlyHead, "late": LateHead}


def without(x: Inputs, names: tuple[str, ...], hidden: tuple[str, ...]) -> Inputs:
    """A batch as if no item had some of the inputs.

    Args:
        x: the batch.
        names: of its inputs, in the order of the columns.
        hidden: those that are taken away.
    """
    kept = torch.tensor([name not in hidden for name in names], device=x.present.device)
    return replace(x, x={name: one for name, one in x.x.items() if name not in hidden}, present=x.present & kept)
