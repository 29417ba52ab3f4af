"""Latent attention: tokens look things up in a learned dictionary before they are averaged."""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

HEADS, HEAD_WIDTH, EXPANSION = 8, 32, 4


class LatentAttention(nn.Module):
    """Attention of every token to learned latents, then a feed-forward layer, both with a residual connection.

        O = H + attention(queries LN(H), keys and values LN(L)),    O = O + GEGLU(LN(O))

    of tokens H and latents L. NV-Embed (Lee et al., NV-Embed: Improved Techniques for Training LLMs as Generalist
    Embedding Models, ICLR 2025), which averages O over the tokens. Here the last linear map of both begins at 0, so
    that training begins with the mean of H; the paper has 512 latents and heads as wide as the model.

    Args:
        dim: width of a token.
        latents: entries of the dictionary.
    """

    def __init__(self, dim: int, latents: int) -> None:
        super().__init__()
        inner = HEADS * HEAD_WIDTH
        self.latents = nn.Parameter(torch.randn(latents, dim))
        self.of_tokens, self.of_latents, self.between = (nn.LayerNorm(dim) for _ in range(3))
        self.query = nn.Linear(dim, inner, bias=False)
        self.key_value = nn.Linear(dim, 2 * inner, bias=False)
        self.out = nn.Linear(inner, dim)
        self.wide = nn.Linear(dim, 2 * EXPANSION * dim)
        self.narrow = nn.Linear(EXPANSION * dim, dim)
        for last in (self.out, self.narrow):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (B, L, dim) to (B, L, dim), each by itself."""
        # Heads before tokens: (B, H, L, W), and (H, R, W) of the latents.
        query = self.query(self.of_tokens(tokens)).unflatten(-1, (HEADS, HEAD_WIDTH)).transpose(1, 2)
        both = self.key_value(self.of_latents(self.latents)).unflatten(-1, (2, HEADS, HEAD_WIDTH))
        key, value = both.permute(1, 2, 0, 3).unbind()
        found = F.scaled_dot_product_attention(query, key[None], value[None])
        tokens = tokens + self.out(found.transpose(1, 2).flatten(2))
        gate, content = self.wide(self.between(tokens)).chunk(2, dim=-1)
        return cast(Tensor, tokens + self.narrow(F.gelu(gate) * content))
