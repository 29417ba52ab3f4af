"""COMET's observation and sample losses, over a pyramid of time scales."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from medcl.contrast.info_nce import accurate


def observation(z1: Tensor, z2: Tensor) -> Tensor:
    """Contrast time steps within each sample (TS2Vec's temporal loss; COMET's observation level).

    For sample i and step t, over the 2T vectors of both views:
    l(i,t) = -log exp(r_it . r'_it) / ( sum_s exp(r_it . r'_is) + sum_{s != t} exp(r_it . r_is) ), averaged over i, t and both views as anchors.

    Args:
        z1: (B, T, K) dense embedding of the first view.
        z2: (B, T, K) of the second.

    Returns:
        Scalar; 0 for T = 1.
    """
    if z1.shape[1] == 1:
        return (z1 * 0).sum()
    return _contrast(torch.cat([z1, z2], dim=1))


def sample(z1: Tensor, z2: Tensor) -> Tensor:
    """Contrast samples at each time step (TS2Vec's instance loss; COMET's sample level).

    For sample i and step t, over the 2B vectors of that step:
    l(i,t) = -log exp(r_it . r'_it) / ( sum_j exp(r_it . r'_jt) + sum_{j != i} exp(r_it . r_jt) ), averaged over i, t and both views as anchors.

    Args:
        z1: (B, T, K) dense embedding of the first view.
        z2: (B, T, K) of the second.

    Returns:
        Scalar; 0 for B = 1.
    """
    if z1.shape[0] == 1:
        return (z1 * 0).sum()
    return _contrast(torch.cat([z1, z2], dim=0).transpose(0, 1))


def hierarchical(z1: Tensor, z2: Tensor, *, levels: Sequence[str] = ("sample", "observation")) -> dict[str, Tensor]:
    """The observation and sample losses at every time scale, averaged.

    While T > 1: the losses, then max-pooling over time with kernel 2. The sum over scales is divided by their number (COMET, section 4;
    TS2Vec also adds the instance loss at T = 1, COMET does not).

    Args:
        z1: (B, T, K) dense embedding of the first view.
        z2: (B, T, K) of the second.
        levels: which of `sample` and `observation`.

    Returns:
        {level: scalar}.
    """
    losses = {"sample": sample, "observation": observation}
    with torch.autocast(z1.device.type, enabled=False):
        z1, z2 = accurate(z1), accurate(z2)
        totals = {level: (z1 * 0).sum() for level in levels}
        scales = 0
        while z1.shape[1] > 1:
            totals = {level: total + losses[level](z1, z2) for level, total in totals.items()}
            z1, z2 = (F.max_pool1d(z.transpose(1, 2), kernel_size=2).transpose(1, 2) for z in (z1, z2))
            scales += 1
        return {level: total / max(1, scales) for level, total in totals.items()}


def _contrast(z: Tensor) -> Tensor:
    """Cross-entropy of (G, 2n, K) raw dot products within each group, where row i's positive is row i + n modulo 2n and itself is left out."""
    n = z.shape[1] // 2
    s = z @ z.transpose(1, 2)
    itself = torch.eye(2 * n, dtype=torch.bool, device=z.device)
    positive = (z[:, :n] * z[:, n:]).sum(dim=2)
    return torch.logsumexp(s.masked_fill_(itself, -torch.inf), dim=2).mean() - positive.mean()
