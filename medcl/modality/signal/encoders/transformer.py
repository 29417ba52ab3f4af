"""A small patch transformer for signals."""

import math
from typing import cast

import torch
from torch import Tensor, nn

from medcl.errors import UsageError
from medcl.modality.signal.encoders.base import SignalEncoder
from medcl.modality.signal.encoders.config import SignalEncoderConfig
from medcl.modality.signal.encoders.patches import PatchEmbedding

HEAD_WIDTH = 32


def positions(length: int, width: int, device: torch.device) -> Tensor:
    """Sinusoidal positions (length, width) of Vaswani et al. 2017, section 3.5: defined for windows of any length."""
    time = torch.arange(length, device=device, dtype=torch.float32).unsqueeze(1)
    rate = torch.exp(torch.arange(0, width, 2, device=device, dtype=torch.float32) * (-math.log(10_000.0) / width))
    return torch.stack((torch.sin(time * rate), torch.cos(time * rate)), dim=-1).flatten(1)


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
        layer = nn.TransformerEncoderLayer(
            config.hidden,
            nhead=max(1, config.hidden // HEAD_WIDTH),
            dim_feedforward=4 * config.hidden,
            dropout=config.dropout,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.layers = nn.TransformerEncoder(
            layer, config.depth, norm=nn.LayerNorm(config.hidden), enable_nested_tensor=False
        )
        self.output = nn.Linear(config.hidden, config.dim)

    def encode(self, x: Tensor, keep: Tensor | None) -> Tensor:
        """Encode (B, C, T) as (B, T', dim)."""
        tokens = self.patches(x, keep)
        tokens = tokens + positions(tokens.shape[1], tokens.shape[2], tokens.device).to(tokens.dtype)
        return cast(Tensor, self.output(self.layers(tokens)))
