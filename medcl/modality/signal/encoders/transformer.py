"""A small patch transformer for signals."""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medcl.errors import UsageError
from medcl.modality.signal.config import SignalEncoderConfig
from medcl.modality.signal.encoders.base import SignalEncoder
from medcl.networks.transformer import HEAD_WIDTH, positions, transformer_layers


class PatchEmbedding(nn.Module):
    """A linear map of each non-overlapping patch of `stride` time steps, all channels together.

    A masked step contributes nothing to its patch, its share of the bias included. With stride 1 this is exactly
    COMET's and TS2Vec's input layer, which sets masked steps to 0 *after* the linear map; with longer patches no masked
    value reaches the encoder and no kept one is lost, whichever part of a patch the mask covers. The last patch of a
    window whose length is not a multiple of `stride` is filled up with zeros, the mean of a standardised signal.

    Args:
        n_channels: C.
        width: of the embedding.
        stride: time steps in a patch.
        mask_token: learn a vector that stands in for what is masked; a patch gets it in proportion to its share of
            masked steps. Without it, what is masked is 0.
    """

    def __init__(self, n_channels: int, width: int, stride: int, *, mask_token: bool = False) -> None:
        super().__init__()
        self.stride = stride
        self.linear = nn.Linear(n_channels * stride, width)
        self.mask_token = nn.Parameter(torch.randn(width) * 0.02) if mask_token else None

    def forward(self, x: Tensor, keep: Tensor | None) -> Tensor:
        """Embed (B, C, T), with `keep` (B, T) bool or None, as (B, ceil(T / stride), width)."""
        batch, channels, time = x.shape
        count = -(-time // self.stride)
        missing = count * self.stride - time
        if keep is not None:
            x = x * keep.unsqueeze(1)
        if missing:
            x = F.pad(x, (0, missing))
        patches = x.reshape(batch, channels, count, self.stride).transpose(1, 2).flatten(2)
        if keep is None:
            embedded = F.linear(patches, self.linear.weight, self.linear.bias)
            # The token is added, with no effect, because distributed training waits for every parameter's gradient.
            return embedded if self.mask_token is None else embedded + 0 * self.mask_token
        kept = F.pad(keep, (0, missing), value=True).view(batch, count, self.stride)
        share = kept.to(x.dtype).mean(dim=2, keepdim=True)
        embedded = F.linear(patches, self.linear.weight) + share * self.linear.bias
        return embedded if self.mask_token is None else embedded + (1 - share) * self.mask_token


class TransformerEncoder(SignalEncoder):
    """Patches of `config.stride` steps, sinusoidal positions, `config.depth` pre-norm transformer layers.

    Layers are `config.hidden` wide with heads of width 32 and a feed-forward part four times as wide; a last linear map
    goes to `config.dim`. Masked steps are replaced by a learned token (see `PatchEmbedding`).

    Raises:
        UsageError: when `hidden` is odd, or above 32 and not a multiple of 32.
    """

    def __init__(self, config: SignalEncoderConfig, n_channels: int) -> None:
        super().__init__(config, n_channels)
        if config.hidden % 2 or (config.hidden > HEAD_WIDTH and config.hidden % HEAD_WIDTH):
            raise UsageError(
                f"a transformer encoder needs hidden to be even and, above {HEAD_WIDTH}, a multiple of {HEAD_WIDTH} "
                f"(the width of a head), got hidden={config.hidden}"
            )
        self.patches = PatchEmbedding(n_channels, config.hidden, config.stride, mask_token=True)
        self.layers = transformer_layers(config.hidden, config.depth, config.dropout)
        self.output = nn.Linear(config.hidden, config.dim)

    def encode(self, x: Tensor, keep: Tensor | None) -> Tensor:
        """Encode (B, C, T) as (B, T', dim)."""
        tokens = self.patches(x, keep)
        tokens = tokens + positions(tokens.shape[1], tokens.shape[2], tokens.device).to(tokens.dtype)
        return cast(Tensor, self.output(self.layers(tokens)))
