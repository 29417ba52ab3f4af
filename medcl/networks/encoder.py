"""The contract of encoders: dense embeddings of every position, pooled to one embedding a sample."""

from abc import ABC, abstractmethod
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn


def pool(encoder: nn.Module, dense: Tensor, x: Tensor) -> Tensor:
    """Pool the dense embeddings (B, positions, dim) of a batch `x` to (B, dim), by any encoder."""
    pooling = cast(Any, encoder).pool
    return cast(Tensor, pooling(dense, x) if getattr(encoder, "pools_input", False) else pooling(dense))


class EncoderSizes(Protocol):
    """What every encoder's configuration states."""

    @property
    def dim(self) -> int:
        """Width of an embedding."""

    @property
    def pooling(self) -> str:
        """How positions are pooled: `mean`, `max`, or `both`, each of half of the features."""


class Encoder(nn.Module, ABC):
    """Turns samples (B, C, ...) of any size into dense embeddings (B, positions, dim), and pools these.

    Args:
        config: the encoder's configuration, kept as `config`.
        n_channels: C, kept as `n_channels`.
    """

    config: EncoderSizes

    def __init__(self, config: EncoderSizes, n_channels: int) -> None:
        super().__init__()
        self.config = config
        self.n_channels = n_channels

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Encode every position of (B, C, ...): (B, positions, dim)."""

    def pool(self, dense: Tensor) -> Tensor:
        """Pool a dense embedding (B, positions, dim) to (B, dim), by `config.pooling`."""
        if self.config.pooling == "both":
            half = dense.shape[2] // 2
            return torch.cat([dense[..., :half].mean(dim=1), dense[..., half:].amax(dim=1)], dim=1)
        return dense.amax(dim=1) if self.config.pooling == "max" else dense.mean(dim=1)

    def embed(self, x: Tensor) -> Tensor:
        """Encode (B, C, ...) to one embedding a sample, (B, dim), with nothing masked."""
        return self.pool(cast(Tensor, self(x)))
