"""Finite discrete tokens: what images and texts are made of, as few entries of one learned list (FDT)."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn


def sparsemax(scores: Tensor) -> Tensor:
    """The point of the simplex that is nearest to the scores: like softmax, with exact zeros.

    p_k = max(0, s_k - t), with the t for which they sum to 1. Martins and Astudillo, From Softmax to Sparsemax, ICML
    2016, algorithm 1.

    Args:
        scores: (..., K).

    Returns:
        (..., K), each row sums to 1.
    """
    ordered = scores.sort(dim=-1, descending=True).values
    sums, number = ordered.cumsum(dim=-1) - 1, torch.arange(1, scores.shape[-1] + 1, device=scores.device)
    support = (number * ordered > sums).sum(dim=-1, keepdim=True).clamp(min=1)
    return (scores - sums.gather(-1, support - 1) / support).clamp(min=0)


class Codes(nn.Module):
    """Embeddings as sparse mixtures of vectors that several kinds of inputs share.

    Of the tokens f_j of a sample (cells of an image, words of a report, time steps) and the codes c_k,

        r_k = max over tokens of <q(f_j), c_k> / sqrt(width) / temperature,    w = sparsemax(r),    z = sum_k w_k c_k

    with a query network q of each side. FDT (Chen et al., Revisiting Multimodal Representation in Contrastive Learning:
    From Patch and Token Embeddings to Finite Discrete Tokens, CVPR 2023). Padding has no part in the maximum; the
    released code gives it scores of 0, so that none is ever below.

    Args:
        dims: {side: width of its tokens}.
        count: number of codes.
        width: of a code.
        temperature: of the finished network; the lower, the fewer codes a sample has.
    """

    temperature: Tensor

    def __init__(self, dims: Mapping[str, int], count: int, width: int, temperature: float = 1.0) -> None:
        super().__init__()
        self.codes = nn.Parameter(torch.randn(count, width))
        self.queries = nn.ModuleDict({name: _query(dim, width) for name, dim in dims.items()})
        self.register_buffer("temperature", torch.tensor(temperature))

    def weights(
        self, side: str, tokens: Tensor, there: Tensor | None = None, temperature: float | None = None
    ) -> Tensor:
        """How much of each code a sample has.

        Args:
            side: whose tokens they are.
            tokens: (B, P, dim).
            there: (B, P) bool, False at what does not count; None counts all. Where nothing counts, all do.
            temperature: in training, where it differs from that of the finished network.

        Returns:
            (B, K), each row sums to 1.
        """
        scale = math.sqrt(self.codes.shape[1]) * (self.temperature if temperature is None else temperature)
        scores = (self.queries[side](tokens) @ self.codes.T).float() / scale
        if there is not None:
            counted = there | ~there.any(dim=1, keepdim=True)
            scores = scores.masked_fill(~counted[..., None], -torch.inf)
        return sparsemax(scores.amax(dim=1))

    def forward(
        self, side: str, tokens: Tensor, there: Tensor | None = None, temperature: float | None = None
    ) -> Tensor:
        """Tokens (B, P, dim) to embeddings (B, width), see `weights`."""
        return self.weights(side, tokens, there, temperature) @ self.codes.float()

    def take(self, other: "Codes", names: Mapping[str, str]) -> None:
        """Be another one, whose sides have other names here."""
        self.codes, self.temperature = other.codes, other.temperature
        self.queries = nn.ModuleDict({names[name]: query for name, query in other.queries.items()})


def _query(dim: int, width: int) -> nn.Module:
    return nn.Sequential(
        nn.LayerNorm(dim), nn.Linear(dim, width), nn.GELU(), nn.LayerNorm(width), nn.Linear(width, width)
    )
