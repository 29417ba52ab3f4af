"""COMET's observation and sample losses, alone and over a pyramid of time scales."""

from collections.abc import Sequence

import torch
from torch import Tensor

from medcl.contrast.precision import accurate, no_autocast
from medcl.contrast.two_views import contrast_views
from medcl.errors import UsageError


def observation(z1: Tensor, z2: Tensor) -> Tensor:
    """Contrast the time steps of each sample with one another (COMET's observation level, TS2Vec's temporal loss).

    With r = z1, r' = z2 and raw dot products, for sample i and step t over the 2T vectors of both views:

        l(i, t) = -log exp(r_it . r'_it) / ( sum_s exp(r_it . r'_is) + sum_{s != t} exp(r_it . r_is) )

    The loss is the mean over i, t and over both views as anchors. COMET (Wang et al., NeurIPS 2023, section 4);
    TS2Vec (Yue et al., AAAI 2022, eq. 1).

    Args:
        z1: (B, T, K) dense embeddings of the first view.
        z2: (B, T, K) those of the second.

    Returns:
        Scalar, float32 or float64; 0 with a gradient of 0 for T = 1.

    Raises:
        UsageError: when the shapes differ or are not (B, T, K).
    """
    _check(z1, z2)
    with no_autocast(z1):
        return contrast_views(accurate(z1), accurate(z2))


def sample(z1: Tensor, z2: Tensor) -> Tensor:
    """Contrast the samples of a batch with one another at each time step (COMET's sample level, TS2Vec's instance loss).

    With r = z1, r' = z2 and raw dot products, for sample i and step t over the 2B vectors of that step:

        l(i, t) = -log exp(r_it . r'_it) / ( sum_j exp(r_it . r'_jt) + sum_{j != i} exp(r_it . r_jt) )

    The loss is the mean over i, t and over both views as anchors. COMET (Wang et al., NeurIPS 2023, section 4);
    TS2Vec (Yue et al., AAAI 2022, eq. 2).

    Args:
        z1: (B, T, K) dense embeddings of the first view.
        z2: (B, T, K) those of the second.

    Returns:
        Scalar, float32 or float64; 0 with a gradient of 0 for B = 1.

    Raises:
        UsageError: when the shapes differ or are not (B, T, K).
    """
    _check(z1, z2)
    with no_autocast(z1):
        return contrast_views(accurate(z1).transpose(0, 1), accurate(z2).transpose(0, 1))


LOSSES = {"sample": sample, "observation": observation}


def hierarchical(z1: Tensor, z2: Tensor, *, levels: Sequence[str] = ("sample", "observation")) -> dict[str, Tensor]:
    """The observation and sample losses, each averaged over time scales.

    While T > 1: the losses, then max-pooling over time with kernel 2 (a last odd step is left out of the next scale).
    Each sum is divided by the number of scales d = floor(log2 T). COMET (Wang et al., NeurIPS 2023, section 4). TS2Vec
    also adds its instance loss at T = 1; COMET does not.

    Args:
        z1: (B, T, K) dense embeddings of the first view.
        z2: (B, T, K) those of the second.
        levels: which of `sample` and `observation`; the pyramid is pooled once for both.

    Returns:
        {level: scalar}, float32 or float64; 0 with a gradient of 0 for T = 1.

    Raises:
        UsageError: for another level, and when the shapes differ or are not (B, T, K).
    """
    _check(z1, z2)
    unknown = [level for level in levels if level not in LOSSES]
    if unknown:
        raise UsageError(f"levels with a loss within the window are {', '.join(LOSSES)}, got {', '.join(unknown)}")
    with no_autocast(z1):
        z1, z2 = accurate(z1), accurate(z2)
        totals = {level: torch.zeros_like(z1[0, 0, 0]) for level in levels}
        scales = 0
        while z1.shape[1] > 1:
            totals = {level: total + LOSSES[level](z1, z2) for level, total in totals.items()}
            z1, z2 = _halve(z1), _halve(z2)
            scales += 1
        return {level: total / max(1, scales) for level, total in totals.items()}


def _halve(z: Tensor) -> Tensor:
    """Max-pool (B, T, K) over pairs of time steps."""
    even = z.shape[1] // 2 * 2
    return torch.maximum(z[:, 0:even:2], z[:, 1:even:2])


def _check(z1: Tensor, z2: Tensor) -> None:
    if z1.ndim != 3 or z1.shape != z2.shape or z1.numel() == 0:
        raise UsageError(
            f"the two views must be (batch, time, features) of one shape, got {tuple(z1.shape)} and {tuple(z2.shape)}"
        )
