"""The contract of networks that encode signals: batches are checked, and channels may pass attention over space."""

from abc import abstractmethod
from typing import cast

import torch
from torch import Tensor, nn

from medcl.errors import UsageError
from medcl.modality.signal.config import SignalEncoderConfig
from medcl.modality.signal.encoders.bag import WindowAttention
from medcl.networks.encoder import Encoder
from medcl.networks.layers import Dropout


def check_input(x: Tensor, keep: Tensor | None, n_channels: int) -> None:
    """Refuse a batch that the encoder was not built for.

    Args:
        x: the batch; (B, C, T) floating point is expected.
        keep: (B, T) bool, or None.
        n_channels: C that the encoder was built for.

    Raises:
        UsageError: when a shape or a type is another one; the message holds the shape found and the one expected.
    """
    if x.ndim != 3:
        raise UsageError(f"an encoder takes (batch, channels, time), got a tensor of shape {tuple(x.shape)}")
    if x.shape[1] != n_channels:
        raise UsageError(
            f"the encoder was built for {n_channels} channels, got {x.shape[1]} in a batch of shape {tuple(x.shape)}"
        )
    if x.shape[2] == 0:
        raise UsageError(f"a window needs at least one time step, got a batch of shape {tuple(x.shape)}")
    if not x.is_floating_point():
        raise UsageError(f"an encoder takes standardised floating-point signals, got {x.dtype}")
    if keep is not None and (keep.shape != (x.shape[0], x.shape[2]) or keep.dtype != torch.bool):
        raise UsageError(
            f"keep must be bool of shape {(x.shape[0], x.shape[2])}, got {keep.dtype} of shape {tuple(keep.shape)}"
        )


class SignalEncoder(Encoder):
    """Turns windows (B, C, T) into dense embeddings (B, T', dim) with T' = ceil(T / stride).

    A kind of encoder derives from it and writes `encode`; `signal.build` makes one from its configuration.

    Args:
        config: the encoder's configuration, kept as `config`.
        n_channels: C, kept as `n_channels`.

    Attributes:
        spatial: what channels pass first, (B, C, T) -> (B, D, T), where the encoder was built for D virtual ones.
        subject: what these pass then, in training by the matrix of their subject.
        bag: what weighs the windows that a sample is divided into, where it is.
    """

    config: SignalEncoderConfig

    def __init__(self, config: SignalEncoderConfig, n_channels: int) -> None:
        super().__init__(config, n_channels)
        self.spatial: nn.Module | None = None
        self.subject: nn.Module | None = None
        self.bag: WindowAttention | None = None

    @abstractmethod
    def encode(self, x: Tensor, keep: Tensor | None) -> Tensor:
        """Compute what `forward` returns, from an input that has been checked."""

    def forward(self, x: Tensor, keep: Tensor | None = None, own: Tensor | None = None) -> Tensor:
        """Encode every position of a window.

        Args:
            x: (B, C, T) standardised signals.
            keep: (B, T) bool, False where a time step is hidden from the encoder; None hides nothing.
            own: (B, D, D) of each window, see `SubjectLayer`; without such a layer it is not looked at.

        Returns:
            (B, T', dim); of a sample that is divided one position a window.

        Raises:
            UsageError: when the shape of `x` or of `keep` is not the expected one.
        """
        check_input(x, keep, self.n_channels)
        if self.spatial is not None:
            x = self.spatial(x)
        if self.subject is not None:
            x = self.subject(x, own)
        if self.bag is None:
            return self.encode(x, keep)
        windows = self.bag.divided(x)
        keep = None if keep is None else keep.reshape(len(windows), -1)
        pooled = super().pool(self.encode(windows, keep))
        return pooled.reshape(len(x), self.bag.count, -1)

    def pool(self, dense: Tensor) -> Tensor:
        """(B, T', dim) to (B, dim): by the configuration, or of a sample that is divided by attention."""
        return super().pool(dense) if self.bag is None else cast(Tensor, self.bag(dense))


class StagedEncoder(SignalEncoder):
    """A stem and blocks of convolutions, and behind them a linear map to `dim` where their width is another.

    A masked step is 0 in every channel of the input. A kind of it makes its `stem` and `blocks`, and then calls `end`.
    """

    stem: nn.Module
    blocks: nn.Module

    def end(self, width: int) -> None:
        """Make what follows blocks of this width."""
        self.output = nn.Linear(width, self.config.dim) if width != self.config.dim else nn.Identity()
        self.dropout = Dropout(self.config.dropout)

    def encode(self, x: Tensor, keep: Tensor | None) -> Tensor:
        """Encode (B, C, T) as (B, T', dim)."""
        if keep is not None:
            x = x * keep.unsqueeze(1)
        features = self.blocks(self.stem(x)).transpose(1, 2)
        return cast(Tensor, self.dropout(self.output(features)))
