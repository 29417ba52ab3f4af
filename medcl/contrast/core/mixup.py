"""Mixtures of the samples of a batch, and who is positive for them: both, in proportion."""

from dataclasses import dataclass

import torch
from torch import Tensor

from medcl.contrast.core.blockwise import Tensors
from medcl.contrast.pairings.pairs import Pairing, Pairs, itself
from medcl.errors import UsageError


@dataclass(frozen=True)
class Mixing:
    """How the rows of a batch are mixed: x_i becomes weights_i x_i + (1 - weights_i) x_permutation(i).

    Attributes:
        weights: (N,) in [0, 1].
        permutation: (N,) int64, rows of the same batch.
    """

    weights: Tensor
    permutation: Tensor


def draw(
    count: int,
    *,
    beta: float = 0.15,
    share: float = 0.5,
    generator: torch.Generator | None = None,
    device: torch.device | str = "cpu",
) -> Mixing:
    """Draw how a batch is mixed; keep it to mix the same way again.

    Args:
        count: rows.
        beta: weights are drawn from Beta(beta, beta).
        share: of rows that are mixed at all, in the mean; the others have weight 1.
        generator: on the CPU; default: torch's own.
        device: of the result.

    Returns:
        The mixing.

    Raises:
        UsageError: when beta is not above 0.
    """
    if not beta > 0:
        raise UsageError(f"beta must be above 0, got {beta}")
    permutation = torch.randperm(count, generator=generator)
    mixed = torch.rand(count, generator=generator) < share
    seed = torch.randint(2**62, (), generator=generator)
    # torch.distributions draws from the global generator only.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(seed))
        weights = torch.distributions.Beta(beta, beta).sample((count,))
    weights = torch.where(mixed, weights, 1.0)
    return Mixing(weights.to(device), permutation.to(device))


def mix(modality: Tensor, weights: Tensor, permutation: Tensor) -> Tensor:
    """weights_i x_i + (1 - weights_i) x_permutation(i), of inputs or of embeddings.

    Args:
        modality: (N, ...).
        weights: (N,) in [0, 1].
        permutation: (N,) int64.

    Returns:
        (N, ...), in the number format of `modality`.

    Raises:
        UsageError: when shapes do not fit.
    """
    if weights.shape != modality.shape[:1] or permutation.shape != modality.shape[:1]:
        raise UsageError(
            f"{len(modality)} rows need as many weights and rows to mix them with, "
            f"got {tuple(weights.shape)} and {tuple(permutation.shape)}"
        )
    weights = weights.to(modality.dtype).reshape(-1, *[1] * (modality.ndim - 1))
    return weights * modality + (1 - weights) * modality[permutation]


def mixed_with(mixing: Mixing) -> Pairing:
    """Positive by its share: the mixture of i and k = permutation(i) with partner i by weight_i, with k by the rest.

    Args:
        mixing: of the anchors; the candidates are not mixed.

    Returns:
        The pairing, of weights that add up to 1 for each anchor.
    """
    weights, permutation = mixing.weights, mixing.permutation
    # Places differ between processes, and rows are mixed within one.
    places = itself(weights).anchors[0]

    def rule(anchors: Tensors, candidates: Tensors) -> Pairs:
        share, own, other = anchors
        first, second = (place[:, None] == candidates[0] for place in (own, other))
        return Pairs(share[:, None] * first + (1 - share[:, None]) * second)

    return Pairing(rule, (weights, places, places[permutation]), (places,), soft=True)
