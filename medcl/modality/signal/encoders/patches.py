"""The first layer of the patch encoders: time steps -> patches, with masked steps hidden."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


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
            # The token takes part, with no effect, because distributed training waits for every parameter's gradient.
            return embedded if self.mask_token is None else embedded + 0 * self.mask_token
        kept = F.pad(keep, (0, missing), value=True).view(batch, count, self.stride)
        share = kept.to(x.dtype).mean(dim=2, keepdim=True)
        embedded = F.linear(patches, self.linear.weight) + share * self.linear.bias
        return embedded if self.mask_token is None else embedded + (1 - share) * self.mask_token
