"""How the vectors use their space: alignment, uniformity, effective rank, silhouette."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from medcl.contrast.losses.uniformity import alignment, uniformity
from medcl.contrast.pairings.pairs import itself, same
from medcl.embed.points import Ints, Vectors, unit

MOST = 25_600
"""Vectors that are looked at, the number of RankMe."""
_MOST_PAIRS = 5_000  # vectors of which each is compared with each


@dataclass(frozen=True)
class Spread:
    """How vectors lie in their space.

    Args:
        rank: effective rank (RankMe), from 1 to dim.
        dim: width of the vectors.
        uniformity: 0 where all are one, about -4 where they cover the sphere.
        alignment: {level: mean squared distance of vectors of length 1 that share its id}, from 0 to 4.
        apart: the same over all pairs: what `alignment` has to undercut.
    """

    rank: float
    dim: int
    uniformity: float
    alignment: dict[str, float]
    apart: float


def effective_rank(vectors: Vectors) -> float:
    """How many directions the vectors use: exp of the entropy of their singular values.

    Garrido et al., RankMe: Assessing the Downstream Performance of Pretrained Self-Supervised Representations by Their
    Rank (ICML 2023), equation 2, without its epsilon of 1e-7: values below the rounding error of float32 count as 0.

    Args:
        vectors: (N, dim), not centred and not scaled.

    Returns:
        From 1, where all are multiples of one vector, to min(N, dim); NaN where all are 0.
    """
    x = np.asarray(vectors, dtype=np.float64)
    values = np.linalg.svd(x, compute_uv=False) if len(x) <= x.shape[1] else _singular(x)
    if not values.max() > 0:
        return float("nan")
    values = values[values > values.max() * np.finfo(np.float32).eps]
    share = values / values.sum()
    return float(np.exp(-(share * np.log(share)).sum()))


def _singular(x: Vectors) -> Vectors:
    # Of the square dim x dim: the number of vectors does not matter.
    values: Vectors = np.sqrt(np.maximum(np.linalg.eigvalsh(x.T @ x), 0))
    return values


def spread(vectors: Vectors, levels: dict[str, Ints]) -> Spread:
    """Measure it.

    Args:
        vectors: (N, dim), few enough for memory.
        levels: {level: (N,) codes, -1 where there is none}.

    Returns:
        The measures; NaN where there are no such pairs.
    """
    few = slice(0, _MOST_PAIRS)
    z = torch.from_numpy(unit(vectors[few])).double()
    count = len(z)
    aligned: dict[str, float] = {}
    for name, codes in levels.items():
        known = torch.from_numpy(np.flatnonzero(codes[few] >= 0))
        ids = torch.from_numpy(np.asarray(codes[few], dtype=np.int64))[known]
        _, numbers = torch.unique(ids, return_counts=True)
        if (numbers > 1).any():
            aligned[name] = float(alignment(z[known], z[known], same(ids).without(itself(ids))))
    total, alike = z.sum(0), float("nan")
    if count > 1:
        # The mean over all pairs follows from the sum of all vectors.
        alike = float((total @ total - z.square().sum()) / (count * (count - 1)))
    return Spread(
        rank=effective_rank(vectors),
        dim=vectors.shape[1],
        uniformity=float(uniformity(z)) if count > 1 else float("nan"),
        alignment=aligned,
        apart=2 - 2 * alike,
    )


def silhouette(vectors: Vectors, codes: NDArray[np.integer[Any]], seed: int = 0) -> float:
    """How much nearer vectors are to their own class than to the nearest other one, for vectors of length 1.

    Args:
        vectors: (N, dim).
        codes: (N,) number of the class of each, -1 where it has none.
        seed: of the 5,000 vectors that are looked at, where there are more.

    Returns:
        Mean over vectors, from -1 to 1; 0 where classes overlap; NaN without two classes of two vectors.
    """
    from sklearn.metrics import silhouette_score

    numbers = np.bincount(codes[codes >= 0], minlength=1)
    rows = np.flatnonzero((codes >= 0) & (numbers[codes] > 1))
    if len(rows) > _MOST_PAIRS:
        rows = np.sort(np.random.default_rng(seed).choice(rows, _MOST_PAIRS, replace=False))
    z = unit(vectors[rows]) if len(rows) else vectors[:0]
    if len(np.unique(codes[rows])) < 2 or not np.ptp(z, axis=0).any():
        return float("nan")
    return float(silhouette_score(z, codes[rows], metric="euclidean"))
