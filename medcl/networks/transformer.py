"""The transformer that encoders of signals and of texts share."""

import math

import torch
from torch import Tensor, nn

HEAD_WIDTH = 32


def positions(length: int, width: int, device: torch.device) -> Tensor:
    """Sinusoidal positions (length, width) of Vaswani et al. 2017, section 3.5: defined for inputs of any length."""
    time = torch.arange(length, device=device, dtype=torch.float32).unsqueeze(1)
    rate = torch.exp(torch.arange(0, width, 2, device=device, dtype=torch.float32) * (-math.log(10_000.0) / width))
    return torch.stack((torch.sin(time * rate), torch.cos(time * rate)), dim=-1).flatten(1)


def transformer_layers(width: int, depth: int, dropout: float) -> nn.TransformerEncoder:
    """Make pre-norm transformer layers for (B, L, width), with heads of width 32 and a feed-forward part of 4 width.

    Args:
        width: of the features; a multiple of 32, or below.
        depth: number of layers.
        dropout: probability, while training.
    """
    layer = nn.TransformerEncoderLayer(
        width,
        nhead=max(1, width // HEAD_WIDTH),
        dim_feedforward=4 * width,
        dropout=dropout,
        activation="gelu",
        batch_first=True,
        norm_first=True,
    )
    return nn.TransformerEncoder(layer, depth, norm=nn.LayerNorm(width), enable_nested_tensor=False)
