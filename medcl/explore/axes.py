"""Principal components of vectors of length 1, from one pass over vectors that need not fit in memory."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medcl.embed.vectors import Vectors, blocks, unit


@dataclass(frozen=True)
class Axes:
    """Directions in which vectors differ most.

    Args:
        mean: (dim,) of the vectors.
        directions: (dim, k) of length 1, the first has the largest variance; the largest entry of each is positive.
        variance: (k,) along each.
        total: variance in all directions.
    """

    mean: NDArray[np.float64]
    directions: NDArray[np.float64]
    variance: NDArray[np.float64]
    total: float

    def first(self, k: int) -> "Axes":
        """The k directions of the largest variance."""
        return Axes(self.mean, self.directions[:, :k], self.variance[:k], self.total)

    def coordinates(self, vectors: Vectors, k: int | None = None) -> NDArray[np.float32]:
        """Where vectors lie, (N, k) float32.

        Args:
            vectors: (N, dim).
            k: number of directions; default: all.
        """
        directions = self.directions[:, :k]
        found = np.empty((len(vectors), directions.shape[1]), dtype=np.float32)
        for at, part in blocks(vectors):
            found[at : at + len(part)] = (unit(part) - self.mean) @ directions
        return found


def principal_axes(vectors: Vectors, k: int) -> Axes:
    """Find the directions.

    Args:
        vectors: (N, dim) of any length; they are brought to length 1, as they are compared by their cosine.
        k: number of directions; at most dim are found.

    Returns:
        The axes, the same for the same vectors wherever they are computed.
    """
    count, dim = vectors.shape
    mean = sum((unit(part).sum(axis=0, dtype=np.float64) for _, part in blocks(vectors)), np.zeros(dim)) / count
    scatter = np.zeros((dim, dim))
    for _, part in blocks(vectors):
        centred = unit(part) - mean
        scatter += centred.T @ centred
    values, directions = np.linalg.eigh(scatter / count)
    order = np.argsort(-values, kind="stable")[:k]
    chosen = directions[:, order]
    signs = np.sign(chosen[np.abs(chosen).argmax(axis=0), np.arange(chosen.shape[1])])
    variance = np.maximum(values, 0)
    return Axes(mean, chosen * signs, variance[order], float(variance.sum()))
